//! The servers of a pool: `servers = [...]` and `[pool.NAME.server.NAME]`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::fields::{Fields, Use};
use super::findings::{Findings, Span};
use super::names::check_name;
use super::nodes::Nodes;
use super::tree::{Item, entries};
use super::value::endpoint;
use crate::cluster::{Balance, Family, Node, NodeAddress, Pool, Role, Server};
use crate::name::{NodeName, ServerName};
use crate::reference::SERVER;

/// Most servers of one pool.
const MOST: usize = 1024;

/// Reads the servers of a pool: first the list, then the tables. `may_be_empty`: nobody asks them.
pub(super) fn read(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    from: (&Nodes, Family),
    uses: &mut Vec<Use>,
    may_be_empty: bool,
) -> (Vec<Server>, Vec<Span>) {
    let what = fields.what();
    let mut drafts = match fields.find("servers") {
        Some(item) => listed(findings, item, from),
        None => Vec::new(),
    };
    let refined = drafts.len();
    if let Some(item) = fields.find("server") {
        tables(findings, item, from, &mut drafts, refined, uses);
    }
    let written = fields.find("servers").or_else(|| fields.find("server"));
    match written {
        None if may_be_empty => {}
        None => {
            let service = what.starts_with("service");
            let or = if service { ", or pool = \"NAME\" for those of a [pool.NAME]" } else { "" };
            let hint = format!("add servers = [\"web1:80\", \"web2:80\"]{or}");
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
    drafts.into_iter().map(|draft| (draft.server, draft.span)).unzip()
}

struct Draft {
    server: Server,
    span: Span,
}

fn listed(findings: &mut Findings<'_>, item: &Item<'_>, from: (&Nodes, Family)) -> Vec<Draft> {
    let Some(list) = item.value.as_array() else {
        let example = item.value.as_str().map(|text| format!("[\"{text}\"]"));
        item.wrong_type(findings, "a list", example.as_deref().unwrap_or("[\"web1:80\", \"web2:80\"]"));
        return Vec::new();
    };
    if list.len() > MOST {
        findings.value(&item.span, format!("there are more than {MOST} servers"), "split the service");
    }
    let mut found: Vec<(String, Option<NodeName>, SocketAddr, Span)> = Vec::new();
    let mut hosts: BTreeMap<String, usize> = BTreeMap::new();
    for value in list.iter().take(MOST) {
        let entry = item.of_list(value);
        let Some((node, at)) = resolve(findings, &entry, from, true) else { continue };
        let host = node.as_ref().map_or_else(|| at.ip().to_string(), ToString::to_string);
        *hosts.entry(host.clone()).or_default() += 1;
        found.push((host, node, at, entry.span));
    }
    let draft = |(host, node, at, span): (String, Option<NodeName>, SocketAddr, Span)| {
        let several = hosts.get(&host).is_some_and(|count| *count > 1);
        let name = if several { format!("{host}:{}", at.port()) } else { host };
        Draft { server: Server { node, ..Server::new(ServerName::new(&name), at) }, span }
    };
    found.into_iter().map(draft).collect()
}

fn tables(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    from: (&Nodes, Family),
    drafts: &mut Vec<Draft>,
    refined: usize,
    uses: &mut Vec<Use>,
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
        let fields = Fields::open(findings, table, &entry.span, &what, &[&SERVER]);
        uses.extend(fields.uses(&SERVER));
        if let Some(index) = known {
            details(findings, &fields, &mut drafts[index].server);
            if let Some(item) = fields.find("at") {
                let hint = "take it out of `servers`, or remove `at` here";
                findings.error(&item.key, format!("{what} is in the list `servers` too"), hint);
            }
            continue;
        }
        let at = fields.require(findings, "at", &format!("\"{}:80\"", entry.name));
        let place = at.and_then(|item| resolve(findings, item, from, true));
        let (node, socket) = place.clone().unwrap_or((None, SocketAddr::from((Ipv4Addr::LOCALHOST, 1))));
        let mut server = Server { node, ..Server::new(ServerName::new(entry.name), socket) };
        details(findings, &fields, &mut server);
        if let (Some(_), Some(item)) = (place, at) {
            drafts.push(Draft { server, span: item.span.clone() });
        }
    }
}

/// What a server's table says beside its place.
fn details(findings: &mut Findings<'_>, fields: &Fields<'_>, server: &mut Server) {
    server.weight = fields.number(findings, "weight").unwrap_or(server.weight);
    server.max_connections = fields.number(findings, "max_connections");
    server.backup = fields.flag(findings, "backup").unwrap_or(server.backup);
    server.check_port = fields.number(findings, "check_port").unwrap_or(server.check_port);
    let Some(item) = fields.find("cookie") else { return };
    let Some(text) = item.text(findings, "\"web1\"") else { return };
    // cookie-octet of RFC 6265 section 4.1.1, without the `~` and `|` that end it in mode `prefix` and before dates.
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\~|".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        let hint = "write 1 to 64 visible ASCII characters without quotes, `,`, `;`, `\\`, `|` and `~`";
        findings.value(&item.span, format!("{text:?} cannot be a cookie's value"), hint);
        return;
    }
    text.clone_into(&mut server.cookie);
}

