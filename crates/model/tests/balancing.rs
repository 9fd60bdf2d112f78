//! What a right file means for the balancer: services, pools, rules, users, TLS, log, statistics page.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use relevo_model::cluster::{
    AccessLog, Action, AffinityKey, Balance, BasicAuth, CheckKind, ClusterFile, Coding, Condition,
    CookieMode, Deny, Expect, Hash, HashKey, HashMethod, HeaderEdit, LogChoice, LogFormat, LogTarget, Mode,
    NameTest, Observe, OnError, OnMarkedDown, Pattern, Pool, Protocol, ProxyVersion, RateKey, Redirect,
    Rewrite, Service, SourceNet, Step, TlsVersion, Verify,
};
use relevo_model::{diagnostic, read};

const BASE: &str = r#"name = "shop"
network.lan.subnet = "10.1.0.0/24"
node.lb1 = { roles = ["director"], address.lan = "10.1.0.11" }
node.lb2 = { roles = ["director"], address.lan = "10.1.0.12" }
node.web1 = { roles = ["server"], address.lan = "10.1.0.21" }
node.web2 = { roles = ["server"], address.lan = "10.1.0.22" }
address.front = { network = "lan", ip = "10.1.0.200" }
"#;

const STAFF: &str = "[users.staff]\nanna = \"$5$salt$JWnMBU6pUUJSJvLYFWkpbFh6V.BSvCWrwdYT1ZFOPK7\"\n";

fn right(more: &str) -> ClusterFile {
    let text = format!("{BASE}{more}");
    let mut reading = read(&text);
    let expected = ["no service uses server", "service `dns` is checked by ping"];
    reading.diagnostics.retain(|found| !expected.iter().any(|begin| found.message.starts_with(begin)));
    assert!(reading.diagnostics.is_empty(), "{}", diagnostic::render("test", &text, &reading.diagnostics));
    reading.cluster.unwrap()
}

