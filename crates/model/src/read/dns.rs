//! `[dns]`: which names there are, who may ask, and who is asked about the rest.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::fields::Fields;
use super::findings::Findings;
use super::groups::Groups;
use super::listens::Listening;
use super::networks::Networks;
use super::nodes::Nodes;
use super::suggest;
use super::texts::{opened, pairs, several};
use super::tree::Item;
use crate::cluster::{Dns, DnsListen, DnsRecord, DnsTarget, NodeAddress};
use crate::reference;

/// How long others may remember an answer when the file says nothing.
const TTL: Duration = Duration::from_secs(60);
/// Where DNS is (RFC 1035 section 4.2).
const PORT: u16 = 53;

/// Reads `[dns]`.
pub(super) fn read(
    findings: &mut Findings<'_>,
    root: &Fields<'_>,
    networks: &Networks,
    nodes: &Nodes,
    groups: &Groups,
    listening: &mut Listening<'_>,
) -> Option<Dns> {
    let item = root.find("dns")?;
    let example = "{ listen = \"inside\", domain = \"s2.internal\" }";
    let fields = opened(findings, item, &reference::DNS, "a table", example)?;
    let domain = fields
        .require(findings, "domain", "\"s2.internal\"")
        .and_then(|item| self::domain(findings, item))
        .unwrap_or_default();
    let (mut listen, mut nets) = (Vec::new(), Vec::new());
    if let Some(item) = fields.require(findings, "listen", "\"inside\"") {
        for item in several(findings, item, 16) {
            let Some(name) = item.text(findings, "\"inside\"") else { continue };
            if name.parse::<SocketAddr>().is_ok() || name.parse::<IpAddr>().is_ok() {
                let names = groups.address_names.iter();
                let hint = format!("write a virtual address's name; {}", suggest::one_of(name, names));
                findings.error(&item.span, format!("`{name}` is not the name of a virtual address"), hint);
                continue;
            }
            if !groups.address_names.resolve(findings, name, &item.span) {
                continue;
            }
            let found = groups.addresses.iter().find(|address| address.name.as_str() == name);
            let Some(address) = found else { continue };
            if listen.iter().any(|one: &DnsListen| one.address == address.name) {
                findings.error(&item.span, format!("`{name}` is there twice"), "keep one of them");
                continue;
            }
            listening.claim(findings, &item.span, address.ip, PORT, "DNS");
            listen.push(DnsListen { address: address.name.clone(), ip: address.ip });
            if let Some(network) =
                networks.find(&address.network).and_then(|network| match address.family() {
                    crate::cluster::Family::V4 => Some(IpNet::from(network.subnet)),
                    crate::cluster::Family::V6 => network.subnet6.map(IpNet::from),
                })
                && !nets.contains(&network)
            {
                nets.push(network);
            }
        }
    }
    let forward = match fields.find("forward") {
        Some(item) => {
            let items = several(findings, item, 8);
            items.iter().filter_map(|item| upstream(findings, item, groups)).collect()
        }
        None => Vec::new(),
    };
    let ttl = fields.time(findings, "ttl").unwrap_or(TTL);
    if let (Some(item), 1..) = (fields.find("ttl"), ttl.subsec_millis()) {
        findings.error(&item.span, "answers are remembered for whole seconds", "write it with s, m or h");
    }
    let allow = match fields.find("allow") {
        Some(item) => {
            let items = several(findings, item, 64);
            items.iter().flat_map(|item| allowed(findings, item, networks)).collect()
        }
        None => nets,
    };
    let records = fields.find("records").map(|item| records(findings, item, nodes, groups));
    Some(Dns { listen, domain, forward, ttl, allow, records: records.unwrap_or_default() })
}

/// A domain, in lower case and without a dot at its end.
pub(super) fn domain(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<String> {
    let text = item.text(findings, "\"s2.internal\"")?;
    let plain = text.strip_suffix('.').unwrap_or(text);
    if !is_domain(plain) || plain.parse::<IpAddr>().is_ok() {
        let hint = "write labels of letters, digits and `-` with dots between, as in \"s2.internal\"";
        findings.value(&item.span, format!("{text:?} is not a domain"), hint);
        return None;
    }
    Some(plain.to_ascii_lowercase())
}

/// RFC 1035 section 2.3.1, and the underscore of RFC 2782; room is left for names below it.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 120 && text.split('.').all(label)
}

