//! What clients may send, and how much of the service one of them may have.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

use bytes::Bytes;
use relevo_model::cluster::Mode;

use crate::http2::{connect, get, request, run};
use crate::rig::{Client, Front, Origin, Rig, service, wait_until, with_length};

fn with_most(origin: &Origin, most: u64) -> Front {
    let mut front = service(&[origin.at]);
    front.limits.body = Some(most);
    front.h2c = true;
    front
}

/// What the engine says of its only service: requests, errors, refused ones.
fn counts(rig: &Rig) -> (u64, u64, u64) {
    let service = &rig.engine.snapshot().services[0];
    (service.requests, service.errors, service.figures.denied)
}

#[test]
fn a_target_that_is_too_long_is_414() {
    let origin = Origin::named("one");
    let mut front = service(&[origin.at]);
    front.limits.uri = 100;
    front.limits.header = 1000;
    let rig = Rig::start(front);
    let mut client = rig.client();
    let path = |length: usize| format!("/{}", "x".repeat(length - 1));
    assert_eq!(client.get(&path(100)).unwrap().status, 200);
    assert_eq!(client.get(&path(101)).unwrap().status, 414);
    assert_eq!(client.get(&path(100)).unwrap().status, 200, "the connection goes on");
    client.send(format!("HEAD {} HTTP/1.1\r\nHost: a\r\n\r\n", path(101)));
    let answer = client.answer_to("HEAD").unwrap();
    assert_eq!(answer.status, 414);
    assert_eq!(client.get(&path(100)).unwrap().status, 200, "no body came with the answer to HEAD");
    // All of the head is target, and more than a head may be.
    for end in [" HTTP/1.1\r\nHost: a\r\n\r\n", ""] {
        let mut client = rig.client();
        client.send(format!("GET {}{end}", path(2000)));
        assert_eq!(client.answer().unwrap().status, 414);
    }
    wait_until("all are counted", || counts(&rig) == (7, 4, 4));
    assert_eq!(rig.server(1).requests, 3);
}

#[test]
fn a_body_that_is_too_large_is_413_before_a_server_is_asked() {
    let origin = Origin::answering(|request| with_length(&request.body.len().to_string()));
    let rig = Rig::start(with_most(&origin, 1000));
    let mut client = rig.client();
    let body = |length: usize| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
    };
    client.send(body(1000));
    assert_eq!(client.answer().unwrap().body, "1000");
    client.send(body(1001));
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 413);
    assert!(answer.head.contains("Connection: close"), "{}", answer.head);
    assert!(client.is_closed());
    // Who waits to be told does not send it at all.
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 413);
    wait_until("both are counted", || counts(&rig) == (3, 2, 2));
    assert_eq!((rig.server(1).requests, rig.server(1).failures), (1, 0));
}

#[test]
fn chunks_that_become_too_many_are_413() {
    let origin = Origin::answering(|request| with_length(&request.body.len().to_string()));
    let rig = Rig::start(with_most(&origin, 1000));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |length: usize| format!("{length:x}\r\n{}\r\n", "x".repeat(length));
    let mut client = rig.client();
    // The framing does not count.
    client.send(format!("{head}{}{}0\r\n\r\n", chunk(500), chunk(500)));
    assert_eq!(client.answer().unwrap().body, "1000");
    client.send(format!("{head}{}{}", chunk(500), chunk(501)));
    assert_eq!(client.answer().unwrap().status, 413);
    assert!(client.is_closed());
    let mut client = rig.client();
    client.send(head);
    client.send(chunk(1000));
    client.send(chunk(1));
    assert_eq!(client.answer().unwrap().status, 413);
    assert_eq!(rig.server(1).failures, 0, "the server is not blamed");
    wait_until("both are counted", || counts(&rig) == (3, 2, 2));
}

#[test]
fn chunks_that_become_too_many_after_the_answer_began_cut_it() {
    let origin = Origin::with(|peer| {
        peer.head();
        let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun");
        while matches!(peer.read(&mut [0; 1000]), Ok(1..)) {}
    });
    let rig = Rig::start(with_most(&origin, 1000));
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut seen = Vec::new();
    while !seen.ends_with(b"begun") {
        seen.extend(client.bytes(1));
    }
    client.send(format!("{:x}\r\n{}\r\n", 1001, "x".repeat(1001)));
    assert!(client.is_closed());
    wait_until("it is counted", || counts(&rig).2 == 1);
    assert_eq!(rig.server(1).failures, 0, "the server is not blamed");
}

