//! `[service.NAME]`: where it listens and how it treats traffic.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::check;
use super::findings::{Findings, Span};
use super::groups::Groups;
use super::names::{Named, named};
use super::networks::Networks;
use super::nodes::Nodes;
use super::servers;
use super::suggest;
use super::tree::{Fields, Item};
use super::value::endpoint;
use crate::cluster::{Balance, Listen, Mode, Pool, PoolTimeouts, Service, Timeouts};
use crate::name::{AddressName, PoolName, ServiceName};

/// The keys of a service.
const KEYS: [&str; 11] = [
    "listen",
    "mode",
    "balance",
    "check",
    "forwarded_for",
    "timeout",
    "max_connections",
    "max_header",
    "fallback",
    "servers",
    "server",
];

/// Most places where one service listens.
const MOST_LISTENS: usize = 64;

/// Longest time limit.
const DAY: Duration = Duration::from_secs(86_400);

/// The services, with places for the timing linter.
#[derive(Debug, Default)]
pub(super) struct Services {
    pub(super) list: Vec<Service>,
    /// Their pools.
    pub(super) pools: Vec<Pool>,
    /// Where each service's check is written, or the service.
    pub(super) checks: BTreeMap<ServiceName, Span>,
    /// Where each service's connect timeout is written, if it is: nobody is warned of a default.
    pub(super) connects: BTreeMap<ServiceName, Span>,
}

/// Reads all services.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    root: &Fields<'a>,
    networks: &Networks,
    nodes: &Nodes,
    groups: &Groups,
) -> Services {
    let (tables, _) = named(findings, root, "service", "service", 256);
    let mut services = Services::default();
    let mut listening = BTreeMap::new();
    for table in &tables {
        let listen = Listening { networks, groups, taken: &mut listening };
        service(findings, table, listen, nodes, &mut services);
    }
    services
}

struct Listening<'x> {
    networks: &'x Networks,
    groups: &'x Groups,
    taken: &'x mut BTreeMap<SocketAddrV4, (String, Span)>,
}

fn service<'a>(
    findings: &mut Findings<'_>,
    named: &Named<'a>,
    listening: Listening<'_>,
    nodes: &Nodes,
    services: &mut Services,
) {
    let Named { name, span, header, table } = named;
    let what = format!("service `{name}`");
    let fields = Fields::open(findings, table, header, &what, &KEYS);
    let listen = match fields.require(findings, "listen", "\"front:80\"") {
        Some(item) => listens(findings, item, &what, listening),
        None => Vec::new(),
    };
    let modes = [("tcp", Mode::Tcp), ("http", Mode::Http)];
    let mode = fields.find("mode").map_or(Some(Mode::Tcp), |item| item.word(findings, &modes));
    if mode == Some(Mode::Tcp) {
        http_only(findings, &fields, &["forwarded_for", "max_header"]);
    }
    let mode = mode.unwrap_or(Mode::Http);
    let balances = [("roundrobin", false), ("leastconn", true)];
    let balance = fields.find("balance").and_then(|item| item.word(findings, &balances));
    let balance = balance.map(|least| if least { Balance::LeastConn } else { Balance::RoundRobin });
    let forwarded_for = fields.find("forwarded_for").and_then(|item| item.boolean(findings));
    let max_connections = fields.find("max_connections");
    let max_connections = max_connections.and_then(|item| item.integer(findings, 1..=1_000_000, "10000"));
    let max_header = fields.find("max_header").and_then(|item| item.size(findings, 1 << 10..=1 << 20));
    let fallback = fields.find("fallback").and_then(|item| servers::resolve(findings, item, nodes, false));
    let own = PoolName::new(name);
    let mut pool = Pool::new(own.clone());
    let name = ServiceName::new(name);
    let mut service = Service::new(name.clone(), mode, own);
    let connect = timeouts(findings, &fields, mode, &mut service.timeouts, &mut pool.timeouts);
    services.checks.insert(name.clone(), fields.find("check").map_or(span, |item| &item.span).clone());
    services.connects.extend(connect.map(|connect| (name, connect)));
    service.listen = listen;
    service.forwarded_for = forwarded_for.unwrap_or(service.forwarded_for);
    let count = |number: i64| usize::try_from(number).ok();
    let limits = &mut service.limits;
    limits.connections = max_connections.and_then(count).unwrap_or(limits.connections);
    limits.header = max_header.and_then(|most| usize::try_from(most).ok()).unwrap_or(limits.header);
    limits.uri = limits.uri.min(limits.header);
    pool.balance = balance.unwrap_or_default();
    pool.check = check::read(findings, fields.find("check"));
    pool.fallback = fallback.map(|(_, at)| at);
    pool.servers = servers::read(findings, &fields, nodes, &what);
    services.list.push(service);
    services.pools.push(pool);
}

