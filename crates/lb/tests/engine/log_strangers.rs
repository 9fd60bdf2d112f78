//! What the access log says of connections that never came to a request; HAProxy's words, as its version 2.6 writes them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use relevo_lb::Figures;
use relevo_model::cluster::{LogChoice, LogFormat, Mode, TlsVersion, Verify};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::log::Logged;
use crate::rig::{Client, Front, LONG, Origin, service, wait_until};
use crate::tls_rig::{Authority, Tls, client_side, server_tls, with_tls};

/// A service over TLS with a log.
struct Scene {
    log: Logged,
    authority: Authority,
    origin: Origin,
}

impl Scene {
    /// Its certificate has this name.
    fn new(file: &str, name: &str, format: LogFormat, change: impl FnOnce(&mut Front, &Authority)) -> Self {
        let origin = Origin::named("one");
        let authority = Authority::new();
        let chain = authority.issue("a.pem", &[name]);
        let mut front = with_tls(service(&[origin.at]), server_tls(&[&chain]));
        front.listen[0].defer_accept = Some(false);
        change(&mut front, &authority);
        Self { log: Logged::start(file, front, format), authority, origin }
    }

    fn figures(&self) -> Figures {
        self.log.engine.snapshot().services[0].figures.clone()
    }

    /// A client that wants `a.org` by this version, and does not get it.
    fn refused(&self, version: &'static SupportedProtocolVersion) -> SocketAddr {
        let sock = self.connect();
        let own = sock.local_addr().unwrap();
        let mut tls = Tls::new(client_side(&self.authority, &[], &[version]), sock);
        tls.read_to_end(&mut Vec::new()).unwrap_err();
        own
    }

    fn connect(&self) -> TcpStream {
        let sock = TcpStream::connect(self.log.at).unwrap();
        sock.set_read_timeout(Some(LONG)).unwrap();
        sock
    }

    /// Says this, and that it will say no more.
    fn leaves(&self, what: &[u8]) -> SocketAddr {
        let mut sock = self.connect();
        let own = sock.local_addr().unwrap();
        sock.write_all(what).unwrap();
        // Whoever was refused may be gone already.
        let _ = sock.shutdown(std::net::Shutdown::Write);
        let _ = sock.read(&mut [0]);
        own
    }

    /// Says this, and waits until it is closed.
    fn stays(&self, what: &[u8]) -> SocketAddr {
        loop {
            let before = Instant::now();
            let mut sock = self.connect();
            let own = sock.local_addr().unwrap();
            let said = sock.write_all(what);
            // On a machine that had no time, it was too late.
            let was_quick = before.elapsed() < Duration::from_millis(500);
            let closed = sock.read(&mut [0]);
            if was_quick {
                said.unwrap();
                assert!(!matches!(closed, Ok(1..)));
                return own;
            }
        }
    }

    /// The first bytes of a handshake.
    fn hello(&self) -> Vec<u8> {
        let mut hello = Vec::new();
        client_side(&self.authority, &[], &[&TLS13]).write_tls(&mut hello).unwrap();
        hello
    }
}

/// A line without its date.
fn undated(line: &str) -> String {
    let (client, rest) = line.split_once(" [").unwrap();
    let (date, rest) = rest.split_once("] ").unwrap();
    assert_eq!(date.len(), "22/Nov/2026:04:48:15.922".len(), "{line}");
    format!("{client} {rest}")
}

#[test]
fn handshakes_that_fail_are_lines_that_say_why() {
    let version = Scene::new("strangers-version", "a.org", LogFormat::Haproxy, |front, _| {
        front.service.tls.as_mut().unwrap().min_version = TlsVersion::V13;
    });
    let name = Scene::new("strangers-name", "b.org", LogFormat::Haproxy, |front, _| {
        front.service.tls.as_mut().unwrap().strict_sni = true;
    });
    let proof = Scene::new("strangers-proof", "a.org", LogFormat::Haproxy, |front, authority| {
        let tls = front.service.tls.as_mut().unwrap();
        (tls.client_ca, tls.client_verify) = (Some(authority.file.clone()), Verify::Required);
    });
    let not_trusted = Scene::new("strangers-trust", "c.org", LogFormat::Haproxy, |_, _| {});
    for (scene, by, why) in [
        (&version, &TLS12, "Tls12"),
        (&name, &TLS13, "certificate"),
        (&proof, &TLS13, "certificates"),
        (&proof, &TLS12, "certificates"),
        // The client does not like the certificate, and says so.
        (&not_trusted, &TLS13, "BadCertificate"),
    ] {
        let before = scene.figures().handshakes_failed;
        let own = scene.refused(by);
        let line = undated(scene.log.lines(before as usize + 1).last().unwrap());
        let start = format!("{own} web/1: SSL handshake failure (");
        assert!(line.starts_with(&start) && line.ends_with(')') && line.contains(why), "{line}");
        let figures = scene.figures();
        // As HAProxy counts them: connections, and no requests.
        assert_eq!((figures.handshakes_failed, figures.requests, figures.request_errors), (before + 1, 0, 0));
    }
}

#[test]
fn who_leaves_in_the_handshake_is_a_line_if_it_has_said_something() {
    let scene = Scene::new("strangers-left", "a.org", LogFormat::Haproxy, |_, _| {});
    // Somebody looks whether the port is open.
    drop(scene.connect());
    let left = scene.leaves(&scene.hello()[..50]);
    let expected = format!("{left} web/1: Connection closed during SSL handshake");
    assert_eq!(undated(&scene.log.lines(1)[0]), expected);
    assert_eq!(scene.figures().handshakes_failed, 1);
}

