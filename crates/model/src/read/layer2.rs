//! `[interface.NAME]`: what each kind of interface is made of.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::names::{Named, named};
use super::networks::Networks;
use super::nodes::{self, Nodes};
use super::stacks;
use super::switches::stp_priority;
use super::texts::{listed, pairs, useless};
use super::tree::Item;
use crate::cluster::{
    Bond, BondMode, Bridge, Interface, InterfaceKind, MacvlanMode, Underlay, VxlanDevice, VxlanPeers,
};
use crate::name::{NetworkName, NodeName};
use crate::quantity::format_duration;
use crate::reference::{self, Table};

/// Most interfaces, and most ports of one.
const MOST: usize = 256;
const MOST_PORTS: usize = 256;
const MOST_PEERS: usize = 64;
/// STP bridge priority when the file says none (IEEE 802.1D).
const DEFAULT_PRIORITY: u16 = 32_768;

/// The kinds, each with its table of keys.
const KINDS: [(&str, &Table); 5] = [
    ("bridge", &reference::BRIDGE),
    ("vxlan", &reference::VXLAN_DEVICE),
    ("bond", &reference::BOND),
    ("vlan", &reference::VLAN),
    ("macvlan", &reference::MACVLAN),
];
const BOND_MODES: [(&str, BondMode); 7] = [
    ("active-backup", BondMode::ActiveBackup),
    ("balance-rr", BondMode::BalanceRr),
    ("balance-xor", BondMode::BalanceXor),
    ("broadcast", BondMode::Broadcast),
    ("802.3ad", BondMode::Lacp),
    ("balance-tlb", BondMode::BalanceTlb),
    ("balance-alb", BondMode::BalanceAlb),
];
const MACVLAN_MODES: [(&str, MacvlanMode); 4] = [
    ("bridge", MacvlanMode::Bridge),
    ("private", MacvlanMode::Private),
    ("vepa", MacvlanMode::Vepa),
    ("passthru", MacvlanMode::Passthru),
];

/// An interface with the places of what it is made of.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) interface: Interface,
    pub(super) span: Span,
    /// Where `mtu` is written.
    pub(super) mtu: Option<Span>,
    /// What it takes or lies on, by name.
    pub(super) below: Vec<(String, Span)>,
}

/// Reads all interfaces.
pub(super) fn read(
    findings: &mut Findings<'_>,
    root: &Fields<'_>,
    networks: &mut Networks,
    nodes: &Nodes,
) -> Vec<Interface> {
    let (tables, _) = named(findings, root, "interface", "interface", MOST);
    let mut list = Vec::new();
    for table in &tables {
        list.extend(interface(findings, table, networks, nodes));
    }
    stacks::check(findings, &list, networks, nodes);
    list.into_iter().map(|placed| placed.interface).collect()
}

fn interface(
    findings: &mut Findings<'_>,
    table: &Named<'_>,
    networks: &mut Networks,
    nodes: &Nodes,
) -> Option<Placed> {
    let what = format!("interface `{}`", table.name);
    let kind = table.table.get("kind").and_then(|value| value.get_ref().as_str());
    let own = KINDS.iter().find(|(word, _)| Some(*word) == kind).map(|(_, keys)| *keys);
    // The keys of its own kind first: those of others may have the same names and other ranges.
    let mut known: Vec<&'static Table> = vec![&reference::LAYER2];
    known.extend(own);
    known.extend(KINDS.iter().map(|(_, keys)| *keys));
    let fields = Fields::open(findings, table.table, &table.header, &what, &known);
    let kind = fields.require(findings, "kind", "\"bridge\"");
    kind.and_then(|item| item.word(findings, &KINDS.map(|(word, _)| (word, ()))));
    let name = match fields.find("name") {
        Some(item) => nodes::interface(findings, item)?,
        None => kernel_name(findings, table)?,
    };
    if name == "lo" {
        findings.value(&table.span, "`lo` is there on every machine", "take another name, as in `br0`");
        return None;
    }
    let on = nodes_of(findings, &fields, nodes);
    let mtu = fields.number(findings, "mtu");
    let addresses = addresses_of(findings, &fields, networks, &what, on.as_deref());
    if let Some(own) = own {
        let others: Vec<&str> = KINDS
            .iter()
            .flat_map(|(_, keys)| keys.names())
            .filter(|key| own.key(key).is_none() && reference::LAYER2.key(key).is_none())
            .collect();
        let word = kind.and_then(|item| item.value.as_str()).unwrap_or_default();
        let mut named: Vec<&str> = others;
        named.sort_unstable();
        named.dedup();
        useless(findings, &fields, &named, &format!("has no meaning for a {word}"), "remove it");
    }
    let mut below = Vec::new();
    let kind = match kind?.value.as_str()? {
        "bridge" => bridge(findings, &fields, &mut below),
        "vxlan" => vxlan(findings, &fields, networks, nodes, on.as_deref(), &mut below),
        "bond" => bond(findings, &fields, &mut below),
        "vlan" => over(findings, &fields, &mut below)
            .zip(required_number(findings, &fields, "id", "100"))
            .map(|(over, id)| InterfaceKind::Vlan { id, over }),
        "macvlan" => macvlan(findings, &fields, &mut below),
        _ => None,
    };
    let span = table.span.clone();
    let at = fields.find("mtu").map(|item| item.span.clone());
    Some(Placed {
        interface: Interface { name, nodes: on?, kind: kind?, mtu, addresses },
        span,
        mtu: at,
        below,
    })
}

