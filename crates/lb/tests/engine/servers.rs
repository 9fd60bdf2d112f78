//! What a server takes, what waits for it, and what the operator says about it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relevo_lb::{Admin, Health};
use relevo_model::cluster::{CheckKind, HttpCheck, Mode, OnMarkedDown};

use crate::rig::{Client, Origin, Rig, cluster, dead, service, wait_until, with_length};

/// A server that tells each request's line, and answers when it is let.
fn gated() -> (Origin, Receiver<String>, Sender<()>) {
    let (seen, lines) = channel();
    let (gate, wait) = channel::<()>();
    let (seen, wait) = (Mutex::new(seen), Mutex::new(wait));
    let origin = Origin::answering(move |request| {
        let line = request.line().split(' ').nth(1).unwrap_or("").to_owned();
        if line == "/check" {
            return with_length("fine");
        }
        let _ = seen.lock().unwrap().send(line.clone());
        let _ = wait.lock().unwrap().recv();
        with_length(&line)
    });
    (origin, lines, gate)
}

fn ask(rig: &Rig, path: &str) -> Client {
    let mut client = rig.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client
}

fn queued(rig: &Rig) -> u64 {
    rig.engine.snapshot().pools[0].queued
}

#[test]
fn more_than_a_server_takes_wait_and_come_in_their_order() {
    let (origin, lines, gate) = gated();
    let mut front = service(&[origin.at]);
    front.pool.servers[0].max_connections = Some(1);
    let rig = Rig::start(front);
    let mut clients = vec![ask(&rig, "/0")];
    assert_eq!(lines.recv().unwrap(), "/0");
    for number in 1..6 {
        clients.push(ask(&rig, &format!("/{number}")));
        wait_until("it waits", || queued(&rig) == number);
    }
    assert_eq!(rig.server(1).connections, 1);
    for (number, client) in clients.iter_mut().enumerate() {
        gate.send(()).unwrap();
        if number < 5 {
            assert_eq!(lines.recv().unwrap(), format!("/{}", number + 1));
            assert_eq!(rig.server(1).connections, 1, "never more than it takes");
        }
        assert_eq!(client.answer().unwrap().body, format!("/{number}"));
    }
    wait_until("nothing is left", || rig.server(1).connections == 0 && queued(&rig) == 0);
}

#[test]
fn who_leaves_the_queue_leaves_it_at_once() {
    let (origin, lines, gate) = gated();
    for mode in [Mode::Http, Mode::Tcp] {
        let mut front = service(&[origin.at]);
        front.mode = mode;
        front.pool.servers[0].max_connections = Some(1);
        let rig = Rig::start(front);
        let mut first = ask(&rig, "/first");
        assert_eq!(lines.recv().unwrap(), "/first");
        // In mode tcp, nobody leaves in order before what he said was taken.
        let leaving = match mode {
            Mode::Http => ask(&rig, "/leaves"),
            Mode::Tcp | Mode::Udp => rig.client(),
        };
        wait_until("it waits", || queued(&rig) == 1);
        drop(leaving);
        wait_until("its place in the queue is free", || queued(&rig) == 0);
        wait_until("it is gone", || rig.engine.snapshot().services[0].connections == 1);
        gate.send(()).unwrap();
        assert_eq!(first.answer().unwrap().body, "/first");
        assert_eq!(rig.server(1).failures, 0);
    }
}

#[test]
fn who_waits_too_long_or_finds_too_many_waiting_gets_503() {
    let (origin, lines, gate) = gated();
    let mut front = service(&[origin.at]);
    front.pool.servers[0].max_connections = Some(1);
    front.pool.max_queue = Some(1);
    let rig = Rig::start(front.clone());
    let mut first = ask(&rig, "/first");
    lines.recv().unwrap();
    let second = ask(&rig, "/second");
    wait_until("it waits", || queued(&rig) == 1);
    let third = ask(&rig, "/third").answer().unwrap();
    assert_eq!(third.status, 503);
    assert!(third.body.contains("too many wait already"), "{}", third.body);
    drop(second);
    wait_until("nobody waits", || queued(&rig) == 0);
    // Only now: whoever waits would be gone before a slow machine has looked.
    front.pool.timeouts.queue = Duration::from_millis(200);
    rig.engine.apply(&cluster([front])).unwrap();
    let mut fourth = ask(&rig, "/fourth");
    let answer = fourth.answer().unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("busy for too long"), "{}", answer.body);
    gate.send(()).unwrap();
    assert_eq!(first.answer().unwrap().status, 200);
    // Its connection goes on, and the place is free once the first one's answer is counted.
    wait_until("the place is free", || rig.server(1).connections == 0);
    fourth.send("GET /again HTTP/1.1\r\nHost: test\r\n\r\n");
    lines.recv().unwrap();
    gate.send(()).unwrap();
    assert_eq!(fourth.answer().unwrap().body, "/again");
}

