//! What a server has when its checks take it out of work, and what it gets when they bring it back.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relevo_lb::Health;
use relevo_model::cluster::{CheckKind, HttpCheck};

use crate::rig::{Client, Front, Origin, Rig, wait_until, with_length};

/// A server whose checks say what is wanted; it tells the path of each request, and answers with it when it is let.
struct Gated {
    origin: Origin,
    is_well: Arc<AtomicBool>,
    paths: Receiver<String>,
    gate: Sender<()>,
}

fn gated() -> Gated {
    let ((seen, paths), (gate, wait)) = (channel(), channel::<()>());
    let (seen, wait) = (Mutex::new(seen), Mutex::new(wait));
    let is_well = Arc::new(AtomicBool::new(true));
    let well = Arc::clone(&is_well);
    let origin = Origin::answering(move |request| {
        let path = request.line().split(' ').nth(1).unwrap_or("").to_owned();
        match &*path {
            "/check" if well.load(Ordering::SeqCst) => with_length("fine"),
            "/check" => b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => {
                let _ = seen.lock().unwrap().send(path.clone());
                let _ = wait.lock().unwrap().recv();
                with_length(&path)
            }
        }
    });
    Gated { origin, is_well, paths, gate }
}

fn checked(servers: &[SocketAddrV4]) -> Front {
    crate::checks::checked(servers, CheckKind::Http(HttpCheck::get("/check")))
}

fn ask(rig: &Rig, path: &str) -> Client {
    let mut client = rig.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client
}

fn goes_down(rig: &Rig, server: &Gated) {
    server.is_well.store(false, Ordering::SeqCst);
    rig.wait_health(1, Health::Down);
}

#[test]
fn the_only_server_answers_what_it_has_although_it_is_down() {
    let server = gated();
    let rig = Rig::start(checked(&[server.origin.at]));
    rig.wait_health(1, Health::Up);
    let mut client = ask(&rig, "/mine");
    assert_eq!(server.paths.recv().unwrap(), "/mine");
    goes_down(&rig, &server);
    // Whoever comes now gets nobody; so the workers know it.
    wait_until("new ones are refused", || ask(&rig, "/new").answer().unwrap().status == 503);
    server.gate.send(()).unwrap();
    assert_eq!(client.answer().unwrap().body, "/mine");
}

/// One that works; the other is for when it does not. Returns the rig, with a request that the first one has.
fn with_backup(server: &Gated, other: &Origin, retries: u8) -> (Rig, Client) {
    let mut front = checked(&[server.origin.at, other.at]);
    front.pool.servers[1].backup = true;
    front.pool.retries = retries;
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    rig.wait_health(2, Health::Up);
    let client = ask(&rig, "/mine");
    assert_eq!(server.paths.recv().unwrap(), "/mine");
    goes_down(&rig, server);
    (rig, client)
}

#[test]
fn what_a_server_that_goes_down_has_not_answered_is_asked_elsewhere() {
    let (server, other) = (gated(), Origin::named("other"));
    let (_rig, mut client) = with_backup(&server, &other, 1);
    assert_eq!(client.answer().unwrap().body, "other");
}

#[test]
fn without_retries_what_a_server_has_stays_there() {
    let (server, other) = (gated(), Origin::named("other"));
    let (rig, mut client) = with_backup(&server, &other, 0);
    assert_eq!(rig.bodies(9), ["other"; 9]);
    server.gate.send(()).unwrap();
    assert_eq!(client.answer().unwrap().body, "/mine");
}

#[test]
fn a_server_that_comes_back_has_few_places_at_first() {
    let server = gated();
    let mut front = checked(&[server.origin.at]);
    front.pool.slow_start = Some(Duration::from_secs(24 * 3600));
    (front.pool.servers[0].weight, front.pool.servers[0].max_connections) = (100, Some(40));
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    assert_eq!(rig.server(1).effective, 100, "it was there from the beginning");
    goes_down(&rig, &server);
    server.is_well.store(true, Ordering::SeqCst);
    rig.wait_health(1, Health::Up);
    assert_eq!((rig.server(1).effective, rig.server(1).weight, rig.server(1).limit), (5, 100, Some(40)));
    let mut clients = ["/0", "/1", "/2"].map(|path| ask(&rig, path));
    wait_until("two of 40 places are there", || {
        (rig.server(1).connections, rig.engine.snapshot().pools[0].queued) == (2, 1)
    });
    (0..3).for_each(|_| server.gate.send(()).unwrap());
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().status, 200);
    }
}

/// As HAProxy counts them: a server that stays down adds nothing, and a pool is down when its last server is.
#[test]
fn a_pool_counts_when_nobody_is_left_and_a_server_the_checks_that_took_it_down() {
    let (server, other) = (gated(), gated());
    let mut front = checked(&[server.origin.at, other.origin.at]);
    front.pool.check.fall = 3;
    let rig = Rig::start(front.clone());
    rig.wait_health(1, Health::Up);
    rig.wait_health(2, Health::Up);
    let pool = || rig.engine.snapshot().pools.swap_remove(0);
    let begun = pool().since;
    goes_down(&rig, &server);
    assert_eq!((pool().downs, pool().since, pool().downtime), (0, begun, Duration::ZERO), "one is left");
    other.is_well.store(false, Ordering::SeqCst);
    rig.wait_health(2, Health::Down);
    let down = pool();
    assert!(down.downs == 1 && down.since > begun, "{down:?}");
    wait_until("it has been down for a while", || pool().downtime > Duration::from_millis(300));
    other.is_well.store(true, Ordering::SeqCst);
    rig.wait_health(2, Health::Up);
    assert_eq!([1, 2].map(|number| rig.server(number).check_failures), [3, 3], "those of before");
    // Another configuration of the pool is still the same one.
    front.pool.retries += 1;
    rig.engine.apply(&crate::rig::cluster([front])).unwrap();
    let again = pool();
    assert_eq!((again.downs, again.since > down.since), (1, true));
    assert!(again.downtime > Duration::from_millis(300), "{again:?}");
}
