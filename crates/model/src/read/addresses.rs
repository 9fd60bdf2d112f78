//! `[address.NAME]`: virtual addresses.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::groups::DEFAULT_GROUP;
use super::names::{Named, Names, named};
use super::networks::Networks;
use super::suggest;
use super::tree::Item;
use crate::cluster::Address;
use crate::name::{AddressName, GroupName, NetworkName};
use crate::reference;

/// Reads all virtual addresses. `implied`: the file has no groups.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    root: &Fields<'a>,
    networks: &mut Networks,
    groups: &Names,
    implied: bool,
) -> (Vec<Address>, Names) {
    let (tables, names) = named(findings, root, "address", "address", 1024);
    let mut list = Vec::new();
    for Named { name, span, header, table } in tables {
        let what = format!("address `{name}`");
        if name.parse::<Ipv4Addr>().is_ok() {
            continue;
        }
        let fields = Fields::open(findings, table, &header, &what, &[&reference::ADDRESS]);
        let ip =
            fields.require(findings, "ip", "\"192.168.1.200\"").and_then(|item| prefixed(findings, item));
        let fits =
            ip.as_ref().and_then(|(ip, ..)| networks.of(*ip)).map_or("NETWORK", |network| &network.name);
        let network = fields.require(findings, "network", &format!("\"{fits}\""));
        let network = network.and_then(|item| {
            let name = item.text(findings, "\"lan\"")?;
            networks.names.resolve(findings, name, &item.span).then_some(name)
        });
        let group = group_of(findings, &fields, &span, groups, implied);
        let (Some((ip, prefix, at)), Some(network)) = (ip, network) else { continue };
        networks.claim(findings, network, ip, &at, &what);
        let length = networks.find(network).map(|network| network.subnet.prefix_len());
        if let Some(length) = length.filter(|length| prefix != 32 && prefix != *length) {
            let message = format!("the prefix length {prefix} is not network `{network}`'s {length}");
            findings.error(&at, message, format!("write \"{ip}\" or \"{ip}/{length}\""));
        }
        let Some(group) = group else { continue };
        let (name, network) = (AddressName::new(name), NetworkName::new(network));
        list.push(Address { name, group: GroupName::new(group), network, ip, prefix });
    }
    (list, names)
}

fn group_of<'a>(
    findings: &mut Findings<'_>,
    fields: &'a Fields<'_>,
    span: &Span,
    groups: &'a Names,
    implied: bool,
) -> Option<&'a str> {
    let Some(item) = fields.find("group") else {
        let mut names = groups.iter();
        let (first, second) = (names.next(), names.next());
        if second.is_some() {
            let names: Vec<&str> = groups.iter().collect();
            let hint = format!("add group = \"...\"; it can be {}", suggest::list(&names));
            findings.error(span, "the address does not say its group, and there are several", hint);
            return None;
        }
        return first;
    };
    let name = item.text(findings, "\"web\"")?;
    if implied && name != DEFAULT_GROUP {
        let hint = format!("add [group.{name}], or remove this line");
        findings.error(&item.span, format!("there is no group `{name}`"), hint);
        return None;
    }
    groups.resolve(findings, name, &item.span).then_some(name)
}

fn prefixed(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<(Ipv4Addr, u8, Span)> {
    let text = item.text(findings, "\"192.168.1.200\"")?;
    if let Ok(net) = text.parse::<Ipv4Net>() {
        return Some((net.addr(), net.prefix_len(), item.span.clone()));
    }
    if text.contains('/') && text.parse::<ipnet::Ipv6Net>().is_err() {
        let hint = "write \"192.168.1.200\" or \"192.168.1.200/24\"";
        findings.value(&item.span, format!("`{text}` is not an IPv4 address with a prefix length"), hint);
        return None;
    }
    item.ipv4(findings).map(|ip| (ip, 32, item.span.clone()))
}
