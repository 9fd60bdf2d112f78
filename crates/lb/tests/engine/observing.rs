//! What traffic says about servers, where it is observed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use relevo_lb::Health;
use relevo_model::cluster::{CheckKind, Observe, OnError};

use crate::checks::{checked, http, silent};
use crate::rig::{Origin, Rig, wait_until, with_length};

#[test]
fn observed_failures_mark_a_server_down_and_its_checks_bring_it_back() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    // Its check is content all the time.
    let bad = Origin::answering(move |request| match request.line() {
        "GET /health HTTP/1.1" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ if is_broken.load(Ordering::SeqCst) => b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => with_length("mended"),
    });
    let mut front = checked(&[bad.at], http(Vec::new()));
    front.pool.check.rise = 5;
    front.pool.observe = Some(Observe::Layer7);
    front.pool.on_error = OnError::MarkDown;
    front.pool.error_limit = 3;
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    // One connection: what is noted of a request is noted before the next one.
    let mut client = rig.client();
    for _ in 0..2 {
        assert_eq!(client.get("/").unwrap().status, 500);
    }
    // A good one between them: they are not in a row.
    broken.store(false, Ordering::SeqCst);
    assert_eq!(client.get("/").unwrap().body, "mended");
    broken.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(client.get("/").unwrap().status, 500);
    }
    assert_eq!(rig.server(1).downs, 0);
    assert_eq!(client.get("/").unwrap().status, 500);
    wait_until("it was marked down", || rig.server(1).downs == 1);
    broken.store(false, Ordering::SeqCst);
    rig.wait_health(1, Health::Up);
    assert_eq!(rig.get("/").body, "mended");
    assert!(rig.server(1).downtime > Duration::ZERO);
    assert_eq!(rig.server(1).check_failures, 0);
}

#[test]
fn observed_silence_counts_as_a_failed_check() {
    let (listener, at) = silent();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    // Accepts, and closes without a word.
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            count.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    let mut front = checked(&[at], CheckKind::Connect);
    front.pool.check.interval = Duration::from_secs(3600);
    (front.pool.check.fast_interval, front.pool.check.down_interval) =
        (front.pool.check.interval, front.pool.check.interval);
    front.pool.observe = Some(Observe::Layer4);
    front.pool.error_limit = 2;
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    wait_until("it is marked down", || {
        let _ = rig.client().get("/");
        rig.server(1).health == Health::Down
    });
    assert_eq!(rig.server(1).reason, "2 failures in a row in traffic");
    assert!(accepted.load(Ordering::SeqCst) > 1);
}
