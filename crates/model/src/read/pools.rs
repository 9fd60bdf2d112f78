//! `[pool.NAME]`, and the pools that services have for themselves.

use std::collections::BTreeMap;

use super::fields::{Fields, Use, misplaced};
use super::findings::{Findings, Span};
use super::names::{Named, Names, named};
use super::nodes::Nodes;
use super::suggest;
use super::tree::Item;
use super::{balance, check, limits, persistence, servers, tls};
use crate::cluster::{
    CheckKind, Cookie, Family, Mode, Observe, OnError, OnMarkedDown, Pool, PoolTimeouts, ProxyVersion, Server,
};
use crate::name::PoolName;
use crate::reference::{POOL, POOL_TIMEOUT};

/// The pools, with places for what is only known when all services are.
#[derive(Debug)]
pub(super) struct Pools {
    /// Those that could be read.
    pub(super) list: Vec<Pool>,
    /// All that are declared, those of services included.
    pub(super) names: Names,
    notes: BTreeMap<PoolName, Notes>,
}

/// The services that use a pool, taken together.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// Their modes.
    pub(super) modes: Vec<Mode>,
    /// Whether any listens with TLS.
    pub(super) tls: bool,
}

/// Places of a pool.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Where it is declared.
    pub(super) span: Span,
    /// How messages name it.
    pub(super) what: String,
    /// Where its check is written, or the pool.
    pub(super) check: Span,
    /// Whether the check is written.
    checked: bool,
    /// Where its connect timeout is written, if it is: nobody is warned of a default.
    pub(super) connect: Option<Span>,
    /// Where its cookie is written.
    cookie: Option<Span>,
    /// What it says that has a meaning in some modes only.
    uses: Vec<Use>,
}

/// Reads the pools with names of their own, and knows the names of the others.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    root: &Fields<'a>,
    nodes: &Nodes,
    services: &[Named<'a>],
) -> Pools {
    let (tables, names) = named(findings, root, "pool", "pool", 256);
    let mut pools = Pools { list: Vec::new(), names, notes: BTreeMap::new() };
    for Named { name, span, header, table } in &tables {
        let what = format!("pool `{name}`");
        let fields = Fields::open(findings, table, header, &what, &[&POOL]);
        let timeout = fields.find("timeout").and_then(|item| {
            let table = item.table(findings, "{ connect = \"1s\", server = \"30s\" }")?;
            Some(Fields::open(findings, table, &item.span, "`timeout` of a pool", &[&POOL_TIMEOUT]))
        });
        pools.add(findings, name, span, &fields, timeout.as_ref(), nodes, false);
    }
    for Named { name, span, .. } in services.iter().filter(|named| !named.table.contains_key("pool")) {
        if pools.names.contains(name) {
            let message = format!("service `{name}` has no `pool`, and there is [pool.{name}]");
            let hint = format!("write pool = \"{name}\", or give one of them another name");
            findings.error(span, message, hint);
        } else {
            pools.names.add(name, span);
        }
    }
    pools
}

