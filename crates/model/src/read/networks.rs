//! `[network.NAME]`: subnets, and which address may be used by whom.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::names::{Named, Names, named};
use super::tree::Item;
use crate::cluster::Network;
use crate::name::NetworkName;
use crate::reference;

/// The networks, and who has which address.
#[derive(Debug)]
pub(super) struct Networks {
    /// Those that are right.
    pub(super) list: Vec<Network>,
    /// All that are declared.
    pub(super) names: Names,
    owners: BTreeMap<Ipv4Addr, (String, Span)>,
}

/// Reads all networks.
pub(super) fn read<'a>(findings: &mut Findings<'_>, root: &Fields<'a>) -> Networks {
    let (tables, names) = named(findings, root, "network", "network", 64);
    if root.find("network").is_none() {
        let hint = "add [network.lan] and below it subnet = \"192.168.1.0/24\"";
        findings.error(root.span(), "the cluster has no network", hint);
    }
    let mut list: Vec<Network> = Vec::new();
    for Named { name, span, header, table } in tables {
        check_interface(findings, name, &span, &list);
        let what = format!("network `{name}`");
        let fields = Fields::open(findings, table, &header, &what, &[&reference::NETWORK]);
        let Some(item) = fields.require(findings, "subnet", "\"192.168.1.0/24\"") else { continue };
        let Some(subnet) = subnet(findings, item) else { continue };
        if let Some(other) = list.iter().find(|other| overlap(other.subnet, subnet)) {
            let message = format!("{subnet} overlaps with {} of network `{}`", other.subnet, other.name);
            findings.error(&item.span, message, "give each network a subnet of its own");
            continue;
        }
        let mtu = fields.number(findings, "mtu");
        list.push(Network { name: NetworkName::new(name), subnet, mtu });
    }
    Networks { list, names, owners: BTreeMap::new() }
}

/// In the lab a node's interface is called like the network, cut to 15 bytes.
fn check_interface(findings: &mut Findings<'_>, name: &str, span: &Span, others: &[Network]) {
    let cut = |name: &str| name.chars().take(15).collect::<String>();
    if ["lo", "all", "default"].contains(&name) {
        let hint = "the lab names interfaces after networks: take another name, as in `lan`";
        findings.error(span, format!("a network cannot be called `{name}`"), hint);
    }
    if let Some(other) =
        others.iter().find(|other| cut(&other.name) == cut(name) && other.name.as_str() != name)
    {
        let message = format!("`{name}` and `{}` begin with the same 15 characters", other.name);
        findings.error(
            span,
            message,
            "the lab names interfaces after the first 15 characters: make them differ",
        );
    }
}

fn subnet(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Ipv4Net> {
    let text = item.text(findings, "\"192.168.1.0/24\"")?;
    let Ok(subnet) = text.parse::<Ipv4Net>() else {
        let hint = if text.contains("::") {
            "only IPv4 is supported, as in \"192.168.1.0/24\"".to_owned()
        } else if text.parse::<Ipv4Addr>().is_ok() {
            format!("add the prefix length, as in \"{text}/24\"")
        } else {
            "write an IPv4 subnet with its prefix length, as in \"192.168.1.0/24\"".to_owned()
        };
        findings.value(&item.span, format!("`{text}` is not a subnet"), hint);
        return None;
    };
    if subnet.addr() != subnet.network() {
        let message = format!("{subnet} has bits set after its prefix");
        findings.value(&item.span, message, format!("write \"{}\"", subnet.trunc()));
    }
    let first = subnet.network();
    if first.is_loopback() || first.is_multicast() || first.octets()[0] == 0 || first.octets()[0] >= 240 {
        let hint = "use a private subnet, as in \"192.168.1.0/24\"";
        findings.value(&item.span, format!("machines cannot have addresses of {}", subnet.trunc()), hint);
        return None;
    } else if !(8..=30).contains(&subnet.prefix_len()) {
        let message = format!("the prefix length {} is outside 8 to 30", subnet.prefix_len());
        findings.value(
            &item.span,
            message,
            "a subnet needs room for several machines, as in \"192.168.1.0/24\"",
        );
        return None;
    }
    Some(subnet.trunc())
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

impl Networks {
    /// The network of this name, if it is right.
    pub(super) fn find(&self, name: &str) -> Option<&Network> {
        self.list.iter().find(|network| network.name.as_str() == name)
    }

    /// The network whose subnet has this address.
    pub(super) fn of(&self, ip: Ipv4Addr) -> Option<&Network> {
        self.list.iter().find(|network| network.subnet.contains(&ip))
    }

    /// Who has this address.
    pub(super) fn owner(&self, ip: Ipv4Addr) -> Option<&str> {
        self.owners.get(&ip).map(|(owner, _)| owner.as_str())
    }

    /// Gives an address on a network to `owner` and says if that cannot be.
    pub(super) fn claim(
        &mut self,
        findings: &mut Findings<'_>,
        network: &str,
        ip: Ipv4Addr,
        span: &Span,
        owner: &str,
    ) {
        if let Some(subnet) = self.find(network).map(|network| network.subnet) {
            if !subnet.contains(&ip) {
                let hint = match self.of(ip) {
                    Some(other) => {
                        format!("{ip} is on network `{}`; or take one from {}", other.name, range(subnet))
                    }
                    None => format!("take one from {}", range(subnet)),
                };
                findings.error(span, format!("{ip} is outside network `{network}`, {subnet}"), hint);
            } else if ip == subnet.network() || ip == subnet.broadcast() {
                let which = if ip == subnet.network() { "network" } else { "broadcast" };
                let message = format!("{ip} is the {which} address of {subnet}");
                findings.error(span, message, format!("take one from {}", range(subnet)));
            }
        }
        match self.owners.get(&ip) {
            Some((other, at)) => {
                let message = format!("{ip} belongs to {other} already, line {}", findings.line_of(at));
                findings.error(span, message, format!("give {owner} an address of its own"));
            }
            None => {
                self.owners.insert(ip, (owner.to_owned(), span.clone()));
            }
        }
    }

    /// Gives the highest address of a network that nobody has.
    pub(super) fn take(&mut self, network: &str, owner: &str) -> Option<Ipv4Addr> {
        let subnet = self.find(network)?.subnet;
        let (first, last) = (subnet.network().to_bits(), subnet.broadcast().to_bits());
        let mut inside = (first + 1..last).rev().map(Ipv4Addr::from_bits);
        let ip = inside.find(|ip| !self.owners.contains_key(ip))?;
        self.owners.insert(ip, (owner.to_owned(), 0..0));
        Some(ip)
    }
}

fn range(subnet: Ipv4Net) -> String {
    let (first, last) = (subnet.network().to_bits(), subnet.broadcast().to_bits());
    format!(
        "{} to {}",
        Ipv4Addr::from_bits(first.saturating_add(1)),
        Ipv4Addr::from_bits(last.saturating_sub(1))
    )
}
