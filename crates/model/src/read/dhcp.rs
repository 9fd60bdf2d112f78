//! `[dhcp.NETWORK]`: who gets which address, and what clients are told.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::groups::Groups;
use super::names::{Named, Names, named};
use super::networks::Networks;
use super::nodes::Nodes;
use super::options;
use super::suggest;
use super::texts::several;
use super::tree::{Item, entries};
use crate::cluster::{Address, Dhcp, DhcpHost, Dns, Mac, Role};
use crate::name::{NetworkName, NodeName};
use crate::reference;

/// How long a lease lasts when the file says nothing.
const LEASE: Duration = Duration::from_secs(12 * 3600);
/// Most addresses of one range.
const MOST_ADDRESSES: u32 = 65_536;

/// What is known when DHCP is read.
#[derive(Debug)]
pub(super) struct Known<'x> {
    pub(super) nodes: &'x Nodes,
    pub(super) groups: &'x Groups,
    pub(super) dns: Option<&'x Dns>,
}

/// Reads all of `[dhcp]`.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    root: &Fields<'a>,
    networks: &mut Networks,
    known: &Known<'_>,
) -> Vec<Dhcp> {
    let (tables, names) = named(findings, root, "dhcp", "network with DHCP", 64);
    let mut list = Vec::new();
    let mut hosts = Names::new("host");
    for Named { name, span, header, table } in tables {
        if !networks.names.resolve(findings, name, &span) {
            continue;
        }
        let what = format!("DHCP on `{name}`");
        let fields = Fields::open(findings, table, &header, &what, &[&reference::DHCP]);
        let fixed = fixed(findings, &fields, name, networks, known.nodes, &mut hosts);
        let Some(subnet) = networks.find(name).map(|network| network.subnet) else { continue };
        let server = server(findings, &fields, name, &span, known.groups);
        let item = fields.find("range");
        let range = item.and_then(|item| range(findings, item, name, subnet, networks));
        if fixed.is_empty() && item.is_none() && fields.find("host").is_none() {
            let hint = "add range = \"FIRST-LAST\", or mac.NETWORK to nodes";
            findings.error(&span, format!("{what} has no address to give"), hint);
        }
        let lease = fields.time(findings, "lease").unwrap_or(LEASE);
        if let (Some(item), 1..) = (fields.find("lease"), lease.subsec_millis()) {
            findings.error(&item.span, "a lease lasts whole seconds", "write it with s, m, h or d");
        }
        let inside = |findings: &mut Findings<'_>, item: &Item<'_>| {
            let ip = address(findings, item, known.groups)?;
            let fits = subnet.contains(&ip);
            if !fits {
                let message = format!("{ip} is outside network `{name}`, {subnet}: clients do not reach it");
                findings.error(&item.span, message, "write an address of the network");
            }
            fits.then_some(ip)
        };
        let router = fields.find("router").and_then(|item| inside(findings, item));
        let dns = match fields.find("dns") {
            Some(item) => {
                let items = several(findings, item, 8);
                items.iter().filter_map(|item| address(findings, item, known.groups)).collect()
            }
            None => told(known.dns, subnet),
        };
        let domain = match fields.find("domain") {
            Some(item) => super::dns::domain(findings, item),
            None => known.dns.map(|dns| dns.domain.clone()),
        };
        let options = fields.find("options").map(|item| options::read(findings, item)).unwrap_or_default();
        let Some((server, at)) = server.and_then(|server| Some((server, server.ip4()?))) else { continue };
        if let Some(group) = known.groups.closed(server.ip) {
            let message = format!(
                "clients renew at address `{}`, and group `{group}` accepts nothing there",
                server.name
            );
            findings.error(&span, message, "remove its accept = false");
        }
        list.push(Dhcp {
            network: NetworkName::new(name),
            group: server.group.clone(),
            server: at,
            range,
            lease,
            router,
            dns,
            domain,
            options,
            hosts: fixed,
        });
    }
    unanswered(findings, root, &names, known.nodes);
    list
}

/// Where the cluster's own DNS answers on a network.
fn told(dns: Option<&Dns>, subnet: Ipv4Net) -> Vec<Ipv4Addr> {
    let listens = dns.into_iter().flat_map(|dns| &dns.listen);
    let ips = listens.filter_map(|listen| match listen.ip {
        std::net::IpAddr::V4(ip) => subnet.contains(&ip).then_some(ip),
        std::net::IpAddr::V6(_) => None,
    });
    ips.take(8).collect()
}