#[test]
fn http2_has_the_same_limits() {
    let origin = Origin::answering(|request| with_length(&request.body.len().to_string()));
    let mut front = with_most(&origin, 1000);
    front.limits.uri = 100;
    let rig = Rig::start(front);
    run(async {
        let (mut send, _) = connect(rig.at).await;
        let long = request("GET", &format!("/{}", "x".repeat(100)));
        let (response, _) = send.send_request(long, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 414);
        for (length, status) in [(1000, 200), (1001, 413)] {
            // Without and with a length that is known before.
            for known in [false, true] {
                let mut post = request("POST", "/");
                if known {
                    post.headers_mut().insert("content-length", length.into());
                }
                let (response, mut body) = send.send_request(post, false).unwrap();
                // It may be refused already.
                let _ = body.send_data(Bytes::from(vec![b'x'; length]), true);
                assert_eq!(response.await.unwrap().status(), status, "{length} bytes, known: {known}");
            }
        }
    });
    assert_eq!(rig.server(1).failures, 0);
    wait_until("all are counted", || counts(&rig) == (5, 3, 3));
}

fn with_places(origin: &Origin, places: u32) -> Front {
    let mut front = service(&[origin.at]);
    front.limits.connections_per_source = Some(places);
    front
}

#[test]
fn a_source_has_as_many_connections_as_allowed_over_all_workers() {
    let origin = Origin::named("one");
    let rig = Rig::start(with_places(&origin, 3));
    let mut clients: Vec<Client> = (0..3).map(|_| rig.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").unwrap().body, "one");
    }
    for _ in 0..10 {
        assert!(rig.client().is_closed(), "it is closed without a word");
    }
    wait_until("they are counted", || counts(&rig) == (3, 10, 10));
    // From another address of this machine there is room.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
    socket.connect(&rig.at.into()).unwrap();
    let mut other = TcpStream::from(socket);
    other.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    let mut said = String::new();
    other.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    // Places come back.
    clients.pop();
    wait_until("one is gone", || rig.engine.snapshot().services[0].connections == 2);
    assert_eq!(rig.get("/").body, "one");
    // The limit is the configuration's.
    rig.engine.apply(&crate::rig::cluster([with_places(&origin, 5)])).unwrap();
    clients.push(rig.client());
    assert_eq!(clients.last_mut().unwrap().get("/").unwrap().body, "one");
}

#[test]
fn the_source_is_whom_a_proxy_names() {
    let origin = Origin::named("one");
    let mut front = with_places(&origin, 1);
    front.service.listen[0].proxy_protocol = true;
    let rig = Rig::start(front);
    let ask = |source: &str| {
        let mut client = rig.client();
        client.send(format!("PROXY TCP4 {source} 198.51.100.7 5 6\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.answer().ok().map(|answer| (client, answer.body))
    };
    let (_one, body) = ask("192.0.2.1").unwrap();
    assert_eq!(body, "one");
    assert!(ask("192.0.2.1").is_none());
    let (_two, body) = ask("192.0.2.2").unwrap();
    assert_eq!(body, "one");
    wait_until("one is counted", || counts(&rig) == (2, 1, 1));
}

#[test]
fn connections_of_mode_tcp_and_streams_of_http2_are_what_is_counted() {
    let origin = Origin::named("one");
    let mut front = with_places(&origin, 1);
    front.h2c = true;
    let rig = Rig::start(front.clone());
    run(async {
        // Many requests at a time are one connection.
        let (send, _) = connect(rig.at).await;
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let mut send = send.clone().ready().await.unwrap();
            all.spawn_local(async move { get(&mut send, "/").await.unwrap().0 });
        }
        assert_eq!(all.join_all().await, [200; 10]);
    });
    front.mode = Mode::Tcp;
    let rig = Rig::start(front);
    let mut first = rig.client();
    assert_eq!(first.get("/").unwrap().body, "one");
    assert!(rig.client().is_closed());
    assert_eq!(first.get("/").unwrap().body, "one");
    wait_until("it is counted", || counts(&rig) == (1, 1, 1));
}