fn duplicates(findings: &mut Findings<'_>, drafts: &[Draft]) {
    let mut seen: BTreeMap<SocketAddr, &Draft> = BTreeMap::new();
    for draft in drafts {
        let Some(other) = seen.insert(draft.server.at, draft) else { continue };
        let (one, another) = (&draft.server.node, &other.server.node);
        if one.is_some() && another.is_some() && one != another {
            // Two nodes have one address, which is reported there.
            continue;
        }
        let message =
            format!("{} is a server here already, line {}", draft.server.at, findings.line_of(&other.span));
        findings.error(&draft.span, message, "remove one; to give it a larger share use `weight`");
    }
}

/// Whether what the pool and its servers say makes sense together.
pub(super) fn fit_together(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    timeout: Option<&Fields<'_>>,
    pool: &Pool,
    places: &[Span],
) {
    let mut cookies: BTreeMap<&str, &Server> = BTreeMap::new();
    for (server, span) in pool.servers.iter().zip(places).filter(|_| pool.cookie.is_some()) {
        if let Some(other) = cookies.insert(&server.cookie, server) {
            let message = format!("servers `{}` and `{}` have one cookie", other.name, server.name);
            findings.error(span, message, "give each its own value; without any it is the server's name");
        }
    }
    let plain = pool.servers.iter().find(|server| server.cookie != *server.name);
    if let (None, Some(server), Some(item)) = (&pool.cookie, plain, fields.find("server"))
        && fields.find("cookie").is_none()
    {
        let message = format!("server `{}` has a cookie, and the pool has none", server.name);
        findings.error(&item.key, message, "add cookie = \"SERVERID\" to the pool, or remove it");
    }
    // An agent may bound a server too.
    let bounded = pool.agent.is_some() || pool.servers.iter().any(|server| server.max_connections.is_some());
    let queue = timeout.and_then(|timeout| timeout.find("queue"));
    for item in fields.find("max_queue").into_iter().chain(queue).filter(|_| !bounded) {
        let message =
            format!("`{}` is about waiting, and no server has `max_connections`: nobody waits", item.name);
        findings.lint(&item.key, message, "give servers max_connections, or remove it");
    }
    if pool.balance == Balance::First
        && !bounded
        && let Some(item) = fields.find("balance")
    {
        let message = "with `first` and without `max_connections` one server does all the work";
        findings.lint(&item.span, message, "give servers max_connections, or write \"leastconn\"");
    }
    if let (Balance::StaticRr, Some(item)) = (&pool.balance, fields.find("slow_start")) {
        findings.lint(
            &item.key,
            "`static-rr` has no slow start",
            "remove it, or write balance = \"roundrobin\"",
        );
    }
    let backups = pool.servers.iter().filter(|server| server.backup).count();
    if let (true, 0, Some(item)) = (pool.all_backups, backups, fields.find("all_backups")) {
        findings.lint(
            &item.key,
            "no server is a backup",
            "write backup = true in a server's table, or remove it",
        );
    }
    if let (true, Some(span)) = (backups > 0 && backups == pool.servers.len(), places.first()) {
        let message = format!("all servers of {} are backups", fields.what());
        findings.lint(span, message, "backups work while no other server can; leave some without");
    }
}

/// `NODE:PORT` or `IP:PORT` as a node's name, if it is one, and an address: of a node the one of `family`.
pub(super) fn resolve(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    (nodes, family): (&Nodes, Family),
    serving: bool,
) -> Option<(Option<NodeName>, SocketAddr)> {
    let (host, port, span) = endpoint(findings, item, "web1:80")?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        let is_mapped = matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        let is_near = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if ip.is_unspecified() || ip.is_multicast() || is_broadcast || is_mapped {
            findings.value(&span, format!("{ip} is nobody's address"), "write a node's name or its address");
        } else if is_near {
            let hint = "write a node's name, or an address that it has on a network of the file";
            findings.value(&span, format!("{ip} means another machine on each link"), hint);
        }
        return Some((None, SocketAddr::new(ip, port)));
    }
    if !nodes.names.resolve(findings, host, &span) {
        return None;
    }
    let node = nodes.find(host)?;
    if serving && !node.roles.is_empty() && !node.is(Role::Server) {
        let hint = "add the role \"server\" to it, or name another node";
        findings.error(&span, format!("node `{host}` is not a server"), hint);
    }
    let own = |address: &NodeAddress| address.of(family);
    let reached = |network: &str| {
        let here =
            |node: &Node| node.addresses.iter().any(|one| *one.network == *network && own(one).is_some());
        nodes.directors().all(|node| here(node) || nodes.is_doubtful(&node.name))
    };
    let mut usable = node.addresses.iter().filter(|address| reached(&address.network));
    let Some(ip) = usable.find_map(own) else {
        if nodes.is_doubtful(host) {
            return None;
        }
        let message = match family {
            Family::V4 => format!("node `{host}` shares no network with all directors: they cannot reach it"),
            Family::V6 => {
                format!("node `{host}` shares no network on which all have IPv6 addresses with all directors")
            }
        };
        let hint = "give every director an address on one of its networks";
        findings.error(&span, message, hint);
        return None;
    };
    Some((Some(node.name.clone()), SocketAddr::new(ip, port)))
}