impl Pools {
    /// Reads a pool out of the fields of its table, or of its service's.
    #[expect(clippy::too_many_arguments, reason = "a pool is made of what both of its places know")]
    pub(super) fn add(
        &mut self,
        findings: &mut Findings<'_>,
        name: &str,
        span: &Span,
        fields: &Fields<'_>,
        timeout: Option<&Fields<'_>>,
        nodes: &Nodes,
        may_be_empty: bool,
    ) {
        let mut notes = Notes {
            span: span.clone(),
            what: fields.what().to_owned(),
            check: fields.find("check").map_or(span, |item| &item.span).clone(),
            checked: fields.find("check").is_some(),
            connect: None,
            cookie: fields.find("cookie").map(|item| item.key.clone()),
            uses: fields.uses(&POOL),
        };
        let mut pool = Pool::new(PoolName::new(name));
        pool.balance = balance::read(findings, fields, &mut notes.uses);
        pool.tls = fields.find("server_tls").and_then(|item| tls::client(findings, item));
        pool.check = check::read(findings, fields.find("check"), pool.tls.is_some());
        pool.agent = fields.find("agent").and_then(|item| check::agent(findings, item));
        if let Some(timeout) = timeout {
            notes.uses.extend(timeout.uses(&POOL_TIMEOUT));
            notes.connect = timeout.find("connect").map(|item| item.span.clone());
            pool.timeouts = timeouts(findings, timeout, pool.timeouts);
        }
        pool.cookie = fields.find("cookie").and_then(|item| persistence::cookie(findings, item));
        let affinity = fields.find("affinity");
        pool.affinity = affinity.and_then(|item| persistence::affinity(findings, item, &mut notes.uses));
        pool.redispatch = fields.flag(findings, "redispatch").unwrap_or(pool.redispatch);
        pool.retries = fields.number(findings, "retries").unwrap_or(pool.retries);
        pool.max_queue = fields.number(findings, "max_queue");
        pool.all_backups = fields.flag(findings, "all_backups").unwrap_or(pool.all_backups);
        pool.slow_start = fields.time(findings, "slow_start");
        limits::server_protocols(findings, fields, &mut pool);
        let versions = [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];
        pool.proxy_protocol = fields.word(findings, "send_proxy", &versions);
        let families = [("ipv4", Family::V4), ("ipv6", Family::V6)];
        pool.family = fields.word(findings, "family", &families).unwrap_or(pool.family);
        let fallback = fields
            .find("fallback")
            .and_then(|item| servers::resolve(findings, item, (nodes, pool.family), false));
        pool.fallback = fallback.map(|(_, at)| at);
        observed(findings, fields, &mut pool, &mut notes.uses);
        let (list, places) =
            servers::read(findings, fields, (nodes, pool.family), &mut notes.uses, may_be_empty);
        pool.servers = list;
        servers::fit_together(findings, fields, timeout, &pool, &places);
        self.notes.insert(pool.name.clone(), notes);
        self.list.push(pool);
    }

    /// The places of a pool.
    pub(super) fn notes(&self, name: &str) -> Option<&Notes> {
        self.notes.get(name)
    }

    /// Whether what pools say has a meaning in the modes of the services that use them, and what follows from these.
    pub(super) fn fit(&mut self, findings: &mut Findings<'_>, used: &BTreeMap<PoolName, Users>) {
        for pool in &mut self.list {
            let Some(notes) = self.notes.get(&pool.name) else { continue };
            let Some(Users { modes, tls }) = used.get(&pool.name) else {
                let hint = format!("write pool = \"{}\" in a service or a rule, or remove it", pool.name);
                findings.lint(&notes.span, format!("nobody uses pool `{}`", pool.name), hint);
                continue;
            };
            for Use { name, span, modes: right } in &notes.uses {
                if let Some(mode) = modes.first()
                    && !modes.iter().any(|mode| right.contains(mode))
                {
                    misplaced(findings, span, name, *mode, right);
                }
            }
            if let (Some(Cookie { secure: true, .. }), false, Some(span)) = (&pool.cookie, tls, &notes.cookie)
            {
                let message = format!(
                    "browsers send back a secure cookie by TLS only, and nobody who uses {} listens with it",
                    notes.what
                );
                findings.lint(span, message, "write secure = false, or listen with tls = true");
            }
            if modes.iter().all(|mode| *mode == Mode::Udp) {
                datagrams(findings, pool, notes);
            }
        }
    }
}