fn kernel_name(findings: &mut Findings<'_>, table: &Named<'_>) -> Option<String> {
    if table.name.len() > 15 {
        let hint = "the kernel knows 15 bytes: take a shorter one, or write name = \"...\"";
        findings.value(&table.span, format!("`{}` is too long for an interface", table.name), hint);
        return None;
    }
    Some(table.name.to_owned())
}

/// Who has it; `None`: something of it is wrong.
fn nodes_of(findings: &mut Findings<'_>, fields: &Fields<'_>, nodes: &Nodes) -> Option<Vec<NodeName>> {
    let Some(item) = fields.find("nodes") else {
        return Some(nodes.list.iter().map(|node| node.name.clone()).collect());
    };
    let items = listed(findings, item, "[\"bal1\"]", 1024);
    if item.value.as_array().is_some_and(|list| list.is_empty()) {
        findings.value(&item.span, "`nodes` is empty", "name at least one, or remove the line for all");
    }
    let (list, wrong) = node_names(findings, &items, nodes);
    (!wrong && !list.is_empty()).then_some(list)
}

/// Names of nodes, and whether one of them was wrong.
fn node_names(findings: &mut Findings<'_>, items: &[Item<'_>], nodes: &Nodes) -> (Vec<NodeName>, bool) {
    let mut list: Vec<NodeName> = Vec::new();
    let mut wrong = false;
    for item in items {
        let name = item.text(findings, "\"bal1\"");
        let Some(name) = name.filter(|name| nodes.names.resolve(findings, name, &item.span)) else {
            wrong = true;
            continue;
        };
        if list.iter().any(|known| known.as_str() == name) {
            findings.value(&item.span, format!("`{name}` is there twice"), "keep one of them");
            continue;
        }
        list.push(NodeName::new(name));
    }
    (list, wrong)
}

fn addresses_of(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    networks: &mut Networks,
    what: &str,
    on: Option<&[NodeName]>,
) -> Vec<IpNet> {
    let Some(item) = fields.find("addresses") else { return Vec::new() };
    if on.is_some_and(|nodes| nodes.len() > 1) {
        let hint =
            "write nodes = [\"ONE\"], or give each node its address: address.NETWORK = { ip, interface }";
        findings.error(&item.key, "`addresses` would be the same on several nodes", hint);
    }
    let mut list = Vec::new();
    for item in listed(findings, item, "[\"10.0.0.1/24\"]", 64) {
        let Some(text) = item.text(findings, "\"10.0.0.1/24\"") else { continue };
        let Ok(net) = text.parse::<IpNet>() else {
            let hint = match text.parse::<IpAddr>() {
                Ok(ip) => {
                    format!("add the prefix length, as in \"{ip}/{}\"", if ip.is_ipv4() { 24 } else { 64 })
                }
                Err(_) => "write an address with its prefix length, as in \"10.0.0.1/24\"".to_owned(),
            };
            findings.value(&item.span, format!("`{text}` is not an address with a prefix length"), hint);
            continue;
        };
        let ip = net.addr();
        if let Some(network) = networks.of(ip).map(|network| network.name.clone()) {
            networks.claim(findings, &network, ip, &item.span, what);
        }
        list.push(net);
    }
    list
}

/// Interfaces that are named in a list.
fn ports(findings: &mut Findings<'_>, item: &Item<'_>, below: &mut Vec<(String, Span)>) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for item in listed(findings, item, "[\"eth1\"]", MOST_PORTS) {
        let Some(name) = nodes::interface(findings, &item) else { continue };
        if list.contains(&name) {
            findings.value(&item.span, format!("`{name}` is there twice"), "keep one of them");
            continue;
        }
        below.push((name.clone(), item.span.clone()));
        list.push(name);
    }
    list
}

fn over(findings: &mut Findings<'_>, fields: &Fields<'_>, below: &mut Vec<(String, Span)>) -> Option<String> {
    let item = fields.require(findings, "over", "\"eth0\"")?;
    let name = nodes::interface(findings, item)?;
    below.push((name.clone(), item.span.clone()));
    Some(name)
}

