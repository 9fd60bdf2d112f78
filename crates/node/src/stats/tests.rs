//! The page through HTTP on the loopback, as browsers, scripts and Prometheus see it.

mod csv;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relevo_lb::{Averages, Figures};
use relevo_model::ClusterFile;
use relevo_model::cluster::Mode;

use super::report::{CheckRow, Look, PoolReport, Rate, Report, ServerReport, ServiceReport, TrackerReport};
use super::{Server, Source, Wish};

/// `openssl passwd -6 -salt abcdefgh geheim`
const HASH: &str =
    "$6$abcdefgh$msgktWxVAbjjh3X7lA5LaM7dS/ZfABJL6T4qcRsnjcOTj0kptUvZcrvrXIoO5fgPA9xz6UnF2To2Y7jGc/IZY/";

/// A node with one service of three servers.
struct Fake {
    cluster: Mutex<Arc<ClusterFile>>,
    looks: Mutex<BTreeMap<String, Look>>,
}

impl Fake {
    fn new(more: &str) -> Arc<Self> {
        let text = format!(
            "name = \"s2\"\n[network.lan]\nsubnet = \"192.168.99.0/24\"\n[node.lb1]\nroles = [\"director\"]\naddress.lan = \"192.168.99.1\"\n[service.web]\nlisten = \"127.0.0.1:80\"\nservers = [\"192.168.99.21:80\"]\n\
             [users.staff]\nanna = \"{HASH}\"\n[users.admins]\nroot = \"{HASH}\"\n[stats]\nlisten = \"127.0.0.1:9999\"\nusers = \"staff\"\nadmins = \"admins\"\n{more}"
        );
        let reading = relevo_model::read(&text);
        let mut cluster = reading.cluster.unwrap_or_else(|| panic!("{:?}", reading.diagnostics));
        cluster.name = "s2 <b>\"x\"</b>".to_owned();
        let looks = [("one", Look::Up), ("two<script>", Look::Down), ("spare", Look::Unchecked)];
        let looks = looks.into_iter().map(|(name, look)| (name.to_owned(), look)).collect();
        Arc::new(Self { cluster: Mutex::new(Arc::new(cluster)), looks: Mutex::new(looks) })
    }
}

impl Source for Fake {
    fn cluster(&self) -> Arc<ClusterFile> {
        Arc::clone(&self.cluster.lock().unwrap())
    }

    fn report(&self) -> Report {
        let figures = Figures {
            current: 3,
            most: 9,
            total: 12_345,
            requests: 12_345,
            received: 1000,
            sent: 2_000_000,
            statuses: [0, 12_000, 300, 40, 5, 0],
            averages: Some(Averages { queue: 0, connect: 1, response: 12, total: 15 }),
            response_times: [1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4],
            response_sum: 50_000,
            ..Figures::default()
        };
        let server = |(name, look): (&String, &Look)| ServerReport {
            name: name.clone(),
            at: "127.0.0.1:8080".parse().unwrap(),
            look: *look,
            since: 1_000_000,
            checked: ("L7OK", Some(200)),
            row: Some(CheckRow { against: u32::from(name != "spare"), rise: 2, fall: 3 }),
            reason: "connection, \"refused\" <&>".to_owned(),
            asked: if *look == Look::Drain { "new <disk>".to_owned() } else { String::new() },
            until: (*look == Look::Drain).then_some(4_661_000 + 1_800_000),
            weight: 2,
            effective: 2,
            backup: name == "spare",
            limit: None,
            cookie: None,
            figures: figures.clone(),
            sessions: Rate::default(),
            check_failures: 7,
            downs: 1,
            downtime: 65,
        };
        let servers = self.looks.lock().unwrap().iter().map(server).collect();
        let pool = PoolReport {
            name: "web".to_owned(),
            since: 4_600_000,
            downs: 3,
            downtime: 42,
            mode: Mode::Http,
            balance: "roundrobin".to_owned(),
            fallback: false,
            figures: figures.clone(),
            sessions: Rate::default(),
            servers,
        };
        let service = ServiceReport {
            name: "web".to_owned(),
            mode: Mode::Http,
            pool: "web".to_owned(),
            listen: vec!["127.0.0.1:80".parse().unwrap()],
            limit: 10_000,
            figures,
            sessions: Rate::default(),
            requests: Rate::default(),
        };
        Report {
            cluster: self.cluster().name.clone(),
            node: "lb1".to_owned(),
            version: "0.1.0",
            pid: 42,
            since: 1_000_000,
            now: 4_661_000,
            groups: vec![("front".to_owned(), true)],
            priorities: vec![("front".to_owned(), 90)],
            trackers: [("uplink", Some(false)), ("web", Some(true)), ("late", None)]
                .map(|(name, up)| TrackerReport { group: "front".to_owned(), name: name.to_owned(), up })
                .into(),
            services: vec![service],
            pools: vec![pool],
            lost_lines: 0,
            workers: vec![relevo_lb::WorkerSnapshot { clients: 3, handed: 1 }],
        }
    }

