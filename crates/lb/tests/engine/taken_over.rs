//! What a process that takes over knows of servers: checks go on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use relevo_lb::{Admin, Engine, Former, Health, Known, Settings};
use relevo_model::Time;
use relevo_model::cluster::{Agent, Check, CheckKind, HttpCheck};

use crate::rig::{Origin, Rig, cluster, dead, service, v4, wait_until, with_length};

/// An engine that goes on with a server of this health, whose checks go so by their numbers; how many were made.
fn with_known(health: Health, is_good: impl Fn(usize) -> bool + Send + Sync + 'static) -> Scene {
    let checks = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&checks);
    let origin = Origin::answering(move |_| match is_good(count.fetch_add(1, Ordering::SeqCst)) {
        true => with_length("good"),
        false => b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n".to_vec(),
    });
    let mut front = service(&[origin.at]);
    front.pool.check.kind = CheckKind::Http(HttpCheck::get("/"));
    (front.pool.check.rise, front.pool.check.fall) = (3, 2);
    let known = Known {
        pool: front.pool.name.clone(),
        server: "server1".into(),
        at: origin.at.into(),
        health,
        leaving: false,
        agent: None,
        since: Time::ZERO,
        reason: "it was so before".to_owned(),
        weight: None,
    };
    let former = Former { workers: 2, servers: vec![known], ..Former::default() };
    let settings = Settings { workers: 2, ..Settings::default() };
    let engine = Engine::take_over(settings, &cluster([front]), former).unwrap();
    let at = v4(engine.snapshot().services[0].listen[0]);
    Scene { rig: Rig { engine, at }, checks, _origin: origin }
}

struct Scene {
    rig: Rig,
    checks: Arc<AtomicUsize>,
    _origin: Origin,
}

#[test]
fn one_bad_check_after_a_takeover_takes_no_server_down() {
    let scene = with_known(Health::Up, |number| number > 0);
    wait_until("it was checked again", || scene.checks.load(Ordering::SeqCst) >= 3);
    let server = scene.rig.server(1);
    assert_eq!((server.check_failures, server.downs, server.health), (1, 0, Health::Up), "{server:#?}");
}

#[test]
fn who_was_leaving_still_is_after_a_takeover_and_what_its_agent_said_holds() {
    // It is checked at once, but answers no check; nor does its agent.
    let origin = Origin::with(|peer| match peer.request() {
        Some(request) if request.line().starts_with("HEAD") => peer.drain(),
        _ => drop(peer.write(&with_length("one"))),
    });
    let mut front = service(&[origin.at]);
    let check = HttpCheck { method: "HEAD".to_owned(), disable_on_404: true, ..HttpCheck::get("/") };
    front.pool.check = Check {
        kind: CheckKind::Http(check),
        interval: Duration::from_secs(600),
        timeout: Duration::from_secs(600),
        ..Check::default()
    };
    front.pool.agent = Some(Agent { port: dead().port(), interval: Duration::from_secs(600) });
    let known = Known {
        pool: front.pool.name.clone(),
        server: "server1".into(),
        at: origin.at.into(),
        health: Health::Up,
        leaving: true,
        agent: None,
        since: Time::ZERO,
        reason: "GET / answered 404".to_owned(),
        weight: None,
    };
    let said = Known { leaving: false, agent: Some("drain, 50%".to_owned()), ..known.clone() };
    for (known, agent) in [(known, None), (said, Some("drain, 50%"))] {
        let former = Former { workers: 2, servers: vec![known], ..Former::default() };
        let settings = Settings { workers: 2, ..Settings::default() };
        let engine = Engine::take_over(settings, &cluster([front.clone()]), former).unwrap();
        let at = v4(engine.snapshot().services[0].listen[0]);
        let rig = Rig { engine, at };
        assert_eq!(rig.get("/").status, 503);
        let server = rig.server(1);
        assert_eq!(
            (server.admin, server.wanted, server.agent.as_deref()),
            (Admin::Ready, Admin::Drain, agent)
        );
    }
}

#[test]
fn one_good_check_after_a_takeover_brings_no_server_up() {
    let scene = with_known(Health::Down, |_| true);
    scene.rig.wait_health(1, Health::Up);
    let checks = scene.checks.load(Ordering::SeqCst);
    assert!(checks >= 3, "{checks}");
}
