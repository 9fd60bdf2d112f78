//! Connections are used again on both sides, and a stale one costs no request that may be repeated.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rig::{Origin, Rig, service, wait_until, with_length};

#[test]
fn many_requests_share_one_connection_on_each_side() {
    let origin = Origin::named("one");
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").unwrap().body, "one");
    }
    assert_eq!(origin.accepted(), 1);
    assert_eq!(rig.engine.snapshot().services[0].connections, 1);
    drop(client);
    wait_until("the connection is gone", || rig.engine.snapshot().services[0].connections == 0);
}

#[test]
fn a_client_that_wants_to_close_is_closed() {
    let origin = Origin::named("one");
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = client.answer().unwrap();
    assert!(answer.head.contains("Connection: close"));
    assert!(client.is_closed());
    // The server's connection was kept all the same.
    for _ in 0..5 {
        let mut client = rig.client();
        client.get("/").unwrap();
    }
    assert!(origin.accepted() <= 2, "one for each worker, not one for each client");
}

#[test]
fn a_kept_connection_that_the_server_closed_is_replaced() {
    let origin = Origin::named("one");
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    for round in 1..=5 {
        assert_eq!(client.get("/").unwrap().status, 200);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.answer().unwrap().status, 200);
        assert_eq!(origin.accepted(), round);
        origin.close_connections();
    }
    assert_eq!(rig.server(1).failures, 0);
}

/// Closes every second request's connection without an answer: a race that the balancer cannot see coming.
fn closing_on_the_second() -> (Origin, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let origin = Origin::with(move |peer| {
        if peer.request().is_some() {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = peer.write(&with_length("ok"));
            if peer.request().is_some() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (origin, seen)
}

#[test]
fn only_what_may_be_repeated_is_repeated() {
    for (method, expected) in
        [("GET", 200), ("HEAD", 200), ("OPTIONS", 200), ("DELETE", 200), ("POST", 502), ("PATCH", 502)]
    {
        let (origin, seen) = closing_on_the_second();
        let rig = Rig::start(service(&[origin.at]));
        let mut client = rig.client();
        client.get("/").unwrap();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        // The test server answers HEAD with a body; only the status counts here.
        assert_eq!(client.answer_to("HEAD").unwrap().status, expected, "{method}");
        let sent = if expected == 200 { 3 } else { 2 };
        assert_eq!(seen.load(Ordering::SeqCst), sent, "{method}");
    }
}

#[test]
fn a_server_that_dies_with_a_safe_request_hands_it_to_the_next() {
    let dying = Origin::with(|peer| drop(peer.request()));
    let other = Origin::named("other");
    let rig = Rig::start(service(&[dying.at, other.at]));
    rig.wait_health(2, relevo_lb::Health::Up);
    let mut client = rig.client();
    for _ in 0..4 {
        assert_eq!(client.get("/").unwrap().body, "other");
    }
    let mut statuses = Vec::new();
    for _ in 0..4 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        let answer = client.answer().unwrap();
        statuses.push(answer.status);
        if answer.head.contains("Connection: close") {
            client = rig.client();
        }
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502], "a POST is not sent twice");
}

#[test]
fn bytes_after_an_answer_are_nobodys() {
    let origin = Origin::with(|peer| {
        while peer.request().is_some() {
            let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        }
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    for round in 1..=3 {
        assert_eq!(client.get("/").unwrap().body, "ok");
        assert_eq!(origin.accepted(), round, "such a connection is not used again");
    }
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    client.stream().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
}

#[test]
fn a_body_that_head_should_not_have_is_nobodys_answer() {
    let (head_answered, next_asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (answered, asked) = (Arc::clone(&head_answered), Arc::clone(&next_asked));
    let origin = Origin::with(move |peer| {
        while let Some(request) = peer.request() {
            if request.line().starts_with("HEAD") {
                let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n");
                // The wrong body comes when the next request may already be under way.
                wait_until("the next request", || asked.load(Ordering::SeqCst) > 0);
                let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
                answered.fetch_add(1, Ordering::SeqCst);
            } else {
                wait_until("the wrong body", || answered.load(Ordering::SeqCst) > 0);
                let _ = peer.write(&with_length("mine"));
            }
        }
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").unwrap().status, 200);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    next_asked.fetch_add(1, Ordering::SeqCst);
    assert_eq!(client.answer().unwrap().body, "mine");
}

#[test]
fn a_server_that_began_to_answer_has_the_request() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let origin = Origin::with(move |peer| {
        while let Some(request) = peer.request() {
            if request.line().starts_with("DELETE") {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = peer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n");
                return;
            }
            let _ = peer.write(&with_length("ok"));
        }
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    client.get("/").unwrap();
    client.send("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 103);
    assert_eq!(client.answer().unwrap().status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[test]
fn a_client_that_was_silent_for_long_is_served_on_the_same_connection() {
    let origin = Origin::named("one");
    let rig = Rig::start(service(&[origin.at]));
    let mut clients: Vec<_> = (0..3).map(|_| rig.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").unwrap().body, "one");
    }
    // Longer than what makes a connection's task small.
    std::thread::sleep(std::time::Duration::from_millis(2600));
    assert_eq!(rig.engine.snapshot().services[0].connections, 3);
    // Whole, in pieces, and two at once.
    assert_eq!(clients[0].get("/").unwrap().body, "one");
    clients[1].send("GET / HT");
    clients[1].send("TP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(clients[1].answer().unwrap().body, "one");
    let twice = "GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(2);
    clients[2].send(&twice);
    for _ in 0..2 {
        assert_eq!(clients[2].answer().unwrap().body, "one");
    }
    drop(clients);
    wait_until("all have left", || rig.engine.snapshot().services[0].connections == 0);
}
