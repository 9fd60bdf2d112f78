//! `virtual_ipaddress`, and the network that an instance is on.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::{Director, Node};
use crate::draft::{Draft, Table, key, quoted};
use crate::ledger::Ledger;
use crate::place;

/// A virtual address as keepalived has it.
#[derive(Clone, Debug)]
pub(super) struct Virtual {
    pub(super) ip: IpAddr,
    /// `None`: not written, which is a host's own.
    pub(super) prefix: Option<u8>,
    pub(super) interface: Option<String>,
}

/// The address that a line says.
pub(super) fn parse(node: &Node) -> Option<Virtual> {
    let (ip, prefix) = match node.name().split_once('/') {
        Some((ip, prefix)) => (ip, Some(prefix.parse().ok()?)),
        None => (node.name(), None),
    };
    Some(Virtual { ip: ip.parse().ok()?, prefix, interface: option(node, "dev").map(str::to_owned) })
}

/// The word behind a word.
fn option<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    let at = node.words.iter().position(|word| word == name)?;
    node.words.get(at + 1).map(String::as_str)
}

/// The network of an instance's interface; made if nobody spoke of it. The second: how sure that is.
pub(super) fn network(
    director: &Director,
    interface: &str,
    addresses: &[Virtual],
    draft: &mut Draft,
) -> (String, Option<String>) {
    if let Some(name) = draft.interface_network(&director.name, interface) {
        return (name, None);
    }
    for address in addresses {
        if let Some(network) = draft.network_of(address.ip) {
            return (network.name.clone(), None);
        }
    }
    // A prefix length of its own says what the subnet is.
    let wide = |one: &&Virtual| match one.ip {
        IpAddr::V4(_) => one.prefix.is_some_and(|prefix| (8..=30).contains(&prefix)),
        IpAddr::V6(_) => false,
    };
    if let Some((ip, prefix)) = addresses.iter().find(wide).and_then(|one| Some((one.ip, one.prefix?)))
        && let Ok(subnet) = IpNet::new(ip, prefix)
    {
        return (draft.new_network(subnet.trunc(), interface), None);
    }
    let guess = addresses.iter().find_map(|one| match one.ip {
        IpAddr::V4(ip) => IpNet::new(ip.into(), 24).ok(),
        IpAddr::V6(_) => None,
    });
    let doubt = "the files do not say the subnet";
    match guess {
        Some(subnet) => (
            draft.new_network(subnet.trunc(), interface),
            Some(format!("{doubt}: {} was assumed", subnet.trunc())),
        ),
        None => {
            let subnet = place::unused_subnet(draft);
            (draft.new_network(subnet, interface), Some(format!("{doubt}: {subnet} was made up")))
        }
    }
}

/// Gives a network the IPv6 subnet of its addresses, if it has none: with the prefix length that is written, else /64.
pub(super) fn widen(network: &str, addresses: &[Virtual], draft: &mut Draft) {
    let Some(network) = draft.networks.iter_mut().find(|one| one.name == network) else { return };
    if network.subnets.iter().any(|subnet| matches!(subnet, IpNet::V6(_))) {
        return;
    }
    let routed = |one: &&Virtual| matches!(one.ip, IpAddr::V6(ip) if !ip.is_unicast_link_local());
    if let Some(one) = addresses.iter().find(routed) {
        let prefix = one.prefix.filter(|prefix| (16..=126).contains(prefix)).unwrap_or(64);
        network.subnets.extend(IpNet::new(one.ip, prefix).map(|subnet| subnet.trunc()));
    }
}

/// Adds the addresses of a block.
pub(super) fn read(
    block: &Node,
    group: &str,
    network: &str,
    own_interface: &str,
    watched: bool,
    draft: &mut Draft,
    ledger: &mut Ledger,
) {
    for child in &block.children {
        let Some(address) = parse(child) else {
            ledger.dropped(&child.at, "it does not begin with an address");
            continue;
        };
        if let Some(name) = draft.virtual_address(address.ip) {
            let to = format!("[address.{name}]");
            ledger.carried(&child.at, to);
            continue;
        }
        let wanted =
            if draft.addresses.iter().any(|(_, _, table)| table.find("network") == Some(&quoted(network))) {
                format!("{network}-{}", address.ip)
            } else {
                format!("{network}-vip")
            };
        let name = draft.fresh("address", &wanted);
        let to = format!("[address.{name}]");
        let mut table = Table::new(format!("address.{}", key(&name)));
        table.set("network", quoted(network));
        let own = draft.network_of(address.ip).filter(|own| own.name == network);
        let subnet =
            own.and_then(|own| own.subnets.iter().find(|subnet| subnet.contains(&address.ip)).copied());
        let is_local = matches!(address.ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let subnet = subnet.or_else(|| is_local.then(|| IpNet::from(address.ip)));
        let Some(subnet) = subnet else {
            ledger.dropped(
                &child.at,
                format!(
                    "{} is not in a subnet of the network `{network}`: add its network and the address",
                    address.ip
                ),
            );
            continue;
        };
        let host = subnet.max_prefix_len();
        match address.prefix {
            Some(prefix) if prefix == subnet.prefix_len() || prefix == host => {
                table.set("ip", quoted(&format!("{}/{prefix}", address.ip)));
            }
            Some(prefix) => {
                table.set("ip", quoted(&address.ip.to_string()));
                let how = format!("the prefix length {prefix} is neither {host} nor the network's: {host}");
                ledger.approximated(&child.at, &to, how);
            }
            None => table.set("ip", quoted(&address.ip.to_string())),
        }
        table.set("group", quoted(group));
        if let Some(interface) = address.interface.as_ref().filter(|interface| *interface != own_interface) {
            table.set("interface", quoted(interface));
        }
        for word in ["label", "scope"] {
            if let Some(value) = option(child, word) {
                table.set(word, quoted(value));
            }
        }
        if !watched {
            table.set("watched", "false");
        }
        for word in
            ["brd", "peer", "home", "-nodad", "noprefixroute", "preferred_lft", "no_track", "mngtmpaddr"]
        {
            if child.words.iter().any(|one| one == word) {
                ledger.approximated(&child.at, &to, format!("without `{word}`"));
            }
        }
        ledger.carried(&child.at, &to);
        draft.addresses.push((name, address.ip, table));
    }
}
