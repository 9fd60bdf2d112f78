//! Somebody's own cluster file, moved to loopback: one service, its rules and pools as they are, before servers of our own.
//!
//! The file's text is changed and read again, so that both balancers get every wish that is not about a place.

use anyhow::{Context, Result, bail};
use relevo_model::ClusterFile;
use relevo_model::cluster::{CheckKind, LogChoice, LogTarget, Mode, Pool, Service};
use toml::{Table, Value};

use super::features::Features;
use super::measurable;
use super::scene::{Place, preamble};
use super::workload::{WORKLOADS, Workload};
use super::{SERVERS, balancer};

/// The workload that is a service of a file: small answers, as the service speaks. With it what can be seen to be on, and
/// what of the file is not measured.
pub(super) fn workload(text: &str, service: &str) -> Result<(Workload, Features, Vec<String>)> {
    let cluster = balancer::read(text)?;
    let service = find(&cluster, service)?;
    if !measurable(service.mode) {
        bail!("service {} is one of UDP: that is not measured", service.name);
    }
    let tls = service.listen.iter().any(|listen| listen.tls);
    let [small, ..] = WORKLOADS;
    let workload =
        Workload { name: "service", what: "a service of a file", mode: service.mode, tls, ..small };
    let log = service.log.what == LogChoice::All && !matches!(cluster.log.target, LogTarget::None);
    let mut notes = Vec::new();
    for pool in &cluster.pools {
        let named = [
            (pool.servers.len() > SERVERS, "its servers beyond the third"),
            (pool.agent.is_some(), "its agent"),
            (pool.tls.is_some(), "TLS with its servers"),
            (pool.proxy_protocol.is_some(), "the PROXY protocol with its servers"),
            (pool.fallback.is_some(), "its fallback"),
        ];
        let uses = |pool: &Pool| pool.name == service.pool;
        notes.extend(
            named
                .iter()
                .filter(|(set, _)| *set && uses(pool))
                .map(|(_, what)| format!("pool {}: {what}", pool.name)),
        );
    }
    Ok((workload, Features { log, ..Features::NONE }, notes))
}

fn find<'a>(cluster: &'a ClusterFile, name: &str) -> Result<&'a Service> {
    let names: Vec<&str> = cluster.services.iter().map(|service| service.name.as_str()).collect();
    let found = cluster.services.iter().find(|service| service.name.as_str() == name);
    found.with_context(|| format!("there is no service {name}; there are {}", names.join(", ")))
}

/// The text for a place.
pub(super) fn scene(text: &str, name: &str, place: &Place) -> Result<String> {
    let cluster = balancer::read(text)?;
    let service = find(&cluster, name)?;
    let mut root: Table = text.parse().context("the cluster file")?;
    let mut kept: Table = preamble().parse()?;
    let mut table = take(&mut root, "service", name).context("the service's table")?;
    move_service(&mut table, service, place);
    let own = cluster.pool_of(service).filter(|_| !table.contains_key("pool"));
    if let Some(pool) = own {
        move_pool(&mut table, pool, service.mode, place);
    }
    kept.insert("service".to_owned(), one(name, Value::Table(table)));
    let mut pools = Table::new();
    for pool in service.pools().into_iter().filter_map(|name| cluster.pool(name)) {
        if let Some(mut table) = take(&mut root, "pool", pool.name.as_str()) {
            move_pool(&mut table, pool, service.mode, place);
            pools.insert(pool.name.to_string(), Value::Table(table));
        }
    }
    if !pools.is_empty() {
        kept.insert("pool".to_owned(), Value::Table(pools));
    }
    if let Some(users) = root.remove("users") {
        kept.insert("users".to_owned(), users);
    }
    if !matches!(cluster.log.target, LogTarget::None) {
        let mut log = Table::new();
        log.insert("access".to_owned(), Value::String(format!("syslog:{}", place.log.display())));
        kept.insert("log".to_owned(), Value::Table(log));
    }
    if let (Some(Value::Table(mut stats)), Some(_)) = (root.remove("stats"), &cluster.stats) {
        stats.insert("listen".to_owned(), Value::String(place.stats.to_string()));
        kept.insert("stats".to_owned(), Value::Table(stats));
    }
    Ok(kept.to_string())
}

fn take(root: &mut Table, kind: &str, name: &str) -> Option<Table> {
    match root.get_mut(kind)?.as_table_mut()?.remove(name)? {
        Value::Table(table) => Some(table),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => None,
    }
}

fn one(name: &str, value: Value) -> Value {
    Value::Table(Table::from_iter([(name.to_owned(), value)]))
}

