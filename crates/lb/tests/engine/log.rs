//! The access log and the figures, as operators see them.

use std::io::Write;
use std::path::PathBuf;

use relevo_lb::{Engine, Figures, Settings};
use relevo_model::ClusterFile;
use relevo_model::cluster::{
    AccessLog, Action, Condition, ErrorPage, LogChoice, LogFormat, LogTarget, Mode, Pattern, Return, Rule,
};

use crate::http2;
use crate::rig::{Client, Front, Origin, cluster, service, wait_until, with_length};

/// An engine with an access log in a file of its own, which goes away.
pub(crate) struct Logged {
    pub(crate) engine: Engine,
    pub(crate) cluster: ClusterFile,
    pub(crate) at: std::net::SocketAddrV4,
    path: PathBuf,
}

impl Logged {
    pub(crate) fn start(name: &str, front: Front, format: LogFormat) -> Self {
        let path = std::env::temp_dir().join(format!("relevo-engine-log-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut cluster = cluster([front]);
        cluster.log = AccessLog { target: LogTarget::File(path.clone()), format };
        let engine = Engine::start(Settings { workers: 1, ..Settings::default() }, &cluster).unwrap();
        let at = crate::rig::v4(engine.snapshot().services[0].listen[0]);
        Self { engine, cluster, at, path }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.at)
    }

    /// The lines, once there are so many.
    pub(crate) fn lines(&self, count: usize) -> Vec<String> {
        let read = || std::fs::read_to_string(&self.path).unwrap();
        wait_until(&format!("{count} lines"), || read().lines().count() >= count);
        read().lines().map(str::to_owned).collect()
    }

    fn server(&self) -> Figures {
        self.engine.snapshot().pools[0].servers[0].figures.clone()
    }

    fn service(&self) -> Figures {
        self.engine.snapshot().services[0].figures.clone()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A line of `httplog`, taken apart strictly: every field has its form.
#[derive(Debug)]
struct Line {
    frontend: String,
    server: String,
    timers: Vec<i64>,
    status: i64,
    bytes: u64,
    ended: String,
    load: Vec<String>,
    captured: Option<String>,
    request: String,
}

fn number(text: &str) -> i64 {
    assert!(
        !text.is_empty() && text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()),
        "{text:?}"
    );
    text.parse().unwrap()
}

fn parse(line: &str) -> Line {
    let (fields, request) = line.split_once(" \"").unwrap_or_else(|| panic!("{line}"));
    let request = request.strip_suffix('"').unwrap_or_else(|| panic!("{line}"));
    assert!(!request.contains('"'), "{line}");
    let (fields, captured) = match fields.split_once(" {") {
        Some((fields, captured)) => (fields, captured.strip_suffix('}').map(str::to_owned)),
        None => (fields, None),
    };
    let fields: Vec<_> = fields.split(' ').collect();
    let [client, date, frontend, server, timers, status, bytes, cc, cs, ended, load, queues] = fields[..]
    else {
        panic!("{} fields: {line}", fields.len());
    };
    client.parse::<std::net::SocketAddrV4>().unwrap();
    // [21/Nov/2026:08:29:20.123]
    let shape: String = date
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '0'
            } else if c.is_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    assert_eq!(shape, "[00/aaa/0000:00:00:00.000]", "{line}");
    assert_eq!((cc, cs), ("-", "-"));
    assert_eq!(ended.len(), 4, "{line}");
    assert_eq!(queues.split('/').map(number).count(), 2, "{line}");
    let timers: Vec<_> = timers.split('/').map(number).collect();
    assert_eq!(timers.len(), 5, "{line}");
    let load: Vec<_> = load.split('/').map(str::to_owned).collect();
    assert_eq!(load.len(), 5, "{line}");
    Line {
        frontend: frontend.to_owned(),
        server: server.to_owned(),
        timers,
        status: number(status),
        bytes: bytes.parse().unwrap(),
        ended: ended.to_owned(),
        load,
        captured,
        request: request.to_owned(),
    }
}

#[test]
fn a_request_is_a_line_of_httplog() {
    let origin = Origin::named("one");
    let mut front = service(&[origin.at]);
    front.log.capture = vec!["user-agent".to_owned(), "X-None".to_owned()];
    let log = Logged::start("httplog", front, LogFormat::Haproxy);
    let mut client = log.client();
    client.send("GET /a?b=\"c HTTP/1.1\r\nHost: t\r\nUser-Agent: te{st\r\n\r\n");
    let first = client.answer().unwrap();
    client.send("POST /form HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    let second = client.answer().unwrap();
    let lines: Vec<_> = log.lines(2).iter().map(|line| parse(line)).collect();
    let sizes = [first, second].map(|answer| (answer.head.len() + answer.body.len()) as u64);
    assert_eq!((&*lines[0].frontend, &*lines[0].server), ("web", "web/server1"));
    assert_eq!((lines[0].status, lines[0].bytes, &*lines[0].ended), (200, sizes[0], "----"));
    assert_eq!(lines[0].captured.as_deref(), Some("te#7Bst|"));
    assert_eq!(lines[0].request, "GET /a?b=#22c HTTP/1.1");
    assert!(lines[0].timers.iter().all(|time| (0..20_000).contains(time)), "{:?}", lines[0]);
    assert_eq!(lines[0].load, ["1", "1", "1", "1", "0"]);
    assert_eq!((lines[1].bytes, &*lines[1].request), (sizes[1], "POST /form HTTP/1.1"));
    // The second one goes over the connection that was kept.
    assert_eq!(lines[1].timers[2], 0);
    let figures = log.server();
    assert_eq!((figures.total, figures.statuses), (2, [0, 2, 0, 0, 0, 0]));
    assert_eq!(figures.sent, sizes.iter().sum::<u64>());
    assert!(figures.received > 100 && figures.averages.is_some(), "{figures:?}");
    assert_eq!(figures.response_times.iter().sum::<u64>(), 2);
    assert_eq!((log.service().total, log.service().requests), (1, 2));
}

#[test]
fn requests_of_http2_are_lines_whether_answered_or_cancelled() {
    let origin = Origin::with(|peer| {
        while let Some(request) = peer.request() {
            if request.line().starts_with("GET /wait") {
                // Until the balancer closes.
                let _ = peer.read(&mut [0]);
            } else {
                let _ = peer.write(&crate::rig::with_length("fine"));
            }
        }
    });
    let mut front = service(&[origin.at]);
    front.h2c = true;
    let log = Logged::start("http2", front, LogFormat::Haproxy);
    http2::run(async {
        let (mut send, _) = http2::connect(log.at).await;
        http2::get(&mut send, "/x").await.unwrap();
        let (_response, mut stream) = send.send_request(http2::request("GET", "/wait"), true).unwrap();
        while log.engine.snapshot().pools[0].servers[0].connections == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        http2::get(&mut send, "/y").await.unwrap();
    });
    let lines: Vec<_> = log.lines(3).iter().map(|line| parse(line)).collect();
    let of = |request: &str| lines.iter().find(|line| line.request == request).unwrap();
    assert_eq!((of("GET /x HTTP/2.0").status, &*of("GET /x HTTP/2.0").ended), (200, "----"));
    assert_eq!((of("GET /wait HTTP/2.0").status, &*of("GET /wait HTTP/2.0").ended), (-1, "CH--"));
    assert_eq!(of("GET /y HTTP/2.0").status, 200);
    assert_eq!((log.service().total, log.service().requests), (1, 3));
}

#[test]
fn why_it_ended_is_said() {
    let mute = Origin::with(|peer| drop(peer.request()));
    let log = Logged::start("why", service(&[mute.at]), LogFormat::Haproxy);
    assert_eq!(log.client().get("/mute").unwrap().status, 502);
    let mut client = log.client();
    client.send("NONSENSE\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 400);
    let mut client = log.client();
    client.send("GET /half HTTP/1.1\r\nHo");
    client.stream().flush().unwrap();
    wait_until("it was read", || log.service().current == 1);
    drop(client);
    mute.kill();
    assert_eq!(log.client().get("/gone").unwrap().status, 503);
    let lines: Vec<_> = log.lines(4).iter().map(|line| parse(line)).collect();
    let of = |status, ended: &str| lines.iter().any(|line| line.status == status && line.ended == ended);
    assert!(of(502, "SH--"), "{lines:?}");
    assert!(of(400, "PR--"), "{lines:?}");
    assert!(of(-1, "CR--"), "{lines:?}");
    assert!(of(503, "SC--"), "{lines:?}");
    let bad = lines.iter().find(|line| line.ended == "PR--").unwrap();
    assert_eq!((&*bad.server, &*bad.request), ("web/<NOSRV>", "<BADREQ>"));
    assert_eq!(log.service().request_errors, 2);
    let server = log.server();
    assert!(server.connect_errors >= 1 && server.response_errors >= 1, "{server:?}");
}

#[test]
fn only_errors_or_nothing_is_logged_if_asked() {
    let origin = Origin::answering(|request| match request.line().contains("bad") {
        true => b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false => with_length("ok"),
    });
    let mut front = service(&[origin.at]);
    front.log.what = LogChoice::Errors;
    let mut log = Logged::start("errors", front, LogFormat::Haproxy);
    for path in ["/good", "/bad", "/good"] {
        log.client().get(path).unwrap();
    }
    assert!(log.lines(1)[0].contains("GET /bad"));
    // Another configuration: nothing of this service.
    log.cluster.services[0].log.what = LogChoice::None;
    log.engine.apply(&log.cluster).unwrap();
    log.client().get("/bad").unwrap();
    // And another one: all of it, as JSON.
    log.cluster.services[0].log.what = LogChoice::All;
    log.cluster.log.format = LogFormat::Json;
    log.engine.apply(&log.cluster).unwrap();
    log.client().get("/good?after").unwrap();
    let lines = log.lines(2);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[1].contains(r#""uri":"/good?after""#) && lines[1].contains(r#""ended":"done""#),
        "{}",
        lines[1]
    );
}

#[test]
fn a_connection_is_a_line_of_tcplog() {
    let origin = Origin::named("one");
    let mut front = service(&[origin.at]);
    front.service.mode = Mode::Tcp;
    let log = Logged::start("tcplog", front, LogFormat::Haproxy);
    let mut client = log.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    let answer = client.answer().unwrap();
    drop(client);
    let lines = log.lines(1);
    let fields: Vec<_> = lines[0].split(' ').collect();
    assert_eq!(fields.len(), 9, "{}", lines[0]);
    assert_eq!(fields[2..4], ["web", "web/server1"]);
    assert_eq!(fields[4].split('/').map(number).count(), 3);
    assert_eq!(fields[5].parse::<usize>().unwrap(), answer.head.len() + answer.body.len());
    assert_eq!(fields[7], "1/1/1/1/0");
}

#[test]
fn a_folder_that_is_not_there_stops_the_start_and_changes_nothing_later() {
    let origin = Origin::named("one");
    let mut wrong = cluster([service(&[origin.at])]);
    wrong.log.target = LogTarget::File("/nonexistent/relevo/access.log".into());
    let error = Engine::start(Settings { workers: 1, ..Settings::default() }, &wrong).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/relevo is not there"), "{error}");
    let mut log = Logged::start("folder", service(&[origin.at]), LogFormat::Haproxy);
    std::mem::swap(&mut log.cluster.log.target, &mut wrong.log.target);
    assert!(log.engine.apply(&log.cluster).is_err());
    log.client().get("/still").unwrap();
    assert!(log.lines(1)[0].contains("/still"));
}

/// HAProxy's own reader of logs understands ours.
pub(crate) fn halog_reads_the_lines() {
    let origin = Origin::named("one");
    let log = Logged::start("halog", service(&[origin.at]), LogFormat::Haproxy);
    let mut client = log.client();
    for number in 0..10 {
        client.get(&format!("/{number}")).unwrap();
    }
    let lines = log.lines(10).join("\n") + "\n";
    // It expects what a syslog daemon puts in front.
    let lines =
        lines.lines().map(|line| format!("Nov 21 08:29:20 lb1 relevo[1]: {line}\n")).collect::<String>();
    let mut halog = std::process::Command::new("halog")
        .args(["-srv", "-q"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("halog of Debian's haproxy");
    halog.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = String::from_utf8(halog.wait_with_output().unwrap().stdout).unwrap();
    // srv_name 1xx 2xx 3xx 4xx 5xx other tot_req req_ok ...
    let server =
        output.lines().find(|line| line.starts_with("web/server1")).unwrap_or_else(|| panic!("{output}"));
    let counts: Vec<_> = server.split_whitespace().collect();
    assert_eq!((counts[2], counts[7], counts[8]), ("10", "10", "10"), "{output}");
}

#[test]
fn a_flow_of_datagrams_is_counted_as_it_goes_and_is_a_line_when_it_has_ended() {
    let echo = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let std::net::SocketAddr::V4(at) = echo.local_addr().unwrap() else { panic!("not IPv4") };
    std::thread::spawn(move || {
        let mut bytes = [0; 100];
        while let Ok((_, peer)) = echo.recv_from(&mut bytes) {
            let _ = echo.send_to(b"four", peer);
        }
    });
    let mut front = service(&[at]);
    front.service.mode = Mode::Udp;
    front.service.timeouts.client = std::time::Duration::from_secs(3);
    let logged = Logged::start("udp", front, LogFormat::Haproxy);
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(logged.at).unwrap();
    client.set_read_timeout(Some(crate::rig::LONG)).unwrap();
    for _ in 0..3 {
        client.send(b"seven..").unwrap();
        assert_eq!(client.recv(&mut [0; 10]).unwrap(), 4);
    }
    wait_until("they are counted while it lasts", || {
        [logged.service(), logged.server()].iter().all(|one| (one.received, one.sent) == (21, 12))
    });
    assert_eq!(logged.service().current, 1);
    let line = logged.lines(1).remove(0);
    let peer = client.local_addr().unwrap().to_string();
    assert!(line.starts_with(&format!("{peer} [")) && line.contains(" web web/server1 "), "{line}");
    assert!(line.contains(" 12 -- "), "{line}");
    for figures in [logged.service(), logged.server()] {
        assert_eq!((figures.received, figures.sent), (21, 12), "not twice");
    }
}

#[test]
fn the_rule_that_matched_is_named_and_its_return_shows_the_services_page() {
    let origin = Origin::named("one");
    let mut front = service(&[origin.at]);
    let page = std::env::temp_dir().join(format!("relevo-engine-page-{}.html", std::process::id()));
    std::fs::write(&page, "<p>gone for good").unwrap();
    front.service.error_pages = vec![ErrorPage { status: 410, file: page.clone() }];
    let answer = Return { status: 410, content_type: "text/plain".to_owned(), body: String::new() };
    front.service.rules = vec![Rule {
        line: 42,
        when: Condition { path: vec![Pattern::Glob("/gone".to_owned())], ..Condition::default() },
        unless: None,
        actions: vec![Action::Return(answer)],
    }];
    let logged = Logged::start("rule", front, LogFormat::Json);
    let mut client = logged.client();
    let gone = client.get("/gone").unwrap();
    assert_eq!((gone.status, gone.body.as_str()), (410, "<p>gone for good"));
    assert!(gone.head.contains("Content-Type: text/html"), "{}", gone.head);
    assert_eq!(client.get("/").unwrap().body, "one");
    let lines = logged.lines(2);
    assert!(lines[0].contains(r#""by":"balancer","rule":42,"#), "{}", lines[0]);
    assert!(!lines[1].contains("rule"), "{}", lines[1]);
    std::fs::remove_file(page).unwrap();
}

#[test]
fn a_line_says_how_many_stood_in_line_before() {
    let gate = std::sync::Arc::new(std::sync::Mutex::new(()));
    let waiting = std::sync::Arc::clone(&gate);
    let origin = Origin::answering(move |_| {
        drop(waiting.lock());
        with_length("one")
    });
    let mut front = service(&[origin.at]);
    front.pool.servers[0].max_connections = Some(1);
    let logged = Logged::start("line", front, LogFormat::Haproxy);
    let held = gate.lock().unwrap();
    let mut clients: Vec<Client> = (0..3).map(|_| logged.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n"));
        wait_until("it is at the server, or in line", || {
            let pool = &logged.engine.snapshot().pools[0];
            pool.servers[0].connections == 1 && pool.queued == number as u64
        });
    }
    drop(held);
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().body, "one");
    }
    let lines = logged.lines(3);
    for (number, before) in [" 0/0 ", " 0/0 ", " 0/1 "].into_iter().enumerate() {
        let line = lines.iter().find(|line| line.contains(&format!("GET /{number} "))).unwrap();
        assert!(line.contains(before), "{line}");
    }
}
