//! HTTP/2 to servers: clients of both versions, and servers that behave well and badly.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use relevo_lb::{Admin, Health};
use relevo_model::cluster::{CheckKind, ClientTls, HttpCheck, Protocol, Verify};

use crate::http2::{connect, get, request, run};
use crate::http2_rig::{Http2Origin, Manner};
use crate::rig::{Front, Origin, Rig, field, service, wait_until};
use crate::tls_rig::{Authority, server_tls, with_tls};

/// A service whose servers speak HTTP/2 in clear; its clients may.
pub(crate) fn front(origins: &[&Http2Origin]) -> Front {
    let servers: Vec<_> = origins.iter().map(|origin| origin.at).collect();
    let mut front = service(&servers);
    front.h2c = true;
    front.pool.protocols = vec![Protocol::H2];
    front
}

#[test]
fn clients_of_both_versions_are_served_over_few_connections() {
    let origin = Http2Origin::start(Manner::default());
    let rig = Rig::start(front(&[&origin]));
    let mut client = rig.client();
    for _ in 0..10 {
        let answer = client.get("/x?y=1").unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body.lines().next(), Some("GET http://test/x?y=1"), "{}", answer.body);
        assert_eq!(field(&answer.body, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(field(&answer.body, "te").as_deref(), Some("trailers"));
        assert!(field(&answer.body, "connection").is_none());
    }
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.answer_to("HEAD").unwrap().head.contains("content-length:"));
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let answer = client.answer().unwrap();
    assert_eq!((answer.body.as_str(), answer.trailers.as_str()), ("hello", "grpc-status: 0\r\n"));
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Up: t\r\n\r\n",
    );
    let answer = client.answer().unwrap();
    assert_eq!((answer.body.as_str(), answer.trailers.as_str()), ("abcde", "grpc-status: 0\r\nx-up: t\r\n"));
    let large = "z".repeat(3_000_000);
    client.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", large.len()));
    let mut sender = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, large.as_bytes()));
    assert_eq!(client.answer().unwrap().body.len(), 3_000_000);
    sending.join().unwrap().unwrap();
    run(async {
        let (mut send, _) = connect(rig.at).await;
        let (status, body) = get(&mut send, "/two").await.unwrap();
        assert_eq!(status, 200);
        assert!(body.starts_with(b"GET http://test.example/two\n"));
    });
    assert!(origin.connections() <= 2, "{} connections for two workers", origin.connections());
    assert_eq!(rig.server(1).requests, 15);
    assert_eq!(rig.server(1).connections, 0);
}

#[test]
fn grpc_goes_through_both_ways_at_once() {
    let origin = Http2Origin::start(Manner::default());
    let rig = Rig::start(front(&[&origin]));
    run(async {
        let (mut client, _) = connect(rig.at).await;
        // A unary call.
        let (answer, mut send) = client.send_request(request("POST", "/echo"), false).unwrap();
        send.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false).unwrap();
        let mut up = HeaderMap::new();
        up.insert("x-up", "1".parse().unwrap());
        send.send_trailers(up).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "\0\0\0\0\x02hi");
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-up"]),
            (&"0".parse().unwrap(), &"1".parse().unwrap())
        );
        // A call that speaks and hears in turn: each message must go at once.
        let (answer, mut send) = client.send_request(request("POST", "/echo"), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        for number in 0..20 {
            let message = Bytes::from(format!("message {number}"));
            send.send_data(message.clone(), false).unwrap();
            let data = body.data().await.unwrap().unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            assert_eq!(data, message);
        }
        send.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn a_server_gets_no_more_streams_than_it_allows() {
    let origin = Http2Origin::start(Manner { streams: 10, ..Manner::default() });
    let rig = Rig::start(front(&[&origin]));
    run(async {
        let (client, _) = connect(rig.at).await;
        // The first one lets the balancer know.
        assert_eq!(get(&mut client.clone(), "/").await.unwrap().0, 200);
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..60 {
            let mut client = client.clone().ready().await.unwrap();
            all.spawn_local(async move { get(&mut client, "/slow").await.unwrap().0 });
        }
        assert!(all.join_all().await.iter().all(|status| *status == 200));
    });
    assert!(origin.seen.most.load(Ordering::SeqCst) <= 10);
    assert!((2..=12).contains(&origin.connections()), "{}", origin.connections());
}

#[test]
fn max_connections_counts_requests() {
    let origin = Http2Origin::start(Manner::default());
    let mut front = front(&[&origin]);
    front.pool.servers[0].max_connections = Some(3);
    let rig = Rig::start(front);
    run(async {
        let (client, _) = connect(rig.at).await;
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let mut client = client.clone().ready().await.unwrap();
            all.spawn_local(async move { get(&mut client, "/slow").await.unwrap().0 });
        }
        assert!(all.join_all().await.iter().all(|status| *status == 200));
    });
    assert!(origin.seen.most.load(Ordering::SeqCst) <= 3);
}

