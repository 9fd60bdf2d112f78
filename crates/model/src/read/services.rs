//! `[service.NAME]`: where clients come in and how they are treated.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::limits;
use super::listens::Listening;
use super::names::{Named, Names};
use super::nodes::Nodes;
use super::paths;
use super::pools::{Pools, Users, strangers};
use super::rules;
use super::texts::path;
use super::tls;
use super::tree::Item;
use crate::cluster::{Challenge, Mode, ServerTls, Service};
use crate::name::{PoolName, ServiceName};
use crate::reference::{POOL, POOL_TIMEOUT, SERVICE, SERVICE_TIMEOUT};

/// What services refer to.
#[derive(Debug)]
pub(super) struct Known<'x> {
    pub(super) nodes: &'x Nodes,
    pub(super) users: &'x Names,
    pub(super) authorities: &'x Names,
}

/// The services, with places.
#[derive(Debug, Default)]
pub(super) struct Services {
    pub(super) list: Vec<Service>,
    /// Where their names are.
    pub(super) spans: BTreeMap<ServiceName, Span>,
    /// What is asked of the kernel's path, and where.
    pub(super) kernel: BTreeMap<ServiceName, paths::Asked>,
}

/// Reads all services, and the pools that they have for themselves.
pub(super) fn read(
    findings: &mut Findings<'_>,
    tables: &[Named<'_>],
    known: &Known<'_>,
    listening: &mut Listening<'_>,
    pools: &mut Pools,
) -> Services {
    let mut services = Services::default();
    let mut used: BTreeMap<PoolName, Users> = BTreeMap::new();
    for named in tables {
        let (service, mode, kernel) = service(findings, named, known, listening, pools);
        services.kernel.insert(service.name.clone(), kernel);
        // In an unknown mode everything may have a meaning.
        let modes = mode.map_or_else(|| vec![Mode::Tcp, Mode::Http, Mode::Udp], |mode| vec![mode]);
        for pool in service.pools() {
            let users = used.entry(pool.clone()).or_default();
            users.modes.extend(&modes);
            users.tls |= service.listen.iter().any(|listen| listen.tls);
        }
        services.spans.insert(service.name.clone(), named.span.clone());
        services.list.push(service);
    }
    pools.fit(findings, &used);
    services
}

fn service(
    findings: &mut Findings<'_>,
    named: &Named<'_>,
    known: &Known<'_>,
    listening: &mut Listening<'_>,
    pools: &mut Pools,
) -> (Service, Option<Mode>, paths::Asked) {
    let Named { name, span, header, table } = named;
    let what = format!("service `{name}`");
    let fields = Fields::open(findings, table, header, &what, &[&SERVICE, &POOL]);
    let modes = [("tcp", Mode::Tcp), ("http", Mode::Http), ("udp", Mode::Udp)];
    let written = fields.find("mode").map_or(Some(Mode::Tcp), |item| item.word(findings, &modes));
    // Of a mode that cannot be read nothing is known to be wrong.
    let mode = written.unwrap_or(Mode::Http);
    fields.fit(findings, mode, &SERVICE);
    let mut service = Service::new(ServiceName::new(name), mode, PoolName::new(name));
    let listen = fields.require(findings, "listen", "\"front:80\"");
    let placed = listen.map(|item| listening.read(findings, item, &what, written)).unwrap_or_default();
    let timeout = fields.find("timeout").and_then(|item| {
        let table = item.table(findings, "{ connect = \"1s\", server = \"30s\" }")?;
        Some(Fields::open(findings, table, &item.span, "`timeout`", &[&SERVICE_TIMEOUT, &POOL_TIMEOUT]))
    });
    if let Some(fields) = &timeout {
        limits::timeouts(findings, fields, mode, &mut service.timeouts);
    }
    treatment(findings, &fields, &mut service, written);
    service.tls = fields.find("tls").and_then(|item| tls::server(findings, item, known.authorities));
    encrypted(findings, &fields, &mut service, &placed);
    service.listen = placed.into_iter().map(|(listen, _)| listen).collect();
    if let Some(item) = fields.find("rule") {
        service.rules = rules::read(findings, item, written, &service, &pools.names, known.users);
    }
    if let Some(item) = fields.find("pool") {
        let pool =
            item.text(findings, "\"web\"").filter(|pool| pools.names.resolve(findings, pool, &item.span));
        strangers(findings, &fields, timeout.as_ref(), item);
        service.pool = PoolName::new(pool.unwrap_or(name));
    } else if !pools.list.iter().any(|pool| pool.name.as_str() == *name) {
        let answered = service.rules.iter().any(rules::always_ends);
        pools.add(findings, name, span, &fields, timeout.as_ref(), known.nodes, answered);
    }
    let kernel = paths::read(findings, &fields, listening.groups(), &mut service);
    (service, written, kernel)
}

/// Everything that is only about this service.
fn treatment(findings: &mut Findings<'_>, fields: &Fields<'_>, service: &mut Service, mode: Option<Mode>) {
    limits::limits(findings, fields, service.mode, &mut service.limits);
    limits::protocols(findings, fields, service);
    service.forwarded_for = fields.flag(findings, "forwarded_for").unwrap_or(service.forwarded_for);
    service.hsts = fields.time(findings, "hsts");
    service.compression = fields.find("compress").and_then(|item| limits::compression(findings, item));
    service.cache = fields.find("cache").and_then(|item| limits::cache(findings, item));
    let pages = fields.find("error_pages").map(|item| limits::error_pages(findings, item));
    service.error_pages = pages.unwrap_or_default();
    let monitor = fields.find("monitor").and_then(|item| path(findings, item, "/alive"));
    service.monitor = monitor.map(str::to_owned);
    let log = fields.find("log").map(|item| limits::log(findings, item, mode));
    service.log = log.unwrap_or_default();
}

/// Whether `tls`, `listen` and what needs TLS fit together.
fn encrypted(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    service: &mut Service,
    placed: &[super::listens::Placed],
) {
    let first = placed.iter().find(|(listen, _)| listen.tls);
    match (fields.find("tls"), first) {
        (None, Some((_, span))) => {
            let message = format!("{} listens with TLS here and has no `tls`", fields.what());
            let hint = "add tls = { certificates = [\"/etc/relevo/tls/shop.pem\"] } to the service";
            findings.error(span, message, hint);
        }
        (Some(item), None) if !placed.is_empty() && service.mode != Mode::Udp => {
            let at = placed.iter().find_map(|(listen, _)| Some((listen.address.as_ref()?, listen.at.port())));
            let at = at.map_or_else(|| "front:443".to_owned(), |(address, port)| format!("{address}:{port}"));
            let hint = format!("write listen = {{ at = \"{at}\", tls = true }}");
            findings.error(&item.key, format!("{} has `tls`, and no `listen` uses it", fields.what()), hint);
        }
        (_, _) => {}
    }
    if let (Some(item), None, true) = (fields.find("hsts"), first, service.mode == Mode::Http) {
        let hint = "add a listen with tls = true, or remove it";
        findings.error(
            &item.key,
            "`hsts` has no meaning without TLS: browsers ignore it (RFC 6797, 7.2)",
            hint,
        );
    }
}

/// What is only known when all services are: who answers ACME's questions.
pub(super) fn provable(
    findings: &mut Findings<'_>,
    services: &Services,
    authorities: &[crate::cluster::Acme],
    root: &Fields<'_>,
) {
    let listens = |port: u16, tls: bool| {
        let mut listens = services.list.iter().filter(|service| service.mode != Mode::Udp);
        listens.any(|service| {
            service.listen.iter().any(|listen| {
                listen.at.port() == port && (tls || service.mode == Mode::Http) && (!tls || listen.tls)
            })
        })
    };
    for service in &services.list {
        let Some(ServerTls { acme: Some((name, _)), .. }) = &service.tls else { continue };
        let Some(authority) = authorities.iter().find(|authority| authority.name == *name) else { continue };
        let (message, hint) = match authority.challenge {
            Challenge::Http01 if !listens(80, false) => (
                format!("authority `{name}` asks on port 80, where no service of mode `http` listens"),
                "let a service listen there, or write challenge = \"tls-alpn-01\" in the authority",
            ),
            Challenge::TlsAlpn01 if !listens(443, true) => (
                format!("authority `{name}` asks on port 443, where no service listens with TLS"),
                "let a service listen there with tls = true, or write challenge = \"http-01\" in the authority",
            ),
            Challenge::Http01 | Challenge::TlsAlpn01 => continue,
        };
        let span = services.spans.get(&service.name).unwrap_or(root.span());
        findings.lint(span, message, hint);
    }
}

/// An item's text in a table of services or rules, for names of pools.
pub(super) fn pool_named(findings: &mut Findings<'_>, item: &Item<'_>, pools: &Names) -> Option<PoolName> {
    let name = item.text(findings, "\"web\"")?;
    pools.resolve(findings, name, &item.span).then(|| PoolName::new(name))
}
