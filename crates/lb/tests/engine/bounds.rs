//! What clients may send, and how much of the service one of them may have.

use bytes::Bytes;

use crate::http2::{connect, request, run};
use crate::rig::{Front, Origin, Rig, service, wait_until, with_length};

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
