//! TCP mode.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relevo_lb::{Admin, Health};
use relevo_model::cluster::{CheckKind, Mode};

use crate::rig::{LONG, Origin, Rig, dead, service, wait_until};

/// Says its name, then repeats what it hears until the client has ended, then says goodbye.
fn echo(name: &'static str) -> Origin {
    Origin::with(move |peer| {
        let _ = peer.write(name.as_bytes());
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = peer.read(&mut buffer) {
            if peer.write(&buffer[..count]).is_err() {
                return;
            }
        }
        let _ = peer.write(b"bye");
    })
}

fn connect(rig: &Rig) -> TcpStream {
    let stream = TcpStream::connect(rig.at).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn talk(rig: &Rig, text: &[u8]) -> Vec<u8> {
    let mut stream = connect(rig);
    let mut sending = stream.try_clone().unwrap();
    let text = text.to_vec();
    let sender = std::thread::spawn(move || {
        sending.write_all(&text).unwrap();
        sending.shutdown(Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    sender.join().unwrap();
    heard
}

#[test]
fn connections_go_in_turn_and_each_side_ends_by_itself() {
    let servers = [echo("one "), echo("two ")];
    let mut service = service(&servers.each_ref().map(|server| server.at));
    service.mode = Mode::Tcp;
    service.pool.check.kind = CheckKind::Connect;
    let rig = Rig::start(service);
    rig.wait_health(1, Health::Up);
    rig.wait_health(2, Health::Up);
    let heard: Vec<_> = (0..4).map(|_| String::from_utf8(talk(&rig, b"hello ")).unwrap()).collect();
    assert_eq!(heard, ["one hello bye", "two hello bye", "one hello bye", "two hello bye"]);
    wait_until("all are gone", || rig.engine.snapshot().services[0].connections == 0);
    let large = vec![b'x'; 3_000_000];
    assert_eq!(talk(&rig, &large).len(), large.len() + 7);
}

#[test]
fn a_server_that_does_not_accept_costs_no_connection() {
    let alive = echo("alive ");
    let mut service = service(&[dead(), alive.at]);
    service.mode = Mode::Tcp;
    let rig = Rig::start(service);
    for _ in 0..4 {
        assert_eq!(talk(&rig, b""), b"alive bye");
    }
}

#[test]
fn what_a_client_said_at_once_reaches_the_server_that_accepts_once() {
    let alive = echo("alive ");
    let mut service = service(&[dead(), alive.at]);
    service.mode = Mode::Tcp;
    let rig = Rig::start(service);
    for _ in 0..8 {
        assert_eq!(talk(&rig, b"hello "), b"alive hello bye");
    }
    wait_until("what came first is counted too", || {
        let figures = &rig.engine.snapshot().services[0].figures;
        (figures.received, figures.sent) == (8 * 6, 8 * 15)
    });
}

#[test]
fn a_server_that_speaks_first_is_heard_by_a_client_that_says_nothing() {
    let server = echo("220 ready ");
    let mut service = service(&[server.at]);
    service.mode = Mode::Tcp;
    let rig = Rig::start(service);
    let mut stream = connect(&rig);
    let mut banner = [0; 10];
    stream.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"220 ready ");
    stream.write_all(b"quit ").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "quit bye");
}

#[test]
fn a_server_that_ends_first_goes_on_hearing_in_each_of_many_connections() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&heard);
    let server = Origin::with(move |peer| {
        let _ = peer.write(b"over to you");
        peer.stream().shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        let read = peer.stream().read_to_string(&mut text).map_err(|error| error.kind());
        all.lock().unwrap().push((read, text));
    });
    let other = echo("other ");
    let mut service = service(&[server.at, other.at]);
    service.mode = Mode::Tcp;
    let rig = Rig::start(service);
    for round in 0..200 {
        let mut stream = connect(&rig);
        // In turn: who speaks at once, and who waits for the server.
        let early = round % 4 < 2;
        if early {
            stream.write_all(b"said ").unwrap();
        }
        let mut text = String::new();
        if round % 2 == 0 {
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, "over to you");
        }
        stream.write_all(b"and done").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        if round % 2 == 1 {
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, if early { "other said and donebye" } else { "other and donebye" });
        }
    }
    wait_until("all are heard", || heard.lock().unwrap().len() == 100);
    for (read, text) in &*heard.lock().unwrap() {
        assert!(
            matches!((read, text.as_str()), (Ok(13), "said and done") | (Ok(8), "and done")),
            "{read:?} {text}"
        );
    }
}

#[test]
fn a_client_that_is_slow_to_read_may_go_on_sending() {
    // The way back is full long before the way there has ended.
    let server = Origin::with(|peer| {
        let mut reader = peer.stream().try_clone().unwrap();
        let counted = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap());
        let _ = peer.write(&vec![b'y'; 20_000_000]);
        let count = counted.join().unwrap();
        let _ = peer.write(format!(" {count}").as_bytes());
    });
    let mut service = service(&[server.at]);
    service.mode = Mode::Tcp;
    let rig = Rig::start(service);
    let mut stream = connect(&rig);
    let mut reader = stream.try_clone().unwrap();
    reader.read_exact(&mut [0]).unwrap();
    for _ in 0..50 {
        stream.write_all(&[b'x'; 100_000]).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    reader.read_to_end(&mut heard).unwrap();
    assert_eq!(heard.len(), 20_000_000 - 1 + " 5000000".len());
    assert!(heard.ends_with(b"y 5000000"));
}

#[test]
fn with_no_server_left_the_fallback_answers_or_the_connection_is_reset() {
    let mut service = service(&[dead()]);
    service.mode = Mode::Tcp;
    let rig = Rig::start(service.clone());
    assert!(!matches!(connect(&rig).read(&mut [0]), Ok(1)));
    wait_until("it is counted", || rig.engine.snapshot().services[0].errors == 1);
    let sorry = echo("sorry ");
    service.pool.fallback = Some(sorry.at.into());
    assert_eq!(talk(&Rig::start(service), b""), b"sorry bye");
}

#[test]
fn silence_and_the_operator_end_connections() {
    let server = echo("");
    let mut service = service(&[server.at]);
    service.mode = Mode::Tcp;
    let rig = Rig::start(service.clone());
    let mut stream = connect(&rig);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    rig.engine.set_admin(None, "server1", Admin::Maint, true);
    assert!(!matches!(stream.read(&mut [0]), Ok(1)), "cut");

    service.timeouts.client = Duration::from_millis(200);
    service.pool.timeouts.server = Duration::from_millis(200);
    let rig = Rig::start(service);
    assert!(!matches!(connect(&rig).read(&mut [0]), Ok(1)), "too long silent");
}