#[test]
fn who_waits_gets_the_first_place_wherever_it_is() {
    let (busy, lines, gate) = gated();
    let other = Origin::named("other");
    let mut front = service(&[busy.at]);
    front.pool.servers[0].max_connections = Some(1);
    let rig = Rig::start(front.clone());
    let mut first = ask(&rig, "/first");
    lines.recv().unwrap();
    let mut second = ask(&rig, "/second");
    wait_until("it waits", || queued(&rig) == 1);
    // A server is added while it waits.
    let mut more = service(&[busy.at, other.at]);
    more.pool.servers[0].max_connections = Some(1);
    rig.engine.apply(&cluster([more])).unwrap();
    assert_eq!(second.answer().unwrap().body, "other");
    // And the limit is gone while one waits.
    rig.engine.apply(&cluster([front.clone()])).unwrap();
    let _third = ask(&rig, "/third");
    wait_until("it waits", || queued(&rig) == 1);
    front.pool.servers[0].max_connections = None;
    rig.engine.apply(&cluster([front])).unwrap();
    assert_eq!(lines.recv().unwrap(), "/third");
    gate.send(()).unwrap();
    gate.send(()).unwrap();
    assert_eq!(first.answer().unwrap().status, 200);
    wait_until("nothing is left", || rig.server(1).connections == 0);
}

#[test]
fn who_waits_while_the_last_server_goes_is_answered_at_once() {
    let (origin, lines, _gate) = gated();
    let fallback = Origin::named("fallback");
    let mut front = service(&[origin.at]);
    front.pool.servers[0].max_connections = Some(1);
    front.pool.fallback = Some(fallback.at.into());
    let rig = Rig::start(front);
    let _first = ask(&rig, "/first");
    lines.recv().unwrap();
    let mut second = ask(&rig, "/second");
    wait_until("it waits", || queued(&rig) == 1);
    rig.engine.set_admin(None, "server1", Admin::Drain, false);
    assert_eq!(second.answer().unwrap().body, "fallback");
}

#[test]
fn those_who_are_bound_wait_for_their_server_and_others_for_anybody() {
    let (origin, lines, gate) = gated();
    let mut front = service(&[origin.at]);
    front.pool.servers[0].max_connections = Some(1);
    front.pool.cookie = Some(crate::persistence::insert());
    let rig = Rig::start(front);
    let _first = ask(&rig, "/first");
    lines.recv().unwrap();
    let _anybody = ask(&rig, "/anybody");
    let mut bound = rig.client();
    bound.send("GET /bound HTTP/1.1\r\nHost: test\r\nCookie: SRV=server1\r\n\r\n");
    wait_until("both wait", || queued(&rig) == 2);
    let pool = rig.engine.snapshot().pools[0].clone();
    let [of_pool, of_server] = [&pool.figures, &pool.servers[0].figures];
    assert_eq!([of_pool.queue, of_pool.queue_most, of_server.queue, of_server.queue_most], [1; 4]);
    for _ in 0..3 {
        gate.send(()).unwrap();
    }
    wait_until("nobody waits", || queued(&rig) == 0);
    assert_eq!(rig.server(1).figures.queue, 0);
}

#[test]
fn connections_wait_too() {
    let echo = Origin::with(|peer| {
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = peer.read(&mut bytes) {
            if peer.write(&bytes[..count]).is_err() {
                break;
            }
        }
    });
    let mut front = service(&[echo.at]);
    front.service.mode = Mode::Tcp;
    front.pool.servers[0].max_connections = Some(1);
    let rig = Rig::start(front);
    // The event loop tells what a client says once: whether it says it before or while it waits, it comes through.
    for says_it_early in [true, false] {
        let mut first = rig.client();
        first.send("one");
        assert_eq!(first.bytes(3), b"one");
        let mut second = rig.client();
        if says_it_early {
            second.send("two");
        }
        wait_until("it waits", || queued(&rig) == 1);
        if !says_it_early {
            second.send("two");
        }
        drop(first);
        assert_eq!(second.bytes(3), b"two");
    }
}

