//! `[address.NAME]`: virtual addresses.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::groups::DEFAULT_GROUP;
use super::names::{Named, Names, named};
use super::networks::{Networks, is_link_local};
use super::nodes::interface;
use super::suggest;
use super::tree::Item;
use crate::cluster::{Address, Family, Scope};
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
        let (family, local) = (Family::of(ip), is_link_local(ip));
        let length = networks.find(network).and_then(|network| network.prefix_len(family));
        let length = if local { Some(LINK_LOCAL_PREFIX) } else { length };
        if let Some(length) = length.filter(|length| prefix != family.bits() && prefix != *length) {
            let message = format!("the prefix length {prefix} is not network `{network}`'s {length}");
            findings.error(&at, message, format!("write \"{ip}\" or \"{ip}/{length}\""));
        }
        let placement = placement(findings, &fields, family);
        let Some(group) = group else { continue };
        let (name, network) = (AddressName::new(name), NetworkName::new(network));
        let (interface, label, scope, watched) = placement;
        let group = GroupName::new(group);
        list.push(Address { name, group, network, ip, prefix, interface, label, scope, watched });
    }
    (list, names)
}

/// How it is put on: interface, label, scope, and whether it is watched.
fn placement(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    family: Family,
) -> (Option<String>, Option<String>, Scope, bool) {
    for key in ["label", "scope"] {
        if let (Family::V6, Some(item)) = (family, fields.find(key)) {
            findings.error(&item.key, format!("an IPv6 address has no `{key}`"), "remove it");
        }
    }
    let scopes =
        [("global", Scope::Global), ("site", Scope::Site), ("link", Scope::Link), ("host", Scope::Host)];
    let label = fields.find("label").and_then(|item| label(findings, item));
    let scope = fields.word(findings, "scope", &scopes).unwrap_or_default();
    let interface = fields.find("interface").and_then(|item| interface(findings, item));
    (interface, label, scope, fields.flag(findings, "watched").unwrap_or(true))
}

/// `IFA_LABEL`: the kernel takes what fits into an interface's name.
fn label(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<String> {
    let text = item.text(findings, "\"eth0:web\"")?;
    let wrong = |char: char| char == '/' || char.is_whitespace() || char.is_control();
    if text.is_empty() || text.len() > 15 || text.contains(wrong) {
        let hint = "a label has 1 to 15 bytes without spaces and `/`, as in \"eth0:web\"";
        findings.value(&item.span, format!("`{text}` cannot be a label"), hint);
        return None;
    }
    Some(text.to_owned())
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

fn prefixed(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<(IpAddr, u8, Span)> {
    let text = item.text(findings, "\"192.168.1.200\"")?;
    let (ip, prefix) = if let Ok(net) = text.parse::<IpNet>() {
        (net.addr(), net.prefix_len())
    } else if text.contains('/') {
        let (family, example) =
            if text.contains(':') { ("IPv6", "2001:db8:1::200") } else { ("IPv4", "192.168.1.200") };
        let length = if text.contains(':') { 64 } else { 24 };
        let hint = format!("write \"{example}\" or \"{example}/{length}\"");
        findings.value(&item.span, format!("`{text}` is not an {family} address with a prefix length"), hint);
        return None;
    } else {
        let ip = item.ip(findings)?;
        (ip, Family::of(ip).bits())
    };
    if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
        let hint = "write an address of the network, as in \"192.168.1.200\"";
        findings.value(&item.span, format!("{ip} cannot be a virtual address"), hint);
        return None;
    }
    Some((ip, prefix, item.span.clone()))
}

/// Of link-local addresses (RFC 4291 section 2.5.6).
const LINK_LOCAL_PREFIX: u8 = 64;