    fn set(&self, wish: Wish, pool: &str, server: &str, _: &str) -> Result<(), String> {
        let mut looks = self.looks.lock().unwrap();
        let look = looks.get_mut(server).filter(|_| pool == "web").ok_or("there is no such server")?;
        *look = match wish {
            Wish::Ready => Look::Up,
            Wish::Drain => Look::Drain,
            Wish::Maint | Wish::Cut => Look::Maint,
        };
        Ok(())
    }
}

/// An address of the loopback that no other process of these tests uses, so that none of them takes a port that was given up here.
fn own_ip() -> Ipv4Addr {
    // 22 bits are all that a process id has on Linux.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high & 63, middle, low)
}

/// A running page.
struct Page {
    fake: Arc<Fake>,
    _server: Server,
    at: SocketAddr,
}

impl Page {
    fn start(more: &str) -> Self {
        let fake = Fake::new(more);
        let server = Server::start(fake.clone(), Vec::new()).unwrap();
        server.listen(&[(own_ip(), 0).into()]).unwrap();
        let at = server.places()[0];
        Self { fake, _server: server, at }
    }

    /// Sends a request as it stands; status, head, body.
    fn ask(&self, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    fn get(&self, user: &str, path: &str) -> (u16, String, String) {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\n{}Connection: close\r\n\r\n",
            authorization(user)
        ))
    }

    fn post(&self, user: &str, more: &str, form: &str) -> (u16, String, String) {
        self.ask(&format!(
            "POST /stats?refresh=7 HTTP/1.1\r\nHost: a\r\n{}{more}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{form}",
            authorization(user),
            form.len()
        ))
    }

    fn token(&self) -> String {
        let (_, _, body) = self.get("root", "/stats");
        let (_, rest) = body.split_once("name=\"token\" value=\"").expect("a token for an admin");
        rest.split('"').next().unwrap().to_owned()
    }

    fn look(&self, server: &str) -> Look {
        self.fake.looks.lock().unwrap()[server]
    }
}

/// `Authorization` for a user whose password is the right one; `user:password` for another password.
fn authorization(user: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let pair = match user {
        "" => return String::new(),
        user if user.contains(':') => user.to_owned(),
        user => format!("{user}:geheim"),
    };
    let mut text = String::new();
    for chunk in pair.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= chunk.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    format!("Authorization: Basic {text}\r\n")
}

#[test]
fn nobody_looks_without_a_password() {
    let page = Page::start("");
    for path in ["/", "/stats", "/stats;csv", "/stats.json", "/metrics", "/nothing"] {
        // Each wrong password costs milliseconds on purpose.
        let wrong = if path == "/metrics" { &["", "anna:wrong", "nobody", ":"][..] } else { &[""] };
        for user in wrong {
            let (status, head, body) = page.get(user, path);
            assert_eq!(status, 401, "{user} {path}");
            assert!(head.contains("www-authenticate: basic realm=\"s2bxb statistics\""), "{head}");
            assert!(!body.contains("web"));
        }
        let status = if path == "/nothing" { 404 } else { 200 };
        assert_eq!(page.get("anna", path).0, status, "{path}");
    }
}

