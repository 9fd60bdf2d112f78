//! The servers of a service: `servers = [...]` and `[service.NAME.server.NAME]`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::findings::{Findings, Span};
use super::names::check_name;
use super::nodes::Nodes;
use super::tree::{Fields, Item, entries};
use super::value::endpoint;
use crate::cluster::{Role, Server};
use crate::name::{NodeName, ServerName};

/// Most servers of one service.
const MOST: usize = 1024;

/// Reads the servers of a service: first the list, then the tables.
pub(super) fn read(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    nodes: &Nodes,
    what: &str,
) -> Vec<Server> {
    let mut drafts = match fields.find("servers") {
        Some(item) => listed(findings, item, nodes),
        None => Vec::new(),
    };
    let refined = drafts.len();
    if let Some(item) = fields.find("server") {
        tables(findings, item, nodes, &mut drafts, refined);
    }
    let written = fields.find("servers").or_else(|| fields.find("server"));
    match written {
        None => {
            let hint = "add servers = [\"web1:80\", \"web2:80\"]";
            findings.error(fields.span(), format!("{what} has no servers"), hint);
        }
        Some(item) if item.value.as_array().is_some_and(|list| list.is_empty()) && drafts.is_empty() => {
            let hint = "write servers = [\"web1:80\", \"web2:80\"]";
            findings.value(&item.span, format!("{what} has no servers"), hint);
        }
        Some(_) => {}
    }
    duplicates(findings, &drafts);
    if let Some(first) = drafts.first()
        && drafts.iter().all(|draft| draft.server.weight == 0)
    {
        let hint = "give at least one server a weight of 1 or more";
        findings.error(
            &first.span,
            format!("all servers of {what} have weight 0: nobody would answer"),
            hint,
        );
    }
    drafts.into_iter().map(|draft| draft.server).collect()
}

struct Draft {
    server: Server,
    span: Span,
}

fn listed(findings: &mut Findings<'_>, item: &Item<'_>, nodes: &Nodes) -> Vec<Draft> {
    let Some(list) = item.value.as_array() else {
        let example = item.value.as_str().map(|text| format!("[\"{text}\"]"));
        item.wrong_type(findings, "a list", example.as_deref().unwrap_or("[\"web1:80\", \"web2:80\"]"));
        return Vec::new();
    };
    if list.len() > MOST {
        findings.value(&item.span, format!("there are more than {MOST} servers"), "split the service");
    }
    let mut found: Vec<(String, Option<NodeName>, SocketAddrV4, Span)> = Vec::new();
    let mut hosts: BTreeMap<String, usize> = BTreeMap::new();
    for value in list.iter().take(MOST) {
        let entry = item.of_list(value);
        let Some((node, at)) = resolve(findings, &entry, nodes, true) else { continue };
        let host = node.as_ref().map_or_else(|| at.ip().to_string(), ToString::to_string);
        *hosts.entry(host.clone()).or_default() += 1;
        found.push((host, node, at, entry.span));
    }
    let draft = |(host, node, at, span): (String, Option<NodeName>, SocketAddrV4, Span)| {
        let several = hosts.get(&host).is_some_and(|count| *count > 1);
        let name = if several { format!("{host}:{}", at.port()) } else { host };
        Draft { server: Server { node, ..Server::new(ServerName::new(&name), at) }, span }
    };
    found.into_iter().map(draft).collect()
}

fn tables(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    nodes: &Nodes,
    drafts: &mut Vec<Draft>,
    refined: usize,
) {
    let Some(table) = item.value.as_table() else {
        findings.value(&item.span, "`server` must be tables by name", "write [service.NAME.server.NAME]");
        return;
    };
    if table.len() > MOST {
        findings.value(&item.span, format!("there are more than {MOST} servers"), "split the service");
    }
    for entry in entries(table).into_iter().take(MOST) {
        let what = format!("server `{}`", entry.name);
        let known = drafts[..refined].iter().position(|draft| draft.server.name.as_str() == entry.name);
        if known.is_none() {
            check_name(findings, entry.name, &entry.key, "server");
        }
        let Some(table) = entry.value.as_table() else {
            let hint = "write { at = \"web1:80\", weight = 2 }";
            findings.value(&entry.span, format!("{what} must be a table"), hint);
            continue;
        };
        let fields = Fields::open(findings, table, &entry.span, &what, &["at", "weight"]);
        let weight = fields.find("weight").and_then(|item| item.integer(findings, 0..=256, "2"));
        let weight = weight.and_then(|weight| u16::try_from(weight).ok()).unwrap_or(1);
        if let Some(index) = known {
            drafts[index].server.weight = weight;
            if let Some(item) = fields.find("at") {
                let hint = "take it out of `servers`, or remove `at` here";
                findings.error(&item.key, format!("{what} is in the list `servers` too"), hint);
            }
            continue;
        }
        let Some(item) = fields.require(findings, "at", &format!("\"{}:80\"", entry.name)) else { continue };
        let Some((node, at)) = resolve(findings, item, nodes, true) else { continue };
        let server = Server { node, weight, ..Server::new(ServerName::new(entry.name), at) };
        drafts.push(Draft { server, span: item.span.clone() });
    }
}

fn duplicates(findings: &mut Findings<'_>, drafts: &[Draft]) {
    let mut seen: BTreeMap<SocketAddrV4, &Draft> = BTreeMap::new();
    for draft in drafts {
        let Some(other) = seen.insert(draft.server.at, draft) else { continue };
        let (one, another) = (&draft.server.node, &other.server.node);
        if one.is_some() && another.is_some() && one != another {
            // Two nodes have one address, which is reported there.
            continue;
        }
        let message = format!(
            "{} is a server of this service already, line {}",
            draft.server.at,
            findings.line_of(&other.span)
        );
        findings.error(&draft.span, message, "remove one; to give it a larger share use `weight`");
    }
}

/// `NODE:PORT` or `IP:PORT` as a node's name, if it is one, and an address.
pub(super) fn resolve(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    nodes: &Nodes,
    serving: bool,
) -> Option<(Option<NodeName>, SocketAddrV4)> {
    let (host, port, span) = endpoint(findings, item, "web1:80")?;
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
            findings.value(&span, format!("{ip} is nobody's address"), "write a node's name or its address");
        }
        return Some((None, SocketAddrV4::new(ip, port)));
    }
    if !nodes.names.resolve(findings, host, &span) {
        return None;
    }
    let node = nodes.find(host)?;
    if serving && !node.roles.is_empty() && !node.is(Role::Server) {
        let hint = "add the role \"server\" to it, or name another node";
        findings.error(&span, format!("node `{host}` is not a server"), hint);
    }
    let reached = |network: &str| {
        nodes.directors().all(|node| node.address_on(network).is_some() || nodes.is_doubtful(&node.name))
    };
    let Some(address) = node.addresses.iter().find(|address| reached(&address.network)) else {
        if nodes.is_doubtful(host) {
            return None;
        }
        let message = format!("node `{host}` shares no network with all directors: they cannot reach it");
        let hint = "give every director an address on one of its networks";
        findings.error(&span, message, hint);
        return None;
    };
    Some((Some(node.name.clone()), SocketAddrV4::new(address.ip, port)))
}
