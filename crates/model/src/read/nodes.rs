//! `[node.NAME]`: machines, their roles and addresses.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use toml::de::DeValue;

use super::dhcp;
use super::fields::Fields;
use super::findings::{Findings, Span};
use super::names::{Named, Names, named};
use super::networks::Networks;
use super::tree::{Item, entries};
use super::value::Placed;
use crate::cluster::{Node, NodeAddress, Role};
use crate::name::{NetworkName, NodeName};
use crate::reference;

const ROLES: [(&str, Role); 2] = [("director", Role::Director), ("server", Role::Server)];

/// The machines.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Those that are tables.
    pub(super) list: Vec<Node>,
    /// All that are declared.
    pub(super) names: Names,
    /// Those whose roles or addresses could not all be read: what they lack may be there.
    doubtful: BTreeSet<NodeName>,
}

/// Reads all nodes.
pub(super) fn read<'a>(findings: &mut Findings<'_>, root: &Fields<'a>, networks: &mut Networks) -> Nodes {
    let (tables, names) = named(findings, root, "node", "node", 1024);
    if root.find("node").is_none() {
        let hint = "add [node.lb1] and below it roles = [\"director\"] and address.lan = \"192.168.1.11\"";
        findings.error(root.span(), "the cluster has no node", hint);
    }
    let mut list = Vec::new();
    let mut doubtful = BTreeSet::new();
    for Named { name, header, table, .. } in tables {
        let what = format!("node `{name}`");
        let fields = Fields::open(findings, table, &header, &what, &[&reference::NODE]);
        let roles = fields.require(findings, "roles", "[\"director\"] or [\"server\"]");
        let roles = roles.map(|item| roles_of(findings, item)).unwrap_or_default();
        let example = "{ NETWORK = \"10.0.0.1\" }";
        let addresses = fields.require(findings, "address", example);
        let addresses =
            addresses.map(|item| addresses_of(findings, item, &what, networks)).unwrap_or_default();
        let written =
            fields.find("address").and_then(|item| item.value.as_table()).map_or(0, |table| table.len());
        if roles.is_empty() || addresses.is_empty() || addresses.len() < written {
            doubtful.insert(NodeName::new(name));
        }
        let is_there = |network: &str| {
            let written = fields.find("address").and_then(|item| item.value.as_table());
            written.is_none_or(|table| table.get(network).is_some())
        };
        let macs = fields.find("mac").map(|item| dhcp::macs(findings, item, &what, networks, is_there));
        list.push(Node { name: NodeName::new(name), roles, addresses, macs: macs.unwrap_or_default() });
    }
    Nodes { list, names, doubtful }
}

impl Nodes {
    /// The node of this name, if it is a table.
    pub(super) fn find(&self, name: &str) -> Option<&Node> {
        self.list.iter().find(|node| node.name.as_str() == name)
    }

    /// Whether something about a node could not be read.
    pub(super) fn is_doubtful(&self, name: &str) -> bool {
        self.doubtful.contains(name)
    }

    /// Whether a director may be among what could not be read.
    pub(super) fn may_have_more_directors(&self) -> bool {
        self.names.is_broken() || self.list.iter().any(|node| node.roles.is_empty())
    }

    /// The directors, in the file's order.
    pub(super) fn directors(&self) -> impl Iterator<Item = &Node> {
        self.list.iter().filter(|node| node.is(Role::Director))
    }

    /// Where a node is declared.
    pub(super) fn span(&self, name: &str) -> Span {
        self.names.span(name).cloned().unwrap_or_default()
    }
}

fn roles_of(findings: &mut Findings<'_>, item: &Item<'_>) -> Vec<Role> {
    let Some(list) = item.value.as_array() else {
        let example = match item.value.as_str() {
            Some(role) => format!("[\"{role}\"]"),
            None => "[\"director\"]".to_owned(),
        };
        item.wrong_type(findings, "a list", &example);
        return Vec::new();
    };
    if list.is_empty() {
        findings.value(&item.span, "`roles` is empty", "write [\"director\"], [\"server\"] or both");
    }
    let mut roles = Vec::new();
    for value in list.iter() {
        let entry = item.of_list(value);
        let Some(role) = entry.word(findings, &ROLES) else { continue };
        if roles.contains(&role) {
            findings.value(&entry.span, "a role is there twice", "keep one of them");
        } else {
            roles.push(role);
        }
    }
    roles
}

fn addresses_of(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    owner: &str,
    networks: &mut Networks,
) -> Vec<NodeAddress> {
    let mut addresses = Vec::new();
    if let Some(text) = item.value.as_str() {
        let network =
            text.parse().ok().and_then(|ip| networks.of(ip)).map_or("NETWORK", |network| &network.name);
        let message = format!("`address` of {owner} does not say on which network");
        findings.value(&item.span, message, format!("write address.{network} = \"{text}\""));
        return addresses;
    }
    let Some(table) = item.table(findings, "{ lan = \"10.0.0.1\" }") else { return addresses };
    if table.is_empty() {
        findings.value(&item.span, format!("{owner} has no address"), "add address.NETWORK = \"10.0.0.1\"");
    }
    for entry in entries(table) {
        if !networks.names.resolve(findings, entry.name, &entry.key) {
            continue;
        }
        let Some(((ip, at), second, interface)) = address(findings, &entry, owner) else { continue };
        networks.claim(findings, entry.name, ip.into(), &at, owner);
        if let Some((ip, at)) = &second {
            networks.claim(findings, entry.name, (*ip).into(), at, owner);
        }
        let ip6 = second.map(|(ip, _)| ip);
        addresses.push(NodeAddress { network: NetworkName::new(entry.name), ip, ip6, interface });
    }
    addresses
}

/// A node's addresses on one network, with their places, and the interface.
type Own = (Placed<Ipv4Addr>, Option<Placed<Ipv6Addr>>, Option<String>);

fn address(findings: &mut Findings<'_>, item: &Item<'_>, owner: &str) -> Option<Own> {
    let DeValue::Table(table) = item.value else {
        return item.both(findings).map(|(ip, ip6)| (ip, ip6, None));
    };
    let what = format!("the address of {owner} on `{}`", item.name);
    let fields = Fields::open(findings, table, &item.span, &what, &[&reference::INTERFACE]);
    let interface = fields.find("interface").and_then(|item| interface(findings, item));
    let (ip, ip6) = fields.require(findings, "ip", "\"10.0.0.1\"")?.both(findings)?;
    Some((ip, ip6, interface))
}

/// An interface's name.
pub(super) fn interface(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<String> {
    let text = item.text(findings, "\"eth0\"")?;
    let wrong = |char: char| char == '/' || char == ':' || char.is_whitespace() || char.is_control();
    if text.is_empty() || text.len() > 15 || text.contains(wrong) || text == "." || text == ".." {
        let hint = "a name has 1 to 15 bytes without spaces, `/` and `:`, as in \"eth0\"; see `ip link`";
        findings.value(&item.span, format!("`{text}` cannot be an interface's name"), hint);
        return None;
    }
    Some(text.to_owned())
}