#[test]
fn the_page_is_safe_and_escapes_everything() {
    let page = Page::start("");
    let (status, head, body) = page.get("anna", "/stats?scope=&refresh=7");
    assert_eq!(status, 200);
    for header in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
    ] {
        assert!(head.contains(header), "{head}");
    }
    assert!(body.contains("<h1>lb1</h1>") && body.contains("content=\"7\""), "{body}");
    assert!(
        body.contains("two&lt;script&gt;") && body.contains("connection, &quot;refused&quot; &lt;&amp;&gt;")
    );
    assert_eq!(body.matches("<script").count(), 1, "its own only");
    assert!(!body.contains("http://") && !body.contains("https://"), "nothing from elsewhere");
    assert!(
        !body.contains("name=\"token\"") && !body.contains("type=\"checkbox\" name=\"server\""),
        "anna may only look"
    );
    let (_, _, body) = page.get("anna", "/stats?scope=\"><script>alert(1)</script>");
    assert!(!body.contains("<script>alert"), "{body}");
    // Every table has rows as long as its headings.
    let (_, _, body) = page.get("root", "/stats");
    let rows = body.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
    for row in rows.split("</tr>").filter(|row| row.contains("<tr")) {
        let spans: usize = row
            .split("colspan=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().parse::<usize>().unwrap() - 1)
            .sum();
        assert_eq!(row.matches("<td").count() + row.matches("<th").count() + spans, 28, "{row}");
    }
    assert!(!body.contains(HASH));
}

#[test]
fn an_admin_changes_servers_and_is_told() {
    let page = Page::start("");
    let token = page.token();
    let form = format!("token={token}&server=web%2Fone&server=web%2Fspare&action=drain");
    let (status, head, _) = page.post("root", "Origin: http://a\r\nSec-Fetch-Site: same-origin\r\n", &form);
    assert_eq!(status, 303, "{head}");
    assert_eq!((page.look("one"), page.look("spare")), (Look::Drain, Look::Drain));
    let (_, rest) = head.split_once("location: ").unwrap();
    let place = rest.lines().next().unwrap();
    assert!(place.starts_with("/stats?refresh=7&said="), "{place}");
    let (_, _, body) = page.get("root", place);
    assert!(body.contains("Set to DRAIN: web/one, web/spare"), "{body}");
    // Whether what runs is cut, is said.
    let (_, _, body) = page.get("root", "/stats");
    assert!(body.contains("<option value=\"cut\">MAINT and cut"), "{body}");
    let (_, head, _) = page.post("root", "", &format!("token={token}&server=web/spare&action=cut"));
    assert_eq!(page.look("spare"), Look::Maint);
    let place = head.split_once("location: ").unwrap().1.lines().next().unwrap();
    let (_, _, body) = page.get("root", place);
    assert!(body.contains("Set to MAINT and cut: web/spare"), "{body}");
    // Part of it does not work.
    page.post("root", "", &format!("token={token}&server=web/one&server=web/gone&server=x&action=maint"));
    assert_eq!(page.look("one"), Look::Maint);
    for form in [format!("token={token}&action=ready"), format!("token={token}&server=web/one&action=boil")] {
        assert_eq!(page.post("root", "", &form).0, 303);
        assert_eq!(page.look("one"), Look::Maint);
    }
}

#[test]
fn a_form_from_elsewhere_is_refused() {
    let page = Page::start("");
    let token = page.token();
    let form = format!("token={token}&server=web/one&action=maint");
    let wrong = form.replace(&token, &token.chars().rev().collect::<String>());
    let cases = [
        ("root", "", "server=web/one&action=maint"),
        ("root", "", &*wrong),
        ("root", "Origin: http://evil.example\r\n", &*form),
        ("root", "Sec-Fetch-Site: cross-site\r\n", &*form),
        // Who may look, with an admin's token.
        ("anna", "", &*form),
    ];
    for (user, more, form) in cases {
        assert_eq!(page.post(user, more, form).0, 403, "{user} {more}{form}");
    }
    assert_eq!(page.post("", "", &form).0, 401);
    assert_eq!(page.look("one"), Look::Up);
    let large = format!("{form}&x={}", "a".repeat(70_000));
    assert_eq!(page.post("root", "", &large).0, 413);
    assert_eq!(page.look("one"), Look::Up);
}