#[test]
fn a_backup_works_while_no_other_can() {
    let servers = [Origin::named("one"), Origin::named("backup")];
    let mut front = service(&servers.each_ref().map(|server| server.at));
    front.pool.servers[1].backup = true;
    let rig = Rig::start(front);
    rig.wait_health(2, Health::Up);
    assert_eq!(rig.bodies(3), ["one"; 3]);
    rig.engine.set_admin(None, "server1", Admin::Maint, false);
    assert_eq!(rig.bodies(3), ["backup"; 3]);
}

#[test]
fn there_are_no_more_attempts_than_allowed() {
    let living = Origin::named("living");
    let mut front = service(&[dead(), dead(), living.at]);
    front.pool.retries = 1;
    let rig = Rig::start(front.clone());
    wait_until("all count as up", || {
        rig.engine.snapshot().pools[0].servers.iter().all(|server| server.health == Health::Up)
    });
    let statuses: Vec<u16> = (0..3).map(|_| rig.get("/").status).collect();
    assert_eq!(statuses, [503, 200, 200]);
    front.pool.retries = 2;
    rig.engine.apply(&cluster([front])).unwrap();
    let statuses: Vec<u16> = (0..3).map(|_| rig.get("/").status).collect();
    assert_eq!(statuses, [200; 3]);
}

#[test]
fn maintenance_lets_work_finish_unless_it_is_to_be_cut() {
    let (origin, lines, gate) = gated();
    let other = Origin::named("other");
    let mut front = service(&[origin.at, other.at]);
    front.pool.servers[0].weight = 100;
    let rig = Rig::start(front);
    rig.wait_health(2, Health::Up);
    let mut running = ask(&rig, "/one");
    assert_eq!(lines.recv().unwrap(), "/one");
    rig.engine.set_admin(None, "server1", Admin::Maint, false);
    assert_eq!(rig.bodies(3), ["other"; 3]);
    gate.send(()).unwrap();
    assert_eq!(running.answer().unwrap().body, "/one");
    rig.engine.set_admin(None, "server1", Admin::Ready, false);
    let mut running = ask(&rig, "/two");
    assert_eq!(lines.recv().unwrap(), "/two");
    rig.engine.set_admin(None, "server1", Admin::Maint, true);
    assert_eq!(running.answer().unwrap().status, 503);
}

#[test]
fn a_weight_holds_until_the_file_says_another() {
    let servers = [Origin::named("one"), Origin::named("two")];
    let front = service(&servers.each_ref().map(|server| server.at));
    let rig = Rig::start(front.clone());
    rig.wait_health(2, Health::Up);
    assert_eq!(rig.engine.set_weight(None, "server1", Some(3)), [("web".into(), "server1".into())]);
    let count = |bodies: &[String]| bodies.iter().filter(|body| *body == "one").count();
    assert_eq!(count(&rig.bodies(8)), 6);
    assert_eq!(rig.server(1).weight, 3);
    rig.engine.set_weight(Some("web"), "server1", Some(0));
    assert_eq!(count(&rig.bodies(4)), 0);
    // Another file with the same weight, and the same file again.
    let mut next = front;
    next.pool.retries += 1;
    for _ in 0..2 {
        rig.engine.apply(&cluster([next.clone()])).unwrap();
        assert_eq!(rig.server(1).weight, 0);
    }
    assert_eq!(count(&rig.bodies(4)), 0);
    next.pool.servers[0].weight = 2;
    rig.engine.apply(&cluster([next.clone()])).unwrap();
    assert_eq!(rig.server(1).weight, 2);
    assert_eq!(count(&rig.bodies(6)), 4);
    assert_eq!(rig.engine.set_weight(Some("nobody"), "server1", None), []);
}

#[test]
fn connections_of_a_server_that_goes_down_end_if_that_is_wanted() {
    let healthy = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_healthy = Arc::clone(&healthy);
    let origin = Origin::with(move |peer| {
        while let Some(request) = peer.request() {
            let answer: &[u8] = if !request.line().contains("/check") {
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
            } else if is_healthy.load(std::sync::atomic::Ordering::SeqCst) {
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            } else {
                b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
            };
            let _ = peer.write(answer);
        }
    });
    let mut front = service(&[origin.at]);
    front.pool.check.kind = CheckKind::Http(HttpCheck::get("/check"));
    front.pool.on_marked_down = OnMarkedDown::ShutdownSessions;
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    let mut client = ask(&rig, "/");
    assert_eq!(client.bytes(4), b"HTTP", "it has begun to answer");
    healthy.store(false, std::sync::atomic::Ordering::SeqCst);
    client.answer().expect_err("it was cut");
    assert_eq!(rig.server(1).health, Health::Down);
}