fn move_service(table: &mut Table, service: &Service, place: &Place) {
    let at = Value::String(place.listen.to_string());
    let tls = service.listen.iter().any(|listen| listen.tls);
    let listen = Table::from_iter([("at".to_owned(), at), ("tls".to_owned(), Value::Boolean(tls))]);
    table.insert("listen".to_owned(), Value::Array(vec![Value::Table(listen)]));
    // One client asks for all, and from one address.
    if let Some(limit) = table.get_mut("limit").and_then(Value::as_table_mut) {
        limit.remove("connections_per_source");
    }
    let connections = i64::try_from(service.limits.connections.max(place.connections)).unwrap_or(i64::MAX);
    table.insert("max_connections".to_owned(), Value::Integer(connections));
    if let Some(tls) = table.get_mut("tls").and_then(Value::as_table_mut) {
        for key in ["acme", "names", "client_ca", "client_verify", "ocsp", "strict_sni"] {
            tls.remove(key);
        }
        let file = Value::String(place.certificate.display().to_string());
        tls.insert("certificates".to_owned(), Value::Array(vec![file]));
    }
    if service.mode == Mode::Http {
        table.insert("forwarded_for".to_owned(), Value::Boolean(true));
    }
}

/// Another three servers, with the weights and limits of the first three.
fn move_pool(table: &mut Table, pool: &Pool, mode: Mode, place: &Place) {
    // A pool that services of both modes use may have what only HTTP knows.
    let http: &[&str] =
        if mode == Mode::Http { &[] } else { &["cookie", "observe", "error_limit", "on_error"] };
    for key in http {
        table.remove(*key);
    }
    for key in ["servers", "agent", "server_tls", "send_proxy", "fallback"] {
        table.remove(key);
    }
    let mut servers = Table::new();
    for (index, at) in place.servers.iter().enumerate() {
        let mut one = Table::from_iter([("at".to_owned(), Value::String(at.to_string()))]);
        if let Some(like) = pool.servers.get(index) {
            one.insert("weight".to_owned(), Value::Integer(i64::from(like.weight.max(1))));
            if let Some(most) = like.max_connections {
                one.insert("max_connections".to_owned(), Value::Integer(i64::from(most)));
            }
        }
        servers.insert(format!("s{}", index + 1), Value::Table(one));
    }
    table.insert("server".to_owned(), Value::Table(servers));
    let time = |time: std::time::Duration| Value::String(format!("{}ms", time.as_millis().max(1)));
    let mut check = Table::from_iter([
        ("interval".to_owned(), time(pool.check.interval)),
        ("timeout".to_owned(), time(pool.check.timeout)),
        ("rise".to_owned(), Value::Integer(i64::from(pool.check.rise))),
        ("fall".to_owned(), Value::Integer(i64::from(pool.check.fall))),
    ]);
    match pool.check.kind {
        CheckKind::Http(_) => check.insert("http".to_owned(), Value::String("/healthz".to_owned())),
        CheckKind::None
        | CheckKind::Connect
        | CheckKind::Script { .. }
        | CheckKind::Command { .. }
        | CheckKind::Ping => check.insert("connect".to_owned(), Value::Boolean(true)),
    };
    table.insert("check".to_owned(), Value::Table(check));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = r#"
name = "my"
[network.lan]
subnet = "192.0.2.0/24"
[node.lb1]
roles = ["director"]
address.lan = "192.0.2.1"
[service.shop]
listen = "192.0.2.1:80"
mode = "http"
pool = "shop"
log = { what = "all", capture = ["User-Agent"] }
limit = { connections_per_source = 5 }
[[service.shop.rule]]
when = { path = "/static/*" }
pool = "static"
[service.raw]
listen = "192.0.2.1:81"
mode = "tcp"
pool = "shop"
[pool.shop]
servers = ["192.0.2.7:80", "192.0.2.8:80", "192.0.2.9:80", "192.0.2.10:80"]
cookie = "S"
balance = "leastconn"
check = { http = "/x", text = "alive" }
[pool.static]
servers = ["192.0.2.9:80"]
[log]
access = "stdout"
"#;

    #[test]
    fn pools_that_services_share_move_too() {
        let (workload, features, notes) = workload(SHARED, "shop").unwrap();
        assert_eq!((workload.mode, features.log), (Mode::Http, true));
        assert_eq!(notes, ["pool shop: its servers beyond the third"]);
    }

    #[test]
    fn services_move_to_loopback() {
        let place = Place::example();
        let (mut seen, mut texts) = (0, vec![SHARED.to_owned()]);
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            texts.push(text);
        }
        for text in texts {
            let Some(cluster) = relevo_model::read(&text).cluster else { continue };
            for service in &cluster.services {
                let name = service.name.as_str();
                let moved = balancer::read(&scene(&text, name, &place).unwrap()).unwrap();
                let [only] = moved.services.as_slice() else { panic!("one service") };
                assert_eq!((only.listen[0].at, only.mode), (place.listen.into(), service.mode));
                let pool = moved.pool_of(only).unwrap();
                let servers: Vec<String> = pool.servers.iter().map(|server| server.at.to_string()).collect();
                let wanted: Vec<String> = place.servers.iter().map(ToString::to_string).collect();
                assert_eq!(servers, wanted);
                assert_eq!(pool.timeouts, cluster.pool_of(service).unwrap().timeouts);
                assert_eq!(only.rules.len(), service.rules.len());
                assert_eq!(workload(&text, name).unwrap().0.mode, service.mode);
                seen += 1;
            }
        }
        assert!(seen >= 4);
        assert!(workload(include_str!("../../../../examples/minimal.toml"), "none").is_err());
    }
}
