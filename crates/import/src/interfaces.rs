//! `/etc/network/interfaces` of ifupdown, of one node: its addresses, and its bridges, bonds and VLANs.
//!
//! Source: interfaces(5), bridge-utils-interfaces(5), and README.Debian of ifenslave and vlan.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::Input;
use crate::draft::{Draft, Table, key, list, quoted};
use crate::ledger::{At, Ledger};

/// One `iface` with its options.
#[derive(Debug)]
struct Iface {
    at: At,
    name: String,
    method: String,
    options: Vec<(At, String, String)>,
}

impl Iface {
    fn option(&self, names: &[&str]) -> Option<&str> {
        let same = |name: &str| names.contains(&name.replace('-', "_").as_str());
        self.options.iter().find(|(_, name, _)| same(name)).map(|(_, _, value)| value.as_str())
    }
}

/// What interfaces files say beyond tables of the cluster file.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// Where commands masquerade, for `[gateway]`.
    pub(crate) masquerade: Vec<At>,
    /// Where forwarding is turned on.
    pub(crate) forwarding: Vec<At>,
}

/// Takes a node's interfaces.
pub(crate) fn map(input: &Input, node: &str, draft: &mut Draft, ledger: &mut Ledger, hints: &mut Hints) {
    let file = ledger.open_file(&input.path);
    let mut ifaces: Vec<Iface> = Vec::new();
    let mut inside = false;
    for (index, raw) in input.text.lines().enumerate() {
        let at = At { file: file.clone(), line: index + 1 };
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        ledger.open(&at, raw);
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            "iface" => {
                let mut words = rest.split_whitespace();
                let name = words.next().unwrap_or_default().to_owned();
                let _family = words.next();
                let method = words.next().unwrap_or_default().to_owned();
                ifaces.push(Iface { at, name, method, options: Vec::new() });
                inside = true;
            }
            "source" | "source-directory" | "mapping" => {
                inside = false;
                ledger.dropped(&at, "give the files that it means to the importer as well");
            }
            _ if word == "auto" || word.starts_with("allow-") || word.starts_with("no-") => {
                inside = false;
                ledger.dropped(&at, SYSTEM);
            }
            _ => match ifaces.last_mut().filter(|_| inside) {
                Some(iface) => iface.options.push((at, word.to_owned(), rest.trim().to_owned())),
                None => ledger.dropped(&at, "it is outside `iface`"),
            },
        }
    }
    for iface in &ifaces {
        take(iface, node, draft, ledger, hints);
    }
}

const SYSTEM: &str = "the system brings its interfaces up and gives them their addresses, as before";

fn take(iface: &Iface, node: &str, draft: &mut Draft, ledger: &mut Ledger, hints: &mut Hints) {
    if iface.name == "lo" {
        for at in std::iter::once(&iface.at).chain(iface.options.iter().map(|(at, ..)| at)) {
            ledger.dropped(at, SYSTEM);
        }
        return;
    }
    let address = address(iface);
    let network = address.map(|address| network(iface, address, node, draft));
    match (&network, address) {
        (Some(network), Some(address)) => {
            draft.put(node, network, address.addr(), Some(&iface.name));
            ledger.carried(&iface.at, format!("[node.{node}] address.{network}"));
        }
        _ if iface.method == "dhcp" => {
            ledger.dropped(&iface.at, "a cluster's node needs an address that stays: write it into [node]");
        }
        _ => ledger.dropped(&iface.at, SYSTEM),
    }
    let layer2 = layer2(iface, node, draft);
    for (at, name, value) in &iface.options {
        let plain = name.replace('-', "_");
        match (plain.as_str(), &network) {
            ("address" | "netmask", Some(network)) => {
                ledger.carried(at, format!("[node.{node}] address.{network}"));
            }
            ("mtu", Some(network)) => match value.parse() {
                Ok(mtu) => {
                    if let Some(one) = draft.networks.iter_mut().find(|one| one.name == *network) {
                        one.mtu = Some(mtu);
                    }
                    ledger.carried(at, format!("[network.{network}] mtu"));
                }
                Err(_) => ledger.dropped(at, "it is not a number"),
            },
            (
                "gateway" | "broadcast" | "network" | "dns_nameservers" | "dns_search" | "metric"
                | "hwaddress",
                _,
            ) => {
                ledger.dropped(at, SYSTEM);
            }
            ("up" | "post_up" | "pre_up" | "down" | "post_down" | "pre_down", _) => {
                command(at, value, ledger, hints);
            }
            (option, _) => match layer2.as_ref().filter(|made| made.known.contains(&option)) {
                Some(made) => ledger.carried(at, format!("[{}]", made.header)),
                None => ledger.dropped(at, SYSTEM),
            },
        }
    }
}

fn command(at: &At, value: &str, ledger: &mut Ledger, hints: &mut Hints) {
    if value.contains("MASQUERADE") || value.contains("masquerade") || value.contains("-j SNAT") {
        hints.masquerade.push(at.clone());
    } else if value.contains("ip_forward") || value.contains(".forwarding") {
        hints.forwarding.push(at.clone());
    } else {
        ledger.dropped(at, "commands of the system stay with the system");
    }
}