/// The virtual address that clients know the server by.
fn server<'x>(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    network: &str,
    span: &Span,
    groups: &'x Groups,
) -> Option<&'x Address> {
    let there: Vec<&Address> =
        groups.addresses.iter().filter(|it| it.network.as_str() == network && it.ip4().is_some()).collect();
    if let Some(item) = fields.find("server") {
        let name = item.text(findings, "\"inside\"")?;
        if !groups.address_names.resolve(findings, name, &item.span) {
            return None;
        }
        let found = there.iter().find(|address| address.name.as_str() == name).copied();
        if found.is_none() && groups.addresses.iter().any(|address| address.name.as_str() == name) {
            let message = format!("address `{name}` is not on network `{network}`");
            let names: Vec<&str> = there.iter().map(|address| address.name.as_str()).collect();
            findings.error(&item.span, message, suggest::one_of(name, names));
        }
        return found;
    }
    let all_read = groups.addresses.len() == groups.address_names.iter().count();
    match there.as_slice() {
        [one] => Some(one),
        [] if !all_read => None,
        [] => {
            let message = format!("no virtual address is on network `{network}`: no director answers there");
            let hint = format!("add an [address.NAME] with network = \"{network}\"");
            findings.error(span, message, hint);
            None
        }
        [first, ..] => {
            let names: Vec<&str> = there.iter().map(|address| address.name.as_str()).collect();
            let message = format!("network `{network}` has several virtual addresses");
            let hint = format!("add server = \"{}\"; it can be {}", first.name, suggest::list(&names));
            findings.error(span, message, hint);
            None
        }
    }
}

fn range(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    network: &str,
    subnet: Ipv4Net,
    networks: &Networks,
) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let text = item.text(findings, "\"10.0.0.10-10.0.0.99\"")?;
    let ends = text.split_once('-').and_then(|(first, last)| {
        Some((first.trim().parse::<Ipv4Addr>().ok()?, last.trim().parse::<Ipv4Addr>().ok()?))
    });
    let Some((first, last)) = ends else {
        let hint = "write the first and the last address, as in \"10.0.0.10-10.0.0.99\"";
        findings.value(&item.span, format!("`{text}` is not a range of addresses"), hint);
        return None;
    };
    if first > last {
        let hint = format!("write \"{last}-{first}\"");
        findings.value(
            &item.span,
            format!("the range ends before it begins: {last} is before {first}"),
            hint,
        );
        return None;
    }
    let (lowest, highest) = (subnet.network().to_bits() + 1, subnet.broadcast().to_bits() - 1);
    let (lowest, highest) = (Ipv4Addr::from_bits(lowest), Ipv4Addr::from_bits(highest));
    if first < lowest || last > highest {
        let outside = if first < lowest || first > highest { first } else { last };
        let message = format!("{outside} is not an address for machines on network `{network}`, {subnet}");
        findings.error(&item.span, message, format!("take addresses from {lowest} to {highest}"));
        return None;
    }
    if last.to_bits() - first.to_bits() >= MOST_ADDRESSES {
        let message = format!("the range has more than {MOST_ADDRESSES} addresses");
        findings.value(&item.span, message, "write a smaller one");
        return None;
    }
    let mut all = (first.to_bits()..=last.to_bits()).map(Ipv4Addr::from_bits);
    if all.all(|ip| networks.owner(ip.into()).is_some()) {
        let message = "the file gives every address of the range to somebody: nothing is left for others";
        findings.error(&item.span, message, "write a larger one, or remove it");
    }
    Some((first, last))
}