#[test]
fn who_stays_silent_in_the_handshake_is_a_line_if_it_has_said_something() {
    let scene = Scene::new("strangers-silent", "a.org", LogFormat::Haproxy, |front, _| {
        front.timeouts.request = Duration::from_secs(1);
    });
    assert_eq!(scene.connect().read(&mut [0]).unwrap(), 0);
    let stayed = scene.stays(&scene.hello()[..50]);
    let expected = format!("{stayed} web/1: Timeout during SSL handshake");
    assert!(scene.log.lines(1).iter().any(|line| undated(line) == expected), "{stayed}");
}

#[test]
fn a_request_without_tls_is_a_line_of_a_bad_request() {
    let scene = Scene::new("strangers-clear", "a.org", LogFormat::Haproxy, |_, _| {});
    let mut client = Client::connect(scene.log.at);
    // In one piece.
    client.send("GET /x?y HTTP/1.1\r\nHost: a.org\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 400);
    let line = undated(&scene.log.lines(1)[0]);
    let (before, request) = line.split_once(" \"").unwrap();
    assert_eq!(request, "GET /x?y HTTP/1.1\"");
    let sent = answer.head.len() + answer.body.len();
    // Not `web~`: it did not speak TLS.
    assert!(before.contains(" web web/<NOSRV> "), "{line}");
    assert!(before.contains(&format!(" 400 {sent} - - PR-- ")), "{line}");
    let figures = scene.figures();
    assert_eq!((figures.requests, figures.request_errors, figures.statuses), (1, 1, [0, 0, 0, 1, 0, 0]));
    assert_eq!((figures.sent, figures.handshakes_failed), (sent as u64, 0));
    // A request that is not whole could not be read.
    let mut client = Client::connect(scene.log.at);
    client.send("HALF");
    assert_eq!(client.answer().unwrap().status, 400);
    assert!(scene.log.lines(2)[1].ends_with("\"<BADREQ>\""));
    assert_eq!(scene.origin.accepted(), 0);
}

#[test]
fn a_request_without_tls_in_mode_tcp_is_a_line_of_tcplog() {
    let scene = Scene::new("strangers-tcp", "a.org", LogFormat::Haproxy, |front, _| front.mode = Mode::Tcp);
    let answer = Client::connect(scene.log.at).get("/").unwrap();
    let line = undated(&scene.log.lines(1)[0]);
    let fields: Vec<_> = line.split(' ').collect();
    let sent = (answer.head.len() + answer.body.len()).to_string();
    assert_eq!((fields[1], fields[2], fields[4], fields[5]), ("web", "web/<NOSRV>", &*sent, "PR"), "{line}");
    assert_eq!(fields.len(), 8, "{line}");
}

/// Clients come through another proxy.
fn introduced(front: &mut Front) {
    front.service.tls = None;
    front.listen[0].tls = false;
    front.listen[0].proxy_protocol = true;
}

#[test]
fn headers_of_proxies_that_are_missing_or_wrong_are_lines() {
    let scene = Scene::new("strangers-proxy", "a.org", LogFormat::Haproxy, |front, _| introduced(front));
    drop(scene.connect());
    let said = [
        ("GET / HTTP/1.1\r\n\r\n", "Received something which does not look like a PROXY protocol header ("),
        ("PROXY TCP4 nonsense\r\n", "Received an invalid PROXY protocol header ("),
        ("PROXY TC", "Truncated PROXY protocol header received"),
    ];
    for (number, (what, words)) in (1..).zip(said) {
        let own = scene.leaves(what.as_bytes());
        let line = undated(scene.log.lines(number).last().unwrap());
        assert!(line.starts_with(&format!("{own} web/1: {words}")), "{line}");
    }
    assert_eq!(scene.log.lines(3).len(), 3);
}

#[test]
fn a_header_of_a_proxy_that_does_not_come_in_time_is_a_line() {
    let scene = Scene::new("strangers-late", "a.org", LogFormat::Haproxy, |front, _| {
        introduced(front);
        front.timeouts.request = Duration::from_secs(1);
    });
    let own = scene.stays(b"PROXY TC");
    let expected = format!("{own} web/1: Timeout while waiting for PROXY protocol header");
    assert!(scene.log.lines(1).iter().any(|line| undated(line) == expected), "{own}");
}

#[test]
fn in_json_the_end_is_in_words() {
    let scene = Scene::new("strangers-json", "a.org", LogFormat::Json, |front, _| {
        // They are errors.
        front.log.what = LogChoice::Errors;
        front.service.tls.as_mut().unwrap().min_version = TlsVersion::V13;
    });
    let own = scene.refused(&TLS12);
    let line = scene.log.lines(1).remove(0);
    assert!(line.starts_with(r#"{"time":""#) && line.ends_with(r#""}"#), "{line}");
    let middle = format!(
        r#","client":"{own}","service":"web","listen":1,"ended":"TLS handshake failed","code":"PR","reason":""#
    );
    assert!(line.contains(&middle), "{line}");
}

#[test]
fn a_service_that_logs_nothing_does_not_log_strangers() {
    let mut scene = Scene::new("strangers-none", "a.org", LogFormat::Haproxy, |front, _| {
        front.log.what = LogChoice::None;
        front.service.tls.as_mut().unwrap().min_version = TlsVersion::V13;
    });
    scene.refused(&TLS12);
    wait_until("it is counted", || scene.figures().handshakes_failed == 1);
    scene.log.cluster.services[0].log.what = LogChoice::All;
    scene.log.engine.apply(&scene.log.cluster).unwrap();
    let own = scene.refused(&TLS12);
    let lines = scene.log.lines(1);
    assert!(lines.len() == 1 && lines[0].starts_with(&format!("{own} ")), "{lines:?}");
}