#[test]
fn what_a_server_has_not_processed_is_asked_again() {
    let origin = Http2Origin::start(Manner { goaway_after: 3, ..Manner::default() });
    let rig = Rig::start(front(&[&origin]));
    // Whatever it is, with its body.
    let mut client = rig.client();
    client.send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(origin.seen.refused.load(Ordering::SeqCst), 2);
    run(async {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (client, _) = connect(rig.at).await;
            all.spawn_local(async move {
                for _ in 0..25 {
                    let mut client = client.clone().ready().await.unwrap();
                    let (answer, mut send) = client.send_request(request("POST", "/"), false).unwrap();
                    send.send_data(Bytes::from_static(b"body"), true).unwrap();
                    assert_eq!(answer.await.unwrap().status(), 200);
                }
            });
        }
        all.join_all().await;
    });
    let snapshot = rig.engine.snapshot();
    assert_eq!((snapshot.services[0].requests, snapshot.services[0].errors), (101, 0));
    assert!(origin.connections() > 20, "{}", origin.connections());
}

#[test]
fn who_does_not_read_holds_up_nobody_else() {
    let origin = Http2Origin::start(Manner::default());
    let rig = Rig::start(front(&[&origin]));
    let mut deaf: Vec<_> = (0..8).map(|_| rig.client()).collect();
    for client in &mut deaf {
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        // Its answer has begun.
        client.bytes(100);
    }
    for _ in 0..20 {
        let answer = rig.get("/large");
        assert_eq!((answer.status, answer.body.len()), (200, 8 * 1024 * 1024));
    }
    assert!(origin.connections() <= 2);
    // It goes on when it reads.
    let mut rest = 0;
    let mut buffer = vec![0; 65536];
    // The reader has taken some ahead.
    while rest < 8 * 1024 * 1024 - 16 * 1024 {
        rest += std::io::Read::read(deaf[0].stream(), &mut buffer).unwrap();
    }
}

#[test]
fn a_client_that_leaves_resets_its_stream_only() {
    let origin = Http2Origin::start(Manner::default());
    let rig = Rig::start(front(&[&origin]));
    run(async {
        let (mut client, _) = connect(rig.at).await;
        let (answer, _) = client.send_request(request("GET", "/never"), true).unwrap();
        while origin.seen.requests.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(answer);
        assert_eq!(get(&mut client, "/").await.unwrap().0, 200);
    });
    wait_until("its stream is reset", || origin.seen.resets.load(Ordering::SeqCst) == 1);
    wait_until("nothing is under way", || rig.server(1).connections == 0);
    assert_eq!(rig.get("/").status, 200);
}

#[test]
fn a_server_that_is_silent_is_given_up_and_others_go_on() {
    let origin = Http2Origin::start(Manner::default());
    let mut front = front(&[&origin]);
    front.pool.timeouts.server = Duration::from_millis(300);
    let rig = Rig::start(front);
    assert_eq!(rig.get("/never").status, 504);
    assert_eq!(rig.get("/").status, 200);
}

#[test]
fn a_server_that_is_gone_is_not_asked() {
    let (gone, other) = (Http2Origin::start(Manner::default()), Http2Origin::start(Manner::default()));
    let rig = Rig::start(front(&[&gone, &other]));
    for _ in 0..4 {
        assert_eq!(rig.get("/").status, 200);
    }
    drop(gone);
    for _ in 0..20 {
        assert_eq!(rig.get("/").status, 200);
    }
}

#[test]
fn checks_speak_http2_too() {
    let origin = Http2Origin::start(Manner::default());
    let old = Origin::named("old");
    let mut front = front(&[&origin]);
    front.pool.servers.push(service(&[old.at]).pool.servers[0].clone());
    front.pool.servers[1].name = "old".into();
    front.pool.check.kind = CheckKind::Http(HttpCheck::get("/health"));
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    assert!(rig.server(1).reason.contains("answered 200"), "{}", rig.server(1).reason);
    rig.wait_health(2, Health::Down);
}

