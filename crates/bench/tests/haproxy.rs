//! HAProxy's file for a cluster file: golden texts, and what the real HAProxy says of them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use relevo_bench::haproxy::{Options, Tuning, config};
use relevo_model::cluster::*;
use relevo_model::{ClusterFile, PoolName, ServerName, ServiceName, UsersName};

const PLAIN: Options = Options { threads: 1, tuning: Tuning::Default };

fn at(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn pool(name: &str, servers: u16) -> Pool {
    let mut pool = Pool::new(PoolName::new(name));
    for index in 1..=servers {
        pool.servers.push(Server::new(ServerName::new(&format!("web{index}")), at(18_000 + index)));
    }
    pool
}

fn service(name: &str, mode: Mode, pool: &str, port: u16) -> Service {
    let mut service = Service::new(ServiceName::new(name), mode, PoolName::new(pool));
    service.listen.push(Listen::plain(at(port)));
    service
}

fn cluster(services: Vec<Service>, pools: Vec<Pool>) -> ClusterFile {
    let text = include_str!("../../../examples/minimal.toml");
    let mut cluster = relevo_model::read(text).cluster.expect("an example can be read");
    (cluster.services, cluster.pools) = (services, pools);
    cluster
}

/// A service as most people have it.
fn usual() -> ClusterFile {
    let mut web = pool("web", 3);
    web.check.kind = CheckKind::Http(HttpCheck::get("/healthz"));
    cluster(
        vec![service("web", Mode::Http, "web", 18_000), service("mail", Mode::Tcp, "mail", 18_025)],
        vec![web, pool("mail", 2)],
    )
}

/// One with everything.
fn everything() -> ClusterFile {
    let exact = |text: &str| Pattern::Exact(text.to_owned());
    let glob = |text: &str| Pattern::Glob(text.to_owned());
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let set = |a: &str, b: &str| HeaderEdit::Set(a.to_owned(), b.to_owned());
    let rule =
        |line: usize, when: Condition, actions: Vec<Action>| Rule { line, when, unless: None, actions };
    let mut web = service("web", Mode::Http, "web", 18_001);
    web.h2c = true;
    web.hsts = Some(Duration::from_secs(86_400));
    web.monitor = Some("/alive".to_owned());
    web.limits.body = Some(1 << 20);
    web.limits.uri = 4096;
    web.limits.connections_per_source = Some(20);
    web.limits.streams = 50;
    web.log.capture = vec!["User-Agent".to_owned()];
    web.compression = Some(Compression {
        codings: vec![Coding::Zstd, Coding::Gzip],
        types: vec!["text/*".to_owned(), "application/json".to_owned()],
        least: 1024,
    });
    web.cache = Some(Cache { size: 64 << 20, object: 1 << 20, age: Duration::from_secs(600) });
    let not_curl = NameTest { name: "User-Agent".to_owned(), patterns: Some(vec![glob("*curl*")]) };
    let debug = NameTest { name: "X-Debug".to_owned(), patterns: Some(Vec::new()) };
    let page =
        NameTest { name: "page".to_owned(), patterns: Some(vec![Pattern::Regex("^[0-9]+$".to_owned())]) };
    let beta = NameTest { name: "beta".to_owned(), patterns: None };
    let all = Condition::default();
    web.rules = vec![
        Rule {
            line: 10,
            when: Condition {
                host: vec![exact("shop.example.org"), glob("*.shop.example.org")],
                path: vec![glob("/static/*")],
                method: vec!["GET".to_owned(), "HEAD".to_owned()],
                ..all.clone()
            },
            unless: Some(Condition {
                path: vec![glob("/static/private/*")],
                header: vec![not_curl],
                ..all.clone()
            }),
            actions: vec![Action::Pool(PoolName::new("static"))],
        },
        rule(
            20,
            Condition { header: vec![debug], query: vec![page], cookie: vec![beta], ..all.clone() },
            vec![
                Action::Request(vec![
                    set("X-Source", "{source} of {host}"),
                    HeaderEdit::Delete("X-B".to_owned()),
                ]),
                Action::Response(vec![set("X-Frame-Options", "DENY")]),
            ],
        ),
        rule(
            30,
            Condition { path: vec![exact("/old")], ..all.clone() },
            vec![Action::Redirect(Redirect { to: "https://{host}{uri}".to_owned(), status: 301 })],
        ),
        rule(
            40,
            Condition { path: vec![exact("/hello")], ..all.clone() },
            vec![Action::Return(Return {
                status: 200,
                content_type: "text/plain".to_owned(),
                body: "it's fine".to_owned(),
            })],
        ),
        rule(
            50,
            Condition { source: vec![SourceNet { first: [192, 0, 2, 0].into(), prefix: 24 }], ..all.clone() },
            vec![Action::Deny(Deny { status: 403, after: Duration::ZERO })],
        ),
        rule(
            60,
            Condition { path: vec![glob("/login*")], ..all.clone() },
            vec![
                Action::Rate(RateLimit {
                    requests: 100,
                    period: Duration::from_secs(10),
                    by: RateKey::Source,
                    status: 429,
                    size: 100_000,
                }),
                Action::Auth(BasicAuth { users: UsersName::new("staff"), realm: "For staff".to_owned() }),
                Action::Rewrite(Rewrite::Regex("^/a(.*)".to_owned(), "/b$1".to_owned())),
                Action::Rewrite(Rewrite::Prefix("/old/".to_owned(), "/new/".to_owned())),
                Action::Rewrite(Rewrite::Path("/new{path}".to_owned())),
            ],
        ),
        rule(
            70,
            Condition { tls: Some(false), path: vec![exact("/trap")], ..all },
            vec![Action::Deny(Deny { status: 500, after: Duration::from_secs(10) })],
        ),
    ];
    let mut first = pool("web", 3);
    first.balance = Balance::Hash(Hash {
        key: HashKey::Cookie("id".to_owned()),
        method: HashMethod::Maglev,
        bound: Some(125),
    });
    first.check.kind = CheckKind::Http(HttpCheck {
        method: "HEAD".to_owned(),
        host: Some("h.example.org".to_owned()),
        headers: vec![pair("X-A", "b c")],
        expect: vec![Expect::Status(vec![(200, 299), (304, 304)]), Expect::Text("ok".to_owned())],
        ..HttpCheck::get("/")
    });
    first.check.fast_interval = Duration::from_millis(500);
    first.cookie = Some(Cookie {
        name: "SERVERID".to_owned(),
        mode: CookieMode::Insert,
        indirect: true,
        nocache: true,
        postonly: false,
        preserve: false,
        httponly: true,
        secure: false,
        samesite: Some(SameSite::Lax),
        domain: None,
        max_idle: Some(Duration::from_secs(1800)),
        max_life: None,
    });
    first.observe = Some(Observe::Layer7);
    first.slow_start = Some(Duration::from_secs(30));
    first.agent = Some(Agent { port: 9999, interval: Duration::from_secs(2) });
    first.fallback = Some(at(18_099));
    first.servers[1].weight = 2;
    first.servers[2].backup = true;
    first.servers[2].max_connections = Some(100);
    first.protocols = vec![relevo_model::cluster::Protocol::H2, relevo_model::cluster::Protocol::Http1];
    first.tls = Some(ClientTls {
        verify: Verify::None,
        ca: None,
        name: Some("app.internal".to_owned()),
        certificate: None,
    });
    let mut statics = pool("static", 1);
    statics.affinity =
        Some(Affinity { key: AffinityKey::Source, size: 100_000, expire: Duration::from_secs(1800) });
    statics.check.kind =
        CheckKind::Script { steps: vec![Step::Send(b"PING\r\n".to_vec()), Step::Expect(b"+PONG".to_vec())] };
    let dns = service("dns", Mode::Udp, "static", 18_053);
    let mut cluster = cluster(vec![web, dns], vec![first, statics]);
    let user = User { name: "anna".to_owned(), hash: "$6$salt$hash".to_owned() };
    cluster.users = vec![Users { name: UsersName::new("staff"), users: vec![user] }];
    cluster.log.target = LogTarget::Syslog(PathBuf::from("/dev/log"));
    cluster.stats = Some(Stats {
        listen: vec![at(18_070)],
        users: UsersName::new("staff"),
        admins: Some(UsersName::new("staff")),
        refresh: Duration::from_secs(5),
        open_metrics: false,
    });
    cluster
}

#[test]
fn a_usual_file_says_what_somebody_would_write() {
    let config = config(&usual(), PLAIN);
    assert_eq!(config.left_out, Vec::<String>::new());
    insta::assert_snapshot!(config.text);
}

#[test]
fn everything_is_said_or_named() {
    let config = config(&everything(), Options { threads: 2, tuning: Tuning::Spliced });
    insta::assert_snapshot!(format!("{}\n# left out\n{}", config.text, config.left_out.join("\n")));
}

/// The files that a cluster file names are on the machine of whoever wrote it: here they are ours.
fn bring_along(cluster: &mut ClusterFile, folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .expect("a certificate and a page can be written");
    let (pem, page) = (folder.join("own.pem"), folder.join("page.html"));
    fs::write(&pem, format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()))
        .expect("a certificate and a page can be written");
    fs::write(&page, "<p>Sorry</p>").expect("a certificate and a page can be written");
    for service in &mut cluster.services {
        service.error_pages.iter_mut().for_each(|one| one.file.clone_from(&page));
        if let Some(tls) = &mut service.tls {
            tls.certificates = vec![Certificate { chain: pem.clone(), key: None }];
            tls.client_ca = tls.client_ca.as_ref().map(|_| pem.clone());
        }
    }
    for tls in cluster.pools.iter_mut().filter_map(|pool| pool.tls.as_mut()) {
        tls.ca = tls.ca.as_ref().map(|_| pem.clone());
        tls.certificate = tls.certificate.as_ref().map(|_| Certificate { chain: pem.clone(), key: None });
    }
}

#[test]
fn lab_haproxy_takes_every_generated_file() {
    let folder = std::env::temp_dir().join(format!("relevo-haproxy-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut files = vec![("usual".to_owned(), usual()), ("everything".to_owned(), everything())];
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Some(mut cluster) = relevo_model::read(&text).cluster {
            bring_along(&mut cluster, &folder);
            files.push((path.file_stem().unwrap().to_string_lossy().into_owned(), cluster));
        }
    }
    for (name, cluster) in files.iter().filter(|(_, cluster)| !cluster.services.is_empty()) {
        for tuning in [Tuning::Default, Tuning::Spliced, Tuning::LargeBuffers] {
            let file = folder.join(format!("{name}.cfg"));
            fs::write(&file, config(cluster, Options { threads: 1, tuning }).text).unwrap();
            let output = Command::new("/usr/sbin/haproxy").arg("-c").arg("-f").arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            // The password of the test is not a real hash, and nothing else may be wrong.
            assert!(output.status.success(), "{name}, {tuning:?}: {said}");
        }
    }
    fs::remove_dir_all(folder).unwrap();
}