/// The check of a pool to which only datagrams go.
fn datagrams(findings: &mut Findings<'_>, pool: &mut Pool, notes: &Notes) {
    if !notes.checked {
        pool.check.kind = CheckKind::Ping;
        let message =
            format!("{} is checked by ping: that tells of the machine, not of the program", notes.what);
        let hint = "add check = { command = [\"/PATH/TO/CHECK\"] } that asks the program, or check = \"ping\" if that will do";
        findings.lint(&notes.span, message, hint);
    }
    // At a port of its own there may be something that speaks TCP.
    let own = |server: &Server| server.check_port == server.at.port();
    if matches!(pool.check.kind, CheckKind::Script { .. }) && pool.servers.iter().any(own) {
        let message = "a `script` is spoken by TCP, and the service's mode is `udp`";
        let hint = "write command = [\"/PATH/TO/CHECK\"] that asks by UDP, or give each server a `check_port` for TCP";
        findings.error(&notes.check, message, hint);
    }
}

fn timeouts(findings: &mut Findings<'_>, fields: &Fields<'_>, default: PoolTimeouts) -> PoolTimeouts {
    PoolTimeouts {
        connect: fields.time(findings, "connect").unwrap_or(default.connect),
        server: fields.time(findings, "server").unwrap_or(default.server),
        queue: fields.time(findings, "queue").unwrap_or(default.queue),
    }
}

/// What traffic tells about servers, and what happens then.
fn observed(findings: &mut Findings<'_>, fields: &Fields<'_>, pool: &mut Pool, uses: &mut Vec<Use>) {
    let layers = [("layer4", Observe::Layer4), ("layer7", Observe::Layer7)];
    pool.observe = fields.word(findings, "observe", &layers);
    if pool.observe == Some(Observe::Layer7)
        && let Some(item) = fields.find("observe")
    {
        uses.push(http_use("layer7", item));
    }
    let reactions = [
        ("fastinter", OnError::Fastinter),
        ("fail-check", OnError::FailCheck),
        ("sudden-death", OnError::SuddenDeath),
        ("mark-down", OnError::MarkDown),
    ];
    pool.error_limit = fields.number(findings, "error_limit").unwrap_or(pool.error_limit);
    pool.on_error = fields.word(findings, "on_error", &reactions).unwrap_or_default();
    let ends = [("retry", OnMarkedDown::Retry), ("shutdown-sessions", OnMarkedDown::ShutdownSessions)];
    pool.on_marked_down = fields.word(findings, "on_marked_down", &ends).unwrap_or_default();
    if fields.find("observe").is_none() {
        let hint = "add observe = \"layer4\" or \"layer7\", or remove this line";
        super::texts::useless(
            findings,
            fields,
            &["error_limit", "on_error"],
            "has no meaning without `observe`",
            hint,
        );
    }
}

/// A value that has a meaning in mode `http` only.
pub(super) fn http_use(name: &str, item: &Item<'_>) -> Use {
    Use { name: name.to_owned(), span: item.span.clone(), modes: &[Mode::Http] }
}

/// Keys of a pool in a service that names one, at `named`. Many of them are one mistake.
pub(super) fn strangers(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    timeout: Option<&Fields<'_>>,
    named: &Item<'_>,
) {
    let pool = named.value.as_str().unwrap_or("NAME");
    let of_timeout = timeout.into_iter().flat_map(|timeout| timeout.of(&POOL_TIMEOUT));
    let keys: Vec<&Item<'_>> =
        fields.of(&POOL).filter(|item| item.name != "timeout").chain(of_timeout).collect();
    if keys.len() > 3 {
        let names: Vec<&str> = keys.iter().map(|item| item.name).collect();
        let names = suggest::list(&names).replace(" or one of ", " and ").replace(" or ", " and ");
        let message = format!("{} names a pool and is one itself, with {names}", fields.what());
        let hint = format!("remove `pool`, or write these keys in [pool.{pool}]");
        findings.error(&named.key, message, hint);
        return;
    }
    for item in keys {
        let message =
            format!("`{}` is about servers, and the service has pool `{pool}` for these", item.name);
        findings.error(&item.key, message, format!("write it in [pool.{pool}], or remove `pool`"));
    }
}
