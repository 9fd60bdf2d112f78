//! TLS with servers. A second balancer stands for a server that speaks it.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;

use relevo_lb::Health;
use relevo_model::cluster::{CheckKind, ClientTls, HttpCheck, Verify};

use crate::rig::{Origin, Rig, service};
use crate::tls_rig::{Authority, certificate, server_tls, with_tls};

fn client_tls(ca: Option<PathBuf>, name: Option<&str>) -> ClientTls {
    let verify = if ca.is_some() { Verify::Required } else { Verify::None };
    ClientTls { verify, ca, name: name.map(str::to_owned), certificate: None }
}

#[test]
fn servers_are_asked_over_tls_on_connections_that_are_kept() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["app.internal"]);
    let origin = Origin::mirror();
    let server = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&chain])));
    for tls in [client_tls(None, None), client_tls(Some(authority.file.clone()), Some("app.internal"))] {
        let mut front = service(&[server.at]);
        front.pool.tls = Some(tls);
        let rig = Rig::start(front);
        let mut client = rig.client();
        let before = origin.accepted();
        for _ in 0..5 {
            assert!(client.get("/x").unwrap().body.contains("X-Forwarded-Proto: https"));
        }
        assert!(origin.accepted() <= before + 1, "a connection for each request");
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
        client.send(vec![b'x'; 300_000]);
        assert_eq!(client.answer().unwrap().status, 200);
    }
}

#[test]
fn a_server_that_is_somebody_else_is_not_asked() {
    let (authority, other) = (Authority::new(), Authority::new());
    let chain = authority.issue("a.pem", &["app.internal"]);
    let origin = Origin::named("a");
    let server = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&chain])));
    for tls in [
        client_tls(Some(other.file.clone()), Some("app.internal")),
        client_tls(Some(authority.file.clone()), Some("other.internal")),
        client_tls(Some(authority.file.clone()), None),
    ] {
        let mut front = service(&[server.at]);
        front.pool.tls = Some(tls);
        front.pool.retries = 0;
        assert_eq!(Rig::start(front).get("/").status, 503);
    }
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn servers_can_want_our_certificate() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["app.internal"]);
    let ours = authority.issue("ours.pem", &["relevo"]);
    let origin = Origin::named("a");
    let mut tls = server_tls(&[&chain]);
    (tls.client_ca, tls.client_verify) = (Some(authority.file.clone()), Verify::Required);
    let server = Rig::start(with_tls(service(&[origin.at]), tls));
    let mut front = service(&[server.at]);
    front.pool.tls = Some(client_tls(None, None));
    assert_ne!(Rig::start(front.clone()).get("/").status, 200);
    front.pool.tls.as_mut().unwrap().certificate = Some(certificate(&ours));
    assert_eq!(Rig::start(front).get("/").body, "a");
}

#[test]
fn checks_speak_tls_and_say_what_they_did_not_like() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["app.internal"]);
    let origin = Origin::named("a");
    let server = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&chain])));
    let mut front = service(&[server.at]);
    front.pool.check.kind = CheckKind::Http(HttpCheck::get("/"));
    front.pool.check.tls = true;
    // Without TLS for traffic, and then without verification.
    Rig::start(front.clone()).wait_health(1, Health::Up);
    front.pool.check.kind = CheckKind::Connect;
    Rig::start(front.clone()).wait_health(1, Health::Up);
    front.pool.tls = Some(client_tls(Some(authority.file.clone()), Some("wrong.internal")));
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Down);
    let reason = rig.server(1).reason;
    assert!(reason.contains("TLS") && reason.contains("certificate"), "{reason}");
}

#[test]
fn an_answer_that_was_cut_off_is_not_taken_for_a_whole_one() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["app.internal"]);
    let origin = Origin::with(|peer| {
        if peer.request().is_some() {
            let body = "x".repeat(100_000);
            let _ = peer.write(format!("HTTP/1.1 200 OK\r\n\r\n{body}").as_bytes());
        }
    });
    let server = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&chain])));
    let at = server.at;
    // Between the two: forwards records as they are, but ends the connection instead of the last of them.
    let cutter = Origin::with(move |peer| {
        let mut upstream = TcpStream::connect(at).unwrap();
        let mut client = peer.stream().try_clone().unwrap();
        let mut back = upstream.try_clone().unwrap();
        let down = std::thread::spawn(move || {
            use std::io::Read as _;
            let mut all = Vec::new();
            let mut buffer = vec![0; 65536];
            // Handshake and most of the body.
            while all.len() < 60_000 {
                let Ok(count @ 1..) = back.read(&mut buffer) else { return };
                all.extend_from_slice(&buffer[..count]);
                let _ = client.write_all(&buffer[..count]);
            }
            let _ = client.shutdown(std::net::Shutdown::Both);
        });
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = peer.read(&mut buffer) {
            if upstream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = down.join();
    });
    let mut whole = service(&[server.at]);
    whole.pool.tls = Some(client_tls(None, None));
    assert_eq!(Rig::start(whole.clone()).get("/").body.len(), 100_000);
    let mut front = service(&[cutter.at]);
    front.pool.tls = Some(client_tls(None, None));
    let rig = Rig::start(front);
    assert!(rig.client().get("/").is_err(), "the client takes it for the whole answer");
}