#[test]
fn metrics_are_well_formed_and_open_only_if_asked() {
    let page = Page::start("open_metrics = true\n");
    let (status, head, body) = page.get("", "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert_eq!(page.get("", "/stats").0, 401);
    let samples = parse_metrics(&body);
    let value = |name: &str, labels: &str| {
        let all = &samples.iter().find(|(one, _)| *one == name).unwrap_or_else(|| panic!("{name}: {body}")).1;
        *all.iter().find(|(one, _)| one.contains(labels)).unwrap_or_else(|| panic!("{labels}: {all:?}")).1
    };
    assert_eq!(value("relevo_group_active", "group=\"front\""), 1.0);
    assert_eq!(value("relevo_group_priority", "group=\"front\""), 90.0);
    assert_eq!(value("relevo_tracker_up", "tracker=\"uplink\""), 0.0);
    assert_eq!(value("relevo_tracker_up", "tracker=\"web\""), 1.0);
    assert!(!body.contains("tracker=\"late\""), "what is unknown is left out");
    assert_eq!(value("relevo_service_connections_total", "service=\"web\""), 12_345.0);
    assert_eq!(value("relevo_server_state", "server=\"one\",state=\"up\""), 1.0);
    assert_eq!(value("relevo_server_state", "server=\"one\",state=\"down\""), 0.0);
    assert_eq!(value("relevo_server_response_seconds_bucket", "server=\"one\",le=\"0.005\""), 6.0);
    assert_eq!(value("relevo_server_response_seconds_bucket", "server=\"one\",le=\"+Inf\""), 10.0);
    assert_eq!(value("relevo_server_response_seconds_sum", "server=\"one\""), 50.0);
}

type Samples = BTreeMap<String, BTreeMap<String, f64>>;

/// Reads the text format strictly: HELP and TYPE before each family, families in one piece, no sample twice.
fn parse_metrics(text: &str) -> Samples {
    let (mut samples, mut families) = (Samples::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} twice");
            assert!(!words.is_empty());
            family = name.to_owned();
            kind.clear();
            continue;
        }
        if let Some(type_) = line.strip_prefix("# TYPE ") {
            let (name, type_) = type_.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(["counter", "gauge", "histogram"].contains(&type_), "{line}");
            kind = type_.to_owned();
            continue;
        }
        let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("{line}"));
        let (labels, value) = rest.rsplit_once("} ").unwrap_or_else(|| panic!("{line}"));
        let base = match kind.as_str() {
            "histogram" => {
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap()
            }
            _ => name,
        };
        assert_eq!(base, family, "{line}");
        assert!(
            name.starts_with("relevo_") && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()),
            "{name}"
        );
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        for label in labels.split(',') {
            let (_, quoted) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
            assert!(quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"'), "{line}");
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let before = samples.entry(name.to_owned()).or_default().insert(labels.to_owned(), value);
        assert_eq!(before, None, "{line} twice");
    }
    samples
}

#[test]
fn json_is_the_same_in_names() {
    let page = Page::start("");
    let (_, head, body) = page.get("anna", "/stats.json");
    assert!(head.contains("content-type: application/json"), "{head}");
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["pools"][0]["servers"][2]["state"], "down");
    assert_eq!(report["services"][0]["figures"]["statuses"]["2xx"], 12_000);
}

#[test]
fn addresses_come_and_go() {
    let page = Page::start("");
    let other = TcpListener::bind((own_ip(), 0)).unwrap();
    let taken = other.local_addr().unwrap();
    let wanted = (own_ip(), 0).into();
    let error = page._server.listen(&[wanted, taken]).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    assert_eq!(page.get("anna", "/stats").0, 200, "nothing was changed");
    drop(other);
    page._server.listen(&[taken]).unwrap();
    assert_eq!(page._server.places(), [taken]);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(page.at).is_ok() {
        assert!(std::time::Instant::now() < deadline, "the former address is still served");
        std::thread::sleep(Duration::from_millis(5));
    }
    let moved = Page { at: taken, ..page };
    assert_eq!(moved.get("anna", "/stats").0, 200);
}

#[test]
fn one_address_cannot_take_all_places() {
    let page = Page::start("");
    let greedy: Vec<_> = (0..60).map(|_| TcpStream::connect(page.at).unwrap()).collect();
    // From another address of the loopback.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    socket.connect(&page.at.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /stats.css HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    drop(greedy);
}