fn http(more: &str) -> (Service, Pool) {
    let mut cluster = right(&format!(
        "[service.web]\nmode = \"http\"\nlisten = \"front:80\"\nservers = [\"web1:80\", \"web2:80\"]\n{more}"
    ));
    (cluster.services.remove(0), cluster.pools.remove(0))
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_service_says_how_clients_are_treated() {
    let cluster = right(
        r#"
[service.shop]
listen = ["front:80", { at = "front:443", tls = true }, { at = "front:444", tls = true, proxy_protocol = true }]
mode = "http"
servers = ["web1:80"]
tls = { certificates = ["/tls/shop.pem", { chain = "a.crt", key = "a.key" }], min_version = "1.3", strict_sni = true, client_ca = "/x.pem", ocsp = true, acme = "ca", names = ["Shop.example.org"] }
protocols = ["http/1.1", "h2"]
h2c = true
hsts = "365d"
forwarded_for = false
timeout = { connect = "2s", client = "20s", server = "21s", request = "11s", keep_alive = "12s", queue = "13s", tunnel = "2h" }
max_connections = 500
max_header = "32KiB"
limit = { uri = "4KiB", body = "10MiB", connections_per_source = 100, streams = 50 }
compress = { codings = ["gzip"], types = ["text/*"], least = "2KiB" }
cache = true
error_pages = { 503 = "/etc/relevo/503.html" }
monitor = "/alive"
log = { what = "errors", capture = ["User-Agent"] }
server.web1.max_connections = 10
[acme.ca]
directory = "https://ca.example.org/dir"
contact = ["mailto:admin@example.org"]
[log]
access = "syslog:/dev/log"
format = "json"
"#,
    );
    let [service] = cluster.services.as_slice() else { panic!("{:?}", cluster.services) };
    let listens: Vec<_> =
        service.listen.iter().map(|listen| (listen.at.port(), listen.tls, listen.proxy_protocol)).collect();
    assert_eq!(listens, [(80, false, false), (443, true, false), (444, true, true)]);
    let tls = service.tls.as_ref().unwrap();
    assert_eq!(tls.certificates[1].key, Some(PathBuf::from("a.key")));
    assert_eq!((tls.min_version, tls.strict_sni, tls.ocsp), (TlsVersion::V13, true, true));
    assert_eq!((tls.client_verify, tls.client_ca.clone()), (Verify::Required, Some(PathBuf::from("/x.pem"))));
    let (authority, names) = tls.acme.clone().unwrap();
    assert_eq!((authority.as_str(), names), ("ca", vec!["shop.example.org".to_owned()]));
    assert_eq!(cluster.acme[0].contact, ["admin@example.org"]);
    assert_eq!(
        (service.protocols.as_slice(), service.h2c),
        ([Protocol::Http1, Protocol::H2].as_slice(), true)
    );
    assert_eq!((service.hsts, service.forwarded_for), (Some(seconds(31_536_000)), false));
    let times = service.timeouts;
    assert_eq!([times.client, times.request, times.keep_alive].map(|time| time.as_secs()), [20, 11, 12]);
    assert_eq!(times.tunnel, Some(seconds(7200)));
    let pool = cluster.pool_of(service).unwrap();
    let times = pool.timeouts;
    assert_eq!([times.connect, times.server, times.queue].map(|time| time.as_secs()), [2, 21, 13]);
    let limits = service.limits;
    assert_eq!((limits.connections, limits.header, limits.uri, limits.streams), (500, 32 << 10, 4 << 10, 50));
    assert_eq!((limits.body, limits.connections_per_source), (Some(10 << 20), Some(100)));
    assert_eq!(service.compression.as_ref().unwrap().codings, [Coding::Gzip]);
    assert_eq!(service.cache.unwrap().size, 64 << 20);
    assert_eq!((service.error_pages[0].status, service.monitor.as_deref()), (503, Some("/alive")));
    assert_eq!(
        (service.log.what, service.log.capture.as_slice()),
        (LogChoice::Errors, ["User-Agent".to_owned()].as_slice())
    );
    let target = LogTarget::Syslog(PathBuf::from("/dev/log"));
    assert_eq!(cluster.log, AccessLog { target, format: LogFormat::Json });
}

#[test]
fn a_pool_says_who_answers() {
    let (_, pool) = http(
        r#"
balance = { hash = "url_param:id", bound = 125 }
cookie = "SERVERID"
affinity = "header:X-Client"
agent = { port = 9999 }
redispatch = false
retries = 0
max_queue = 7
all_backups = true
observe = "layer7"
error_limit = 3
on_error = "mark-down"
on_marked_down = "shutdown-sessions"
slow_start = "30s"
server_tls = { verify = "none", name = "app.internal" }
send_proxy = "v2"
fallback = "127.0.0.1:8080"
server.web1 = { weight = 2, max_connections = 100, cookie = "w1", check_port = 8081 }
server.spare = { at = "web1:81", backup = true }
"#,
    );
    let key = HashKey::UrlParam("id".to_owned());
    assert_eq!(pool.balance, Balance::Hash(Hash { key, method: HashMethod::Consistent, bound: Some(125) }));
    let cookie = pool.cookie.unwrap();
    assert_eq!((cookie.name.as_str(), cookie.mode), ("SERVERID", CookieMode::Insert));
    assert!(cookie.indirect && cookie.nocache && cookie.httponly && !cookie.secure && !cookie.postonly);
    let affinity = pool.affinity.unwrap();
    assert_eq!((affinity.key, affinity.size), (AffinityKey::Header("X-Client".to_owned()), 100_000));
    assert_eq!(pool.agent.map(|agent| (agent.port, agent.interval)), Some((9999, seconds(2))));
    assert_eq!((pool.redispatch, pool.retries, pool.max_queue, pool.all_backups), (false, 0, Some(7), true));
    assert_eq!(
        (pool.observe, pool.error_limit, pool.on_error),
        (Some(Observe::Layer7), 3, OnError::MarkDown)
    );
    assert_eq!((pool.on_marked_down, pool.slow_start), (OnMarkedDown::ShutdownSessions, Some(seconds(30))));
    assert_eq!((pool.proxy_protocol, pool.tls.unwrap().verify), (Some(ProxyVersion::V2), Verify::None));
    assert!(pool.check.tls, "checks speak TLS when the pool does");
    let servers: Vec<_> = pool
        .servers
        .iter()
        .map(|server| {
            (server.name.as_str(), server.weight, server.backup, server.cookie.as_str(), server.check_port)
        })
        .collect();
    assert_eq!(
        servers,
        [("web1", 2, false, "w1", 8081), ("web2", 1, false, "web2", 80), ("spare", 1, true, "spare", 81)]
    );
}

#[test]
fn services_share_a_pool() {
    let cluster = right(
        r#"
[service.a]
listen = "front:80"
mode = "http"
pool = "web"
[service.b]
listen = "front:81"
pool = "web"
[pool.web]
servers = ["web1:80"]
cookie = "A"
timeout = { connect = "2s" }
"#,
    );
    assert_eq!(cluster.pools.len(), 1);
    assert!(cluster.services.iter().all(|service| service.pool.as_str() == "web"));
    assert_eq!(cluster.pools[0].timeouts.connect, seconds(2));
}

#[test]
fn checks_ask_in_many_ways() {
    let kind = |check: &str| http(&format!("check = {check}\n")).1.check.kind;
    assert_eq!(kind("\"ping\""), CheckKind::Ping);
    assert_eq!(kind("{ ping = true, interval = \"2s\" }"), CheckKind::Ping);
    assert_eq!(
        kind("{ command = [\"/bin/true\"] }"),
        CheckKind::Command { argv: vec!["/bin/true".to_owned()] }
    );
    let steps = vec![
        Step::Send(b"PING\r\n".to_vec()),
        Step::Expect(b"+PONG".to_vec()),
        Step::Regex("o+k".to_owned()),
    ];
    let script = r#"{ script = [{ send = "PING\r\n" }, { expect = "+PONG" }, { regex = "o+k" }] }"#;
    assert_eq!(kind(script), CheckKind::Script { steps });
    let http = kind(
        r#"{ http = "/", method = "POST", host = "h", headers = { X-A = "b" }, expect = "200-299,304", text = "ok", regex = "o+k", header = { X-State = "ready" } }"#,
    );
    let CheckKind::Http(http) = http else { panic!("{http:?}") };
    assert_eq!((http.method.as_str(), http.host.as_deref()), ("POST", Some("h")));
    assert_eq!(http.headers, [("X-A".to_owned(), "b".to_owned())]);
    let expect = [
        Expect::Status(vec![(200, 299), (304, 304)]),
        Expect::Text("ok".to_owned()),
        Expect::Regex("o+k".to_owned()),
        Expect::Header("X-State".to_owned(), "ready".to_owned()),
    ];
    assert_eq!(http.expect, expect);
}

#[test]
fn rules_are_read_in_the_order_in_which_they_act() {
    let (service, _) = http(
        r#"
[[service.web.rule]]
pool = "web"
strip_prefix = "/old/"
replace_path = { "^/a(.*)" = "/b$1" }
set_header = { X-A = "{source}" }
delete_header = "X-B"
set_response_header = { X-C = "c" }
rate_limit = { requests = 100, period = "10s", by = "header:X-Key" }
when = { host = ["Shop.example.org", "*.Example.org"], path = "/old/*", method = "GET", source = ["10.0.0.0/8", "1.2.3.4"], header = { X-Debug = true, X-No = false }, query = { page = "~^[0-9]+$" } }
unless = { cookie = { beta = ["1", "2"] } }
[[service.web.rule]]
when = { path = "/x" }
redirect = "https"
[[service.web.rule]]
tarpit = { after = "5s" }
"#,
    );
    let [first, second, third] = service.rules.as_slice() else { panic!("{:?}", service.rules) };
    let kinds: Vec<&str> = first
        .actions
        .iter()
        .map(|action| match action {
            Action::Pool(_) => "pool",
            Action::Request(_) => "request",
            Action::Response(_) => "response",
            Action::Rewrite(_) => "rewrite",
            Action::Rate(_) => "rate",
            Action::Redirect(_) | Action::Return(_) | Action::Deny(_) | Action::Auth(_) => "another",
        })
        .collect();
    assert_eq!(kinds, ["rate", "request", "response", "rewrite", "rewrite", "pool"]);
    let Action::Rate(rate) = &first.actions[0] else { panic!("{:?}", first.actions) };
    assert_eq!((&rate.by, rate.status), (&RateKey::Header("X-Key".to_owned()), 429));
    let edits =
        vec![HeaderEdit::Delete("X-B".to_owned()), HeaderEdit::Set("X-A".to_owned(), "{source}".to_owned())];
    assert_eq!(first.actions[1], Action::Request(edits));
    assert_eq!(first.actions[3], Action::Rewrite(Rewrite::Prefix("/old".to_owned(), String::new())));
    let when = &first.when;
    let host = [Pattern::Exact("shop.example.org".to_owned()), Pattern::Glob("*.example.org".to_owned())];
    assert_eq!(when.host, host);
    assert_eq!(when.source.last(), Some(&SourceNet { first: [1, 2, 3, 4].into(), prefix: 32 }));
    let there = NameTest { name: "X-Debug".to_owned(), patterns: Some(Vec::new()) };
    assert_eq!(when.header, [there, NameTest { name: "X-No".to_owned(), patterns: None }]);
    assert_eq!(when.query[0].patterns, Some(vec![Pattern::Regex("^[0-9]+$".to_owned())]));
    assert_eq!(first.unless.as_ref().unwrap().cookie[0].patterns.as_ref().unwrap().len(), 2);
    let to = "https://{host}{uri}".to_owned();
    assert_eq!(second.actions, [Action::Redirect(Redirect { to, status: 301 })]);
    assert_eq!(third.actions, [Action::Deny(Deny { status: 500, after: seconds(5) })]);
    assert_eq!(third.when, Condition::default());
    // Logs call rules by their lines.
    let line = BASE.lines().count() + 4 + 2;
    assert_eq!((first.line, second.line - first.line), (line, 10));
}

#[test]
fn a_service_whose_rules_answer_everything_needs_no_server() {
    let cluster =
        right("[service.moved]\nlisten = \"front:80\"\nmode = \"http\"\nrule = [{ redirect = \"https\" }]\n");
    assert!(cluster.pool_of(&cluster.services[0]).unwrap().servers.is_empty());
}

#[test]
fn a_connection_is_chosen_by_its_source_and_its_name() {
    let cluster = right(
        r#"
[service.tls]
listen = "front:443"
servers = ["web1:443"]
[[service.tls.rule]]
when = { source = "10.9.0.0/16" }
deny = "silent"
[[service.tls.rule]]
when = { tls_name = "*.shop.example.org" }
pool = "shop"
[pool.shop]
servers = ["web2:443"]
"#,
    );
    let rules = &cluster.services[0].rules;
    assert_eq!(rules[0].actions, [Action::Deny(Deny { status: 0, after: Duration::ZERO })]);
    assert_eq!(rules[1].actions, [Action::Pool("shop".into())]);
}

#[test]
fn datagrams_are_checked_by_ping() {
    let cluster = right(
        "[service.dns]\nmode = \"udp\"\nlisten = \"front:53\"\nservers = [\"web1:53\"]\ntimeout.client = \"5s\"\n\
         [service.tcp]\nlisten = \"front:53\"\nservers = [\"web1:53\"]\n",
    );
    assert_eq!(cluster.services[0].mode, Mode::Udp);
    assert_eq!(cluster.pools[0].check.kind, CheckKind::Ping);
    assert_eq!(cluster.pools[1].check.kind, CheckKind::Connect);
}

#[test]
fn users_open_rules_and_the_statistics_page() {
    let cluster = right(&format!(
        "[service.web]\nmode = \"http\"\nlisten = {{ at = \"front:443\", tls = true }}\nservers = [\"web1:80\"]\n\
         tls.certificates = \"a.pem\"\nrule = [{{ basic_auth = \"staff\" }}]\n\
         [stats]\nlisten = [\"front:7000\", \"127.0.0.1:7000\"]\nusers = \"staff\"\nrefresh = \"10s\"\n{STAFF}"
    ));
    let auth = BasicAuth { users: "staff".into(), realm: "staff".to_owned() };
    assert_eq!(cluster.services[0].rules[0].actions, [Action::Auth(auth)]);
    let stats = cluster.stats.unwrap();
    assert_eq!(stats.listen[0].to_string(), "10.1.0.200:7000");
    assert_eq!((stats.admins, stats.refresh, stats.open_metrics), (None, seconds(10), false));
    assert_eq!(cluster.users[0].users[0].name, "anna");
    let shown = format!("{:?}", cluster.users);
    assert!(!shown.contains("$5$"), "hashes are not for logs: {shown}");
}