/// Fixed leases: of nodes, and of hosts.
fn fixed(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    network: &str,
    networks: &mut Networks,
    nodes: &Nodes,
    names: &mut Names,
) -> Vec<DhcpHost> {
    let mut seen: BTreeMap<Mac, String> = BTreeMap::new();
    let mut list = Vec::new();
    for node in &nodes.list {
        let Some(mac) = node.macs.get(network).copied() else { continue };
        if let Some(other) = seen.insert(mac, format!("node `{}`", node.name)) {
            let message = format!("{mac} is {other}'s on network `{network}` too");
            findings.error(&nodes.span(&node.name), message, "write each interface's own");
        }
        let ip = node.address_on(network).map(|address| address.ip);
        list.extend(ip.map(|ip| DhcpHost { name: node.name.clone(), mac, ip }));
    }
    let (tables, _) = named(findings, fields, "host", "host", 4096);
    for Named { name, span, header, table } in tables {
        let what = format!("host `{name}`");
        if nodes.names.contains(name) {
            let hint = format!("write mac.{network} = ... in [node.{name}], or take another name");
            findings.error(&span, format!("`{name}` is the name of a node already"), hint);
        } else if names.contains(name) {
            let message = format!("{what} is there twice, for two networks");
            findings.error(&span, message, "a name stands for one machine: rename one");
        }
        names.add(name, &span);
        let fields = Fields::open(findings, table, &header, &what, &[&reference::DHCP_HOST]);
        let mac_item = fields.require(findings, "mac", "\"52:54:00:12:34:56\"");
        let mac = mac_item.and_then(|item| mac(findings, item));
        if let (Some(mac), Some(item)) = (mac, mac_item)
            && let Some(other) = seen.insert(mac, what.clone())
        {
            let message = format!("{mac} is {other}'s on network `{network}` too");
            findings.error(&item.span, message, "write each interface's own");
        }
        let Some(item) = fields.require(findings, "ip", "\"10.0.0.9\"") else { continue };
        let Some(ip) = item.ipv4(findings) else { continue };
        networks.claim(findings, network, ip.into(), &item.span, &what);
        list.extend(mac.map(|mac| DhcpHost { name: NodeName::new(name), mac, ip }));
    }
    list
}

/// An address, or the name of a virtual one.
fn address(findings: &mut Findings<'_>, item: &Item<'_>, groups: &Groups) -> Option<Ipv4Addr> {
    let text = item.text(findings, "\"inside\"")?;
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    if !groups.address_names.resolve(findings, text, &item.span) {
        return None;
    }
    let found = groups.addresses.iter().find(|address| address.name.as_str() == text)?;
    if found.ip4().is_none() {
        let message = format!("address `{text}` is not an IPv4 address: DHCP cannot tell it");
        findings.error(&item.span, message, "name another address");
    }
    found.ip4()
}

/// A hardware address.
fn mac(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Mac> {
    let text = item.text(findings, "\"52:54:00:12:34:56\"")?;
    let Ok(mac) = text.parse::<Mac>() else {
        let hint = "write six numbers of two hexadecimal digits, as in \"52:54:00:12:34:56\"; see `ip link`";
        findings.value(&item.span, format!("`{text}` is not a hardware address"), hint);
        return None;
    };
    if mac.is_multicast() || mac == Mac([0; 6]) {
        let hint = "write what `ip link` shows after link/ether";
        findings.value(&item.span, format!("no interface has {mac} as its own"), hint);
        return None;
    }
    Some(mac)
}

/// Reads a node's `mac`.
pub(super) fn macs(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    owner: &str,
    networks: &Networks,
    is_there: impl Fn(&str) -> bool,
) -> BTreeMap<NetworkName, Mac> {
    let mut macs = BTreeMap::new();
    if let Some(text) = item.value.as_str() {
        let message = format!("`mac` of {owner} does not say on which network");
        findings.value(&item.span, message, format!("write mac.NETWORK = \"{text}\""));
        return macs;
    }
    let Some(table) = item.table(findings, "{ lan = \"52:54:00:00:00:01\" }") else { return macs };
    for entry in entries(table) {
        if !networks.names.resolve(findings, entry.name, &entry.key) {
            continue;
        }
        if !is_there(entry.name) {
            let message = format!("{owner} has no address on network `{}`", entry.name);
            findings.error(&entry.key, message, format!("add address.{} = \"10.0.0.1\"", entry.name));
        }
        if let Some(mac) = mac(findings, &entry) {
            macs.insert(NetworkName::new(entry.name), mac);
        }
    }
    macs
}

/// Nodes that wait for an address that nobody gives.
fn unanswered(findings: &mut Findings<'_>, root: &Fields<'_>, names: &Names, nodes: &Nodes) {
    for node in &nodes.list {
        for network in node.macs.keys() {
            if !names.contains(network)
                && root.find("dhcp").is_none_or(|item| item.value.as_table().is_some())
            {
                let message = format!(
                    "node `{}` has a `mac` on `{network}`, and nobody gives addresses there",
                    node.name
                );
                findings.lint(
                    &nodes.span(&node.name),
                    message,
                    format!("add [dhcp.{network}], or remove it"),
                );
            } else if node.is(Role::Director) {
                let message =
                    format!("director `{}` would ask itself for its address on `{network}`", node.name);
                let hint = "give directors their addresses without DHCP, and remove its `mac`";
                findings.lint(&nodes.span(&node.name), message, hint);
            }
        }
    }
}