/// The address with its prefix length.
fn address(iface: &Iface) -> Option<IpNet> {
    let text = iface.option(&["address"])?;
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(net);
    }
    let ip: IpAddr = text.parse().ok()?;
    let mask = iface.option(&["netmask"])?;
    let prefix = match mask.parse::<u8>() {
        Ok(prefix) => prefix,
        Err(_) => {
            let mask: Ipv4Addr = mask.parse().ok()?;
            Ipv4Net::with_netmask(Ipv4Addr::UNSPECIFIED, mask).ok()?.prefix_len()
        }
    };
    IpNet::new(ip, prefix).ok()
}

/// The network's name: `external` where the default route is, else `internal`, else as the interface is called.
fn network(iface: &Iface, address: IpNet, node: &str, draft: &mut Draft) -> String {
    if let Some(network) = draft.network_of(address.addr()) {
        return network.name.clone();
    }
    // `inet6` beside `inet`: one network of both families.
    if let (IpNet::V6(subnet), Some(name)) = (address, draft.interface_network(node, &iface.name))
        && let Some(network) = draft.networks.iter_mut().find(|network| network.name == name)
        && !network.subnets.iter().any(|subnet| matches!(subnet, IpNet::V6(_)))
    {
        network.subnets.push(IpNet::V6(subnet.trunc()));
        return name;
    }
    let has = |name: &str| draft.networks.iter().any(|network| network.name == name);
    let hint = if iface.option(&["gateway"]).is_some() && !has("external") {
        "external"
    } else if iface.option(&["gateway"]).is_none() && !has("internal") {
        "internal"
    } else {
        &iface.name
    };
    draft.new_network(address.trunc(), hint)
}

/// A bridge, bond or VLAN, and the options that it takes in.
#[derive(Debug)]
struct Made {
    header: String,
    known: Vec<&'static str>,
}

fn layer2(iface: &Iface, node: &str, draft: &mut Draft) -> Option<Made> {
    let mut table = Table::default();
    let known: Vec<&'static str>;
    let words = |value: &str| list(value.split_whitespace().filter(|word| *word != "none").map(quoted));
    if let Some(ports) = iface.option(&["bridge_ports"]) {
        table.set("kind", "\"bridge\"");
        table.set("ports", words(ports));
        if iface.option(&["bridge_stp"]).is_some_and(|value| matches!(value, "on" | "yes")) {
            table.set("stp", "true");
        }
        if let Some(priority) =
            iface.option(&["bridge_bridgeprio"]).filter(|value| value.parse::<u16>().is_ok())
        {
            table.set("priority", priority);
        }
        for (name, key) in
            [("bridge_fd", "forward_delay"), ("bridge_hello", "hello_time"), ("bridge_maxage", "max_age")]
        {
            if let Some(value) =
                iface.option(&[name]).and_then(|value| value.parse::<u32>().ok()).filter(|n| *n > 1)
            {
                table.set(key, quoted(&format!("{value}s")));
            }
        }
        known = vec![
            "bridge_ports",
            "bridge_stp",
            "bridge_bridgeprio",
            "bridge_fd",
            "bridge_hello",
            "bridge_maxage",
        ];
    } else if let Some(ports) = iface.option(&["bond_slaves", "bond_members", "slaves"]) {
        table.set("kind", "\"bond\"");
        table.set("ports", words(ports));
        let modes = [
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
        ];
        if let Some(mode) = iface.option(&["bond_mode"]) {
            let by_number = mode.parse::<usize>().ok().and_then(|number| modes.get(number).copied());
            table.set("mode", quoted(by_number.unwrap_or(mode)));
        }
        if let Some(primary) = iface.option(&["bond_primary"]) {
            table.set("primary", quoted(primary));
        }
        if let Some(miimon) = iface.option(&["bond_miimon"]).filter(|value| value.parse::<u32>().is_ok()) {
            table.set("miimon", quoted(&format!("{miimon}ms")));
        }
        known = vec!["bond_slaves", "bond_members", "slaves", "bond_mode", "bond_primary", "bond_miimon"];
    } else {
        let over = iface.option(&["vlan_raw_device"]).map(str::to_owned);
        let (over, id) = match (over, iface.name.rsplit_once('.')) {
            (Some(over), _) => {
                // eth0.20, vlan20: the digits at the end.
                let digits = iface.name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
                let digits =
                    digits.rsplit(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
                let digits = digits.to_owned();
                let id = iface.option(&["vlan_id"]).map_or(digits, str::to_owned);
                (over, id)
            }
            (None, Some((over, id))) => (over.to_owned(), id.to_owned()),
            (None, None) => return None,
        };
        let id: u16 = id.parse().ok()?;
        table.set("kind", "\"vlan\"");
        table.set("over", quoted(&over));
        table.set("id", id.to_string());
        known = vec!["vlan_raw_device", "vlan_id"];
    }
    let header = format!("interface.{}", key(&iface.name));
    if let Some(same) = draft.tables.iter_mut().find(|one| one.header == header) {
        let mut other = same.clone();
        other.keys.retain(|(name, _)| name != "nodes");
        if other.keys == table.keys {
            let nodes = same.find("nodes").map_or(String::new(), str::to_owned);
            let nodes = format!("{}, {}]", nodes.trim_end_matches(']'), quoted(node));
            same.set("nodes", nodes);
            return Some(Made { header, known });
        }
    }
    let taken = draft.tables.iter().any(|one| one.header == header);
    table.header =
        if taken { format!("interface.{}", key(&format!("{}-{node}", iface.name))) } else { header };
    if taken {
        table.set("name", quoted(&iface.name));
    }
    table.set("nodes", list([quoted(node)]));
    let header = table.header.clone();
    draft.tables.push(table);
    Some(Made { header, known })
}