fn required_number<T: TryFrom<i64>>(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    key: &str,
    example: &str,
) -> Option<T> {
    fields.require(findings, key, example)?;
    fields.number(findings, key)
}

fn bridge(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    below: &mut Vec<(String, Span)>,
) -> Option<InterfaceKind> {
    let ports = fields.find("ports").map(|item| ports(findings, item, below)).unwrap_or_default();
    let stp = fields.flag(findings, "stp").unwrap_or(false);
    let priority = fields.find("priority").and_then(|item| stp_priority(findings, item));
    let mut cost = Vec::new();
    if let Some(item) = fields.find("cost") {
        for entry in pairs(findings, item, "{ eth1 = 10 }", MOST_PORTS) {
            if !ports.iter().any(|port| port == entry.name) {
                let message = format!("`{}` is not one of the bridge's ports", entry.name);
                findings.error(&entry.key, message, "add it to `ports`, or remove it here");
            }
            let number = entry.integer(findings, 1..=65_535, "10").and_then(|cost| u16::try_from(cost).ok());
            cost.extend(number.map(|number| (entry.name.to_owned(), number)));
        }
    }
    let hello = fields.time(findings, "hello_time").unwrap_or(Duration::from_secs(2));
    let forward = fields.time(findings, "forward_delay").unwrap_or(Duration::from_secs(15));
    let age = fields.time(findings, "max_age").unwrap_or(Duration::from_secs(20));
    let second = Duration::from_secs(1);
    // IEEE 802.1D-1998 section 8.10.2.
    if age < (hello + second) * 2 || age > forward.saturating_sub(second) * 2 {
        let at = ["max_age", "forward_delay", "hello_time"].iter().find_map(|key| fields.find(key));
        let span = at.map_or(fields.span(), |item| &item.span).clone();
        let message = format!(
            "max_age {} does not fit hello_time {} and forward_delay {}",
            format_duration(age),
            format_duration(hello),
            format_duration(forward)
        );
        findings.lint(
            &span,
            message,
            "they must be so that 2 * (hello_time + 1s) <= max_age <= 2 * (forward_delay - 1s)",
        );
    }
    let priority = priority.unwrap_or(DEFAULT_PRIORITY);
    let bridge =
        Bridge { ports, stp, priority, cost, hello_time: hello, forward_delay: forward, max_age: age };
    Some(InterfaceKind::Bridge(bridge))
}

fn bond(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    below: &mut Vec<(String, Span)>,
) -> Option<InterfaceKind> {
    let item = fields.require(findings, "ports", "[\"eth1\", \"eth2\"]");
    let mode = fields.word(findings, "mode", &BOND_MODES).unwrap_or(BondMode::ActiveBackup);
    let miimon = fields.time(findings, "miimon").unwrap_or(Duration::from_millis(100));
    let item = item?;
    let ports = ports(findings, item, below);
    if item.value.as_array().is_some_and(|list| list.is_empty()) {
        findings.value(
            &item.span,
            "a bond without ports carries nothing",
            "write ports = [\"eth1\", \"eth2\"]",
        );
    }
    let primary = fields.find("primary").and_then(|item| Some((nodes::interface(findings, item)?, item)));
    if let Some((name, item)) = &primary {
        if !ports.contains(name) {
            let message = format!("`{name}` is not one of the bond's ports");
            findings.error(&item.span, message, "add it to `ports`, or name one of them");
        }
        if !matches!(mode, BondMode::ActiveBackup | BondMode::BalanceTlb | BondMode::BalanceAlb) {
            let hint = "remove it, or write mode = \"active-backup\"";
            findings.error(&item.key, "`primary` has no meaning in this mode", hint);
        }
    }
    Some(InterfaceKind::Bond(Bond { mode, ports, primary: primary.map(|(name, _)| name), miimon }))
}

fn macvlan(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    below: &mut Vec<(String, Span)>,
) -> Option<InterfaceKind> {
    let mode = fields.word(findings, "mode", &MACVLAN_MODES).unwrap_or(MacvlanMode::Bridge);
    let mac = fields.find("mac").and_then(|item| hardware(findings, item));
    let over = over(findings, fields, below)?;
    Some(InterfaceKind::Macvlan { mode, over, mac })
}

/// A hardware address of one machine.
fn hardware(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<[u8; 6]> {
    let text = item.text(findings, "\"02:00:00:00:00:01\"")?;
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten())
        .collect();
    let mac: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let mac = mac.filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6]);
    if mac.is_none() {
        let hint = "write six pairs of hexadecimal digits, the first one even, as in \"02:00:00:00:00:01\"";
        findings.value(&item.span, format!("`{text}` is not the hardware address of a machine"), hint);
    }
    mac
}

