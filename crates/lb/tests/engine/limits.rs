//! Limits in time and size.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::rig::{Client, LONG, Origin, Rig, service, wait_until, with_length};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_slow_head_is_408_and_a_silent_connection_is_closed() {
    let origin = Origin::named("one");
    let mut service = service(&[origin.at]);
    service.timeouts.request = SHORT;
    let rig = Rig::start(service);
    let mut slow = rig.client();
    slow.send("GET / HTTP/1.1\r\nHo");
    let mut silent = rig.client();
    assert_eq!(slow.answer().unwrap().status, 408);
    assert!(slow.is_closed());
    assert!(silent.is_closed());
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let origin = Origin::named("one");
    let mut service = service(&[origin.at]);
    service.timeouts.keep_alive = SHORT;
    let rig = Rig::start(service);
    let mut client = rig.client();
    client.get("/").unwrap();
    assert!(client.is_closed());
}

#[test]
fn a_slow_body_is_408() {
    let origin = Origin::named("one");
    let mut service = service(&[origin.at]);
    service.timeouts.client = SHORT;
    let rig = Rig::start(service);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(client.answer().unwrap().status, 408);
}

#[test]
fn a_slow_server_is_504() {
    let origin = Origin::with(|peer| drop(peer.request().and_then(|_| peer.request())));
    let mut service = service(&[origin.at]);
    service.pool.timeouts.server = SHORT;
    let rig = Rig::start(service);
    let mut client = rig.client();
    assert_eq!(client.get("/").unwrap().status, 504);
    assert_eq!(client.get("/").unwrap().status, 504, "the client's connection goes on");
}

#[test]
fn a_client_that_does_not_read_is_cut_and_holds_no_memory_meanwhile() {
    let origin = Origin::with(|peer| {
        peer.request();
        let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        while peer.write(&[b'x'; 65536]).is_ok() {}
    });
    let mut service = service(&[origin.at]);
    service.timeouts.client = SHORT;
    let rig = Rig::start(service);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("it came and was cut", || {
        let service = &rig.engine.snapshot().services[0];
        service.figures.total == 1 && service.connections == 0
    });
}

#[test]
fn a_head_larger_than_allowed_is_431() {
    let origin = Origin::named("one");
    let mut service = service(&[origin.at]);
    service.limits.header = 1000;
    let rig = Rig::start(service);
    let head = |length: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - 32));
    let mut client = rig.client();
    client.send(head(1000));
    assert_eq!(client.answer().unwrap().status, 200);
    client.send(head(1001));
    assert_eq!(client.answer().unwrap().status, 431);
    // Without an end it is found too.
    let mut client = rig.client();
    client.send(&head(5000)[..2000]);
    assert_eq!(client.answer().unwrap().status, 431);
    let mut client = rig.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(128)));
    assert_eq!(client.answer().unwrap().status, 431);
}

#[test]
fn a_servers_head_larger_than_allowed_is_502() {
    let origin =
        Origin::answering(|_| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2000)).into_bytes());
    let mut service = service(&[origin.at]);
    service.limits.header = 1000;
    assert_eq!(Rig::start(service).get("/").status, 502);
}

#[test]
fn connections_beyond_the_limit_wait_until_another_ends() {
    let origin = Origin::named("one");
    let mut service = service(&[origin.at]);
    service.limits.connections = 2;
    let rig = Rig::start(service);
    let mut first: Vec<Client> = (0..2).map(|_| rig.client()).collect();
    for client in &mut first {
        client.get("/").unwrap();
    }
    let mut third = rig.client();
    third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    third.stream().set_read_timeout(Some(SHORT)).unwrap();
    third.answer().expect_err("it waits");
    third.stream().set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(rig.engine.snapshot().services[0].connections, 2);
    first.pop();
    assert_eq!(third.answer().unwrap().body, "one");
}

#[test]
fn a_full_service_stops_within_its_grace() {
    let origin = Origin::named("one");
    let mut service = service(&[origin.at]);
    service.limits.connections = 1;
    let rig = Rig::start(service);
    let mut first = rig.client();
    first.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    wait_until("it is in", || rig.engine.snapshot().services[0].connections == 1);
    // Some for each worker: they wait for the first one to end. Who says nothing is not accepted at once.
    let _others: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = rig.client();
            client.send("GET / HTTP/1.1\r\n");
            client
        })
        .collect();
    let (done, ended) = std::sync::mpsc::channel();
    let Rig { engine, .. } = rig;
    std::thread::spawn(move || {
        engine.shutdown(SHORT);
        let _ = done.send(());
    });
    ended.recv_timeout(LONG / 2).expect("the engine has stopped while its client still holds on");
    drop(first);
}

#[test]
fn a_head_in_single_bytes_is_understood() {
    let origin = Origin::named("one");
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    for byte in b"\r\nGET /x HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n" {
        client.stream().write_all(&[*byte]).unwrap();
    }
    assert_eq!(client.answer().unwrap().body, "one");
}

#[test]
fn a_servers_answer_in_single_bytes_is_understood() {
    let answer = Arc::new(with_length("slowly"));
    let origin = Origin::with(move |peer| {
        while peer.request().is_some() {
            for byte in answer.iter() {
                if peer.write(&[*byte]).is_err() {
                    return;
                }
            }
        }
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    assert_eq!(client.get("/").unwrap().body, "slowly");
    assert_eq!(client.get("/").unwrap().body, "slowly");
    assert_eq!(origin.accepted(), 1);
}
