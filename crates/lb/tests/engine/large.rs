//! Large bodies: they go past the process, and nothing about them may show.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use relevo_model::cluster::Mode;

use crate::rig::{Client, LONG, Origin, Pace, Rig, service, wait_until};

const SIZE: usize = 8 * 1024 * 1024;

/// Bytes that tell their place.
fn body(size: usize) -> Vec<u8> {
    (0..size).map(|place| u8::try_from((place ^ (place >> 8) ^ (place >> 16)) & 0x7f).unwrap() | 1).collect()
}

fn answer_of(size: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
    answer.extend_from_slice(&body(size));
    answer
}

#[test]
fn a_large_answer_arrives_whole_and_the_next_one_too() {
    let origin = Origin::answering(|request| match request.line() {
        "GET /large HTTP/1.1" => answer_of(SIZE),
        // Around the sizes where the way changes.
        line => answer_of(line.split(['/', ' ']).nth(2).unwrap().parse().unwrap()),
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    let mut pace = Pace::start();
    for _ in 0..3 {
        let answer = client.get("/large").unwrap();
        assert!(answer.body.as_bytes() == body(SIZE), "{} bytes", answer.body.len());
        pace.step();
    }
    for size in [1, 32_000, 32_768, 65_000, 65_536, 65_537, 131_072, 200_000] {
        let answer = client.get(&format!("/{size}")).unwrap();
        assert!(answer.body.as_bytes() == body(size), "{size}: {} bytes", answer.body.len());
        pace.step();
    }
    assert!(origin.accepted() == 1 || !pace.was_quick(), "the server's connection was kept");
}

#[test]
fn a_large_answer_without_a_length_ends_with_the_connection() {
    let origin = Origin::with(|peer| {
        peer.request();
        let _ = peer.write(b"HTTP/1.1 200 OK\r\n\r\n");
        let _ = peer.write(&body(SIZE));
    });
    let rig = Rig::start(service(&[origin.at]));
    let answer = rig.get("/");
    assert!(answer.body.as_bytes() == body(SIZE), "{} bytes", answer.body.len());
}

#[test]
fn a_large_answer_that_breaks_off_is_seen_to() {
    let origin = Origin::with(|peer| {
        peer.request();
        let _ = peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes());
        let _ = peer.write(&body(SIZE / 2));
    });
    let rig = Rig::start(service(&[origin.at]));
    assert!(rig.client().get("/").is_err(), "half of an answer must not look like one");
    wait_until("the failure is counted", || rig.server(1).failures == 1);
}

#[test]
fn who_does_not_read_a_large_answer_is_cut_and_the_server_is_not_blamed() {
    let origin = Origin::answering(|request| match request.line() {
        "GET /small HTTP/1.1" => answer_of(1),
        _ => answer_of(SIZE * 4),
    });
    let mut service = service(&[origin.at]);
    service.timeouts.client = Duration::from_millis(300);
    let rig = Rig::start(service);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("the connection is cut", || {
        let service = &rig.engine.snapshot().services[0];
        service.figures.total == 1 && service.connections == 0
    });
    assert_eq!(rig.server(1).failures, 0);
    // Others are served meanwhile and afterwards.
    assert_eq!(rig.get("/small").status, 200);
}

#[test]
fn a_slow_reader_gets_all_of_it() {
    let origin = Origin::answering(|_| answer_of(SIZE));
    let rig = Rig::start(service(&[origin.at]));
    let mut client = Client::connect(rig.at);
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let mut all = Vec::new();
    let mut part = vec![0; 300_000];
    loop {
        match client.stream().read(&mut part).unwrap() {
            0 => break,
            count => all.extend_from_slice(&part[..count]),
        }
        std::thread::yield_now();
    }
    assert!(all.ends_with(&body(SIZE)), "{} bytes", all.len());
}

#[test]
fn connections_carry_much_both_ways_at_once() {
    let echo = Origin::with(|peer| {
        let mut buffer = vec![0; 200_000];
        loop {
            match peer.read(&mut buffer) {
                Ok(count @ 1..) if peer.write(&buffer[..count]).is_ok() => {}
                Ok(_) | Err(_) => break,
            }
        }
    });
    let mut service = service(&[echo.at]);
    service.mode = Mode::Tcp;
    let rig = Rig::start(service);
    let mut stream = TcpStream::connect(rig.at).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        writer.write_all(&body(SIZE)).unwrap();
        writer.write_all(b"small").unwrap();
        writer.write_all(&body(SIZE)).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    sending.join().unwrap();
    assert!(all == [body(SIZE), b"small".to_vec(), body(SIZE)].concat(), "{} bytes", all.len());
}