#[test]
fn with_tls_the_server_chooses() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["app.internal"]);
    let origin = Origin::mirror();
    for (offered, spoken) in [
        (vec![Protocol::H2, Protocol::Http1], true),
        (vec![Protocol::Http1], false),
        (vec![Protocol::H2], true),
    ] {
        let mut inner = with_tls(service(&[origin.at]), server_tls(&[&chain]));
        inner.protocols = offered.clone();
        let server = Rig::start(inner);
        let mut front = service(&[server.at]);
        front.h2c = true;
        front.pool.protocols = vec![Protocol::H2, Protocol::Http1];
        front.pool.tls = Some(ClientTls {
            verify: Verify::Required,
            ca: Some(authority.file.clone()),
            name: Some("app.internal".to_owned()),
            certificate: None,
        });
        front.pool.check.tls = true;
        front.pool.check.kind = CheckKind::Http(HttpCheck::get("/"));
        let rig = Rig::start(front);
        rig.wait_health(1, Health::Up);
        run(async {
            let (client, _) = connect(rig.at).await;
            let mut all = tokio::task::JoinSet::new();
            for _ in 0..30 {
                let mut client = client.clone().ready().await.unwrap();
                all.spawn_local(async move { get(&mut client, "/").await.unwrap() });
            }
            for (status, body) in all.join_all().await {
                assert_eq!(status, 200);
                assert!(String::from_utf8(body).unwrap().contains("X-Forwarded-Proto: https"));
            }
        });
        let connections = server.engine.snapshot().services[0].connections;
        // Checks make connections of their own.
        assert!(!spoken || connections < 20, "{offered:?}: {connections}");
    }
}

#[test]
fn a_server_that_does_not_speak_it_gives_502_or_503() {
    let origin = Origin::named("old");
    let mut front = service(&[origin.at]);
    front.pool.protocols = vec![Protocol::H2];
    let rig = Rig::start(front);
    let status = rig.get("/").status;
    assert!(matches!(status, 502 | 503), "{status}");
}

#[test]
fn a_reload_keeps_the_connections_and_changes_what_is_spoken() {
    let origin = Http2Origin::start(Manner::default());
    let mut next = front(&[&origin]);
    let rig = Rig::start(next.clone());
    let mut client = rig.client();
    assert_eq!(client.get("/").unwrap().status, 200);
    let before = origin.connections();
    next.pool.retries = 1;
    rig.engine.apply(&crate::rig::cluster([next.clone()])).unwrap();
    assert_eq!(client.get("/").unwrap().status, 200);
    assert_eq!(origin.connections(), before);
    next.pool.protocols = vec![Protocol::Http1];
    rig.engine.apply(&crate::rig::cluster([next.clone()])).unwrap();
    assert_ne!(client.get("/").map_or(0, |answer| answer.status), 200);
}

#[test]
fn what_a_stopped_server_has_is_cut_and_a_drained_one_finishes() {
    let (stopped, other) = (Http2Origin::start(Manner::default()), Http2Origin::start(Manner::default()));
    let rig = Rig::start(front(&[&stopped, &other]));
    rig.engine.set_admin(None, "server2", Admin::Drain, false);
    run(async {
        let (mut client, _) = connect(rig.at).await;
        let (answer, _) = client.send_request(request("GET", "/never"), true).unwrap();
        while stopped.seen.requests.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        rig.engine.set_admin(None, "server2", Admin::Ready, false);
        rig.engine.set_admin(None, "server1", Admin::Maint, true);
        assert_eq!(answer.await.unwrap().status(), 503);
        let (slow, _) = client.send_request(request("GET", "/slow"), true).unwrap();
        while other.seen.requests.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        rig.engine.set_admin(None, "server2", Admin::Drain, false);
        assert_eq!(slow.await.unwrap().status(), 200, "what runs may finish");
    });
}

#[test]
fn stopping_lets_requests_finish() {
    let origin = Http2Origin::start(Manner::default());
    let Rig { engine, at } = Rig::start(front(&[&origin]));
    run(async {
        let (mut client, _) = connect(at).await;
        let (answer, _) = client.send_request(request("GET", "/slow"), true).unwrap();
        while origin.seen.requests.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let stopping = std::thread::spawn(move || engine.shutdown(Duration::from_secs(10)));
        assert_eq!(answer.await.unwrap().status(), 200);
        drop(client);
        stopping.join().unwrap();
    });
}

#[test]
fn whoever_introduces_clients_has_a_connection_for_each() {
    let origin = Http2Origin::start(Manner::default());
    // Between the two: reads the header of the PROXY protocol, and forwards the rest.
    let at = origin.at;
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let lines = std::sync::Arc::clone(&seen);
    let between = Origin::with(move |peer| {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") && matches!(peer.read(&mut byte), Ok(1)) {
            line.push(byte[0]);
        }
        lines.lock().unwrap().push(String::from_utf8(line).unwrap());
        let mut server = std::net::TcpStream::connect(at).unwrap();
        let (mut back, mut client) = (server.try_clone().unwrap(), peer.stream().try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut client));
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = peer.read(&mut buffer) {
            if std::io::Write::write_all(&mut server, &buffer[..count]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(std::net::Shutdown::Both);
    });
    let mut front = front(&[&origin]);
    front.pool.servers[0].at = between.at.into();
    front.pool.proxy_protocol = Some(relevo_model::cluster::ProxyVersion::V1);
    let rig = Rig::start(front);
    let mut client = rig.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    let lines = seen.lock().unwrap();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.starts_with("PROXY TCP4 127.0.0.1 ")), "{lines:?}");
}