fn http_only(findings: &mut Findings<'_>, fields: &Fields<'_>, keys: &[&str]) {
    for item in keys.iter().filter_map(|key| fields.find(key)) {
        let message = format!("`{}` has no meaning in mode `tcp`", item.name);
        findings.error(&item.key, message, "remove it, or write mode = \"http\"");
    }
}

fn listens(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    what: &str,
    listening: Listening<'_>,
) -> Vec<Listen> {
    let items = match item.value.as_array() {
        Some(list) => list.iter().map(|value| item.of_list(value)).collect(),
        None => vec![item.clone()],
    };
    if items.is_empty() {
        findings.value(&item.span, format!("{what} listens nowhere"), "write listen = \"front:80\"");
    }
    if items.len() > MOST_LISTENS {
        findings.value(
            &item.span,
            format!("{what} listens at more than {MOST_LISTENS} places"),
            "split the service",
        );
    }
    let mut listens = Vec::new();
    for item in items.into_iter().take(MOST_LISTENS) {
        let Some((host, port, at)) = endpoint(findings, &item, "front:80") else { continue };
        let Some((address, ip)) = listening.address(findings, host, &at) else { continue };
        let socket = SocketAddrV4::new(ip, port);
        if let Some((other, before)) = listening.taken.get(&socket) {
            let message = format!("{other} listens on {socket} already, line {}", findings.line_of(before));
            findings.error(&item.span, message, "give each service its own address or port");
        } else {
            listening.taken.insert(socket, (what.to_owned(), item.span.clone()));
        }
        listens.push(Listen { address, ..Listen::plain(socket) });
    }
    listens
}

impl Listening<'_> {
    fn address(
        &self,
        findings: &mut Findings<'_>,
        host: &str,
        span: &Span,
    ) -> Option<(Option<AddressName>, Ipv4Addr)> {
        let names = &self.groups.address_names;
        let Ok(ip) = host.parse::<Ipv4Addr>() else {
            let known = names.resolve(findings, host, span);
            let address =
                self.groups.addresses.iter().find(|address| known && address.name.as_str() == host)?;
            return Some((Some(address.name.clone()), address.ip));
        };
        if !ip.is_unspecified() && !ip.is_loopback() && self.networks.owner(ip).is_none() {
            let hint = format!("write a virtual address's name; {}", suggest::one_of(host, names.iter()));
            findings.error(span, format!("no director has or gets the address {ip}"), hint);
            return None;
        }
        Some((None, ip))
    }
}

fn timeouts(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    mode: Mode,
    of_service: &mut Timeouts,
    of_pool: &mut PoolTimeouts,
) -> Option<Span> {
    let item = fields.find("timeout")?;
    let table = item.table(findings, "{ connect = \"1s\", server = \"30s\" }")?;
    let keys = ["connect", "client", "server", "request", "keep_alive"];
    let fields = Fields::open(findings, table, &item.span, "`timeout`", &keys);
    if mode == Mode::Tcp {
        http_only(findings, &fields, &["request", "keep_alive"]);
    }
    let slots = [
        &mut of_pool.connect,
        &mut of_service.client,
        &mut of_pool.server,
        &mut of_service.request,
        &mut of_service.keep_alive,
    ];
    for (key, slot) in keys.iter().zip(slots) {
        let limit = fields.find(key).and_then(|item| item.duration(findings, Duration::from_millis(1)..=DAY));
        *slot = limit.unwrap_or(*slot);
    }
    fields.find("connect").map(|item| item.span.clone())
}