fn vxlan(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    networks: &Networks,
    nodes: &Nodes,
    on: Option<&[NodeName]>,
    below: &mut Vec<(String, Span)>,
) -> Option<InterfaceKind> {
    let id = required_number(findings, fields, "id", "100");
    let port = fields.number(findings, "port").unwrap_or(4789);
    let local = fields.find("local").and_then(|item| address(findings, item));
    if let Some(item) = fields.find("local").filter(|_| on.is_some_and(|nodes| nodes.len() > 1)) {
        let hint = "write nodes = [\"ONE\"], or over = a network, where each node has its own";
        findings.error(&item.key, "`local` would be the same on several nodes", hint);
    }
    let item = fields.require(findings, "over", "\"eth0\"");
    let over = item.and_then(|item| {
        let text = item.text(findings, "\"eth0\"")?;
        if networks.names.contains(text) {
            return Some(Underlay::Network(NetworkName::new(text)));
        }
        let name = nodes::interface(findings, item)?;
        below.push((name.clone(), item.span.clone()));
        Some(Underlay::Interface(name))
    });
    let peers = match (fields.find("group"), fields.find("peers")) {
        (Some(group), Some(_)) => {
            findings.error(&group.key, "`group` and `peers` are two ways to say it", "keep one of them");
            None
        }
        (Some(item), None) => multicast(findings, item).map(VxlanPeers::Group),
        (None, Some(item)) => peers(findings, item, nodes, over.as_ref()),
        (None, None) => match (&over, on) {
            (Some(Underlay::Network(_)), Some(on)) => Some(VxlanPeers::Nodes(on.to_vec())),
            (Some(Underlay::Interface(_)), _) => {
                let hint = "add peers = [\"192.168.1.2\"] or group = \"239.1.1.1\"";
                findings.error(fields.span(), format!("{} has no other end", fields.what()), hint);
                None
            }
            (_, _) => None,
        },
    };
    if let (Some(Underlay::Network(network)), Some(on)) = (&over, on) {
        let at = item.map_or(fields.span(), |item| &item.span);
        on_network(findings, nodes, on, network, at);
        if let (Some(VxlanPeers::Nodes(peers)), Some(item)) = (&peers, fields.find("peers")) {
            on_network(findings, nodes, peers, network, &item.span);
        }
    }
    let (id, over, peers) = (id?, over?, peers?);
    Some(InterfaceKind::Vxlan(VxlanDevice { id, over, peers, local, port }))
}

/// Whether these nodes have an address where the tunnel lies.
fn on_network(
    findings: &mut Findings<'_>,
    nodes: &Nodes,
    which: &[NodeName],
    network: &NetworkName,
    at: &Span,
) {
    for name in which {
        let node = nodes.find(name).filter(|_| !nodes.is_doubtful(name));
        if node.is_some_and(|node| node.address_on(network).is_none()) {
            let message =
                format!("node `{name}` has no address on network `{network}`: the tunnel has no end there");
            findings.error(at, message, format!("add address.{network} to it, or leave it out"));
        }
    }
}

fn address(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<IpAddr> {
    let text = item.text(findings, "\"192.168.1.1\"")?;
    let ip = text.parse().ok();
    if ip.is_none() {
        findings.value(&item.span, format!("`{text}` is not an address"), "write it as \"192.168.1.1\"");
    }
    ip
}

fn multicast(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Ipv4Addr> {
    let text = item.text(findings, "\"239.1.1.1\"")?;
    let ip: Option<Ipv4Addr> = text.parse().ok();
    let ip = ip.filter(Ipv4Addr::is_multicast);
    if ip.is_none() {
        let hint = "write one of 239.0.0.0/8 (RFC 2365), as in \"239.1.1.1\"";
        findings.value(&item.span, format!("`{text}` is not a multicast address"), hint);
    }
    ip
}

/// Nodes, or addresses.
fn peers(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    nodes: &Nodes,
    over: Option<&Underlay>,
) -> Option<VxlanPeers> {
    let items = listed(findings, item, "[\"bal1\", \"bal2\"]", MOST_PEERS);
    let is_ip = |item: &Item<'_>| item.value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok());
    if items.iter().any(is_ip) {
        let all: Vec<IpAddr> = items.iter().filter_map(|item| address(findings, item)).collect();
        return (all.len() == items.len()).then_some(VxlanPeers::Addresses(all));
    }
    if matches!(over, Some(Underlay::Interface(_))) && !items.is_empty() {
        let hint = "write their addresses, or over = a network of the file";
        findings.error(&item.span, "nodes as peers need a network in `over`", hint);
        return None;
    }
    let (list, wrong) = node_names(findings, &items, nodes);
    (!wrong).then_some(VxlanPeers::Nodes(list))
}