fn upstream(findings: &mut Findings<'_>, item: &Item<'_>, groups: &Groups) -> Option<SocketAddr> {
    let text = item.text(findings, "\"9.9.9.9\"")?;
    let at = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT)));
    let Ok(at) = at else {
        let hint = "write an address, as in \"9.9.9.9\" or \"192.168.1.1:5353\"";
        findings.value(&item.span, format!("`{text}` is not the address of a name server"), hint);
        return None;
    };
    if at.ip().is_unspecified() || at.ip().is_multicast() || at.port() == 0 {
        findings.value(&item.span, format!("nobody answers at {at}"), "write the address of one name server");
        return None;
    }
    if let Some(own) = groups.addresses.iter().find(|address| address.ip == at.ip()) {
        let message = format!("address `{}` is the cluster's own: it would ask itself", own.name);
        findings.error(&item.span, message, "write the address of another name server");
        return None;
    }
    Some(at)
}

fn allowed(findings: &mut Findings<'_>, item: &Item<'_>, networks: &Networks) -> Vec<IpNet> {
    let Some(text) = item.text(findings, "\"lan\"") else { return Vec::new() };
    if let Ok(net) = text.parse::<IpNet>() {
        if net.prefix_len() == 0 {
            let message = "everybody could ask, and use the answers to flood others";
            findings.value(&item.span, message, "name the networks whose machines may ask");
            return Vec::new();
        }
        return vec![net.trunc()];
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return vec![IpNet::from(ip)];
    }
    if !networks.names.resolve(findings, text, &item.span) {
        return Vec::new();
    }
    let found = networks.find(text).into_iter();
    found
        .flat_map(|network| [Some(network.subnet.into()), network.subnet6.map(IpNet::from)])
        .flatten()
        .collect()
}

fn records(findings: &mut Findings<'_>, item: &Item<'_>, nodes: &Nodes, groups: &Groups) -> Vec<DnsRecord> {
    let mut list: Vec<DnsRecord> = Vec::new();
    for entry in pairs(findings, item, "{ www = \"front\" }", 4096) {
        let name = entry.name.to_ascii_lowercase();
        let below = name.strip_prefix("*.").unwrap_or(&name);
        if name != "@" && name != "*" && !is_domain(below) {
            let hint = "write the name without the domain, as in www, or \"@\" for the domain itself";
            findings.value(&entry.key, format!("`{}` is not a name", entry.name), hint);
            continue;
        }
        if list.iter().any(|record| record.name == name) {
            findings.value(
                &entry.key,
                format!("`{name}` is there twice"),
                "keep one; a list has room for several",
            );
            continue;
        }
        let items = several(findings, &entry, 64);
        let mut ips = Vec::new();
        let mut alias = None;
        for item in &items {
            let Some(text) = item.text(findings, "\"front\"") else { continue };
            if let Ok(ip) = text.parse::<IpAddr>() {
                ips.push(ip);
            } else if let Some(address) = groups.addresses.iter().find(|one| one.name.as_str() == text) {
                ips.push(address.ip);
            } else if let Some(node) = nodes.find(text) {
                ips.extend(node.addresses.iter().flat_map(NodeAddress::all));
            } else if text.contains('.') && is_domain(text.strip_suffix('.').unwrap_or(text)) {
                alias =
                    Some((text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase(), item.span.clone()));
            } else if !groups.address_names.contains(text) && !nodes.names.contains(text) {
                let names = groups.address_names.iter().chain(nodes.names.iter());
                let message = format!("`{text}` is neither an address, nor a name of one or of a node");
                findings.error(&item.span, message, suggest::one_of(text, names));
            }
        }
        match alias {
            Some((_, span)) if items.len() > 1 || name == "@" => {
                let message = "a name that stands for another one has nothing else (RFC 1034 section 3.6.2)";
                findings.value(&span, message, "write addresses, or this name alone");
            }
            Some((target, _)) => list.push(DnsRecord { name, target: DnsTarget::Alias(target) }),
            None => {
                ips.dedup();
                if !ips.is_empty() {
                    list.push(DnsRecord { name, target: DnsTarget::Addresses(ips) });
                }
            }
        }
    }
    list
}
