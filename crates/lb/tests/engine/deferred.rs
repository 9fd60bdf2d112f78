//! Connections that are taken when their clients have said something.

use std::net::TcpStream;
use std::time::Duration;

use relevo_model::cluster::{CheckKind, HttpCheck, Mode};
use socket2::SockRef;

use crate::rig::{Front, Origin, Rig, cluster, service, wait_until};

/// Connects, says nothing, and resets the connection: a port scanner, or another balancer's check.
fn knock(rig: &Rig) {
    let stream = TcpStream::connect(rig.at).unwrap();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// So many of a hundred connections are most, when half of them only knock. On a machine that pauses, one that knocks may stay for
/// the second after which it is taken all the same; and one that is reset before it is accepted may be seen a moment later.
const MOST: u64 = 75;

/// How many of two connections the balancer has seen, when one of them only knocks.
fn seen_of_two(rig: &Rig, before: u64) -> u64 {
    let total = || rig.engine.snapshot().services[0].figures.total - before;
    knock(rig);
    assert_eq!(rig.get("/").status, 200);
    wait_until("who asks is seen", || total() >= 1);
    total()
}

fn is_deferring(front: Front) -> bool {
    let rig = Rig::start(front);
    let mut seen = 0;
    for _ in 0..50 {
        seen += seen_of_two(&rig, seen);
    }
    seen < MOST
}

#[test]
fn who_only_knocks_is_not_seen_where_clients_speak_first() {
    let server = Origin::named("one");
    let front = |mode, kind: CheckKind, written| {
        let mut front = service(&[server.at]);
        front.mode = mode;
        front.pool.check.kind = kind;
        front.service.listen[0].defer_accept = written;
        front
    };
    let http = || CheckKind::Http(HttpCheck::get("/"));
    assert!(is_deferring(front(Mode::Http, CheckKind::Connect, None)));
    assert!(!is_deferring(front(Mode::Tcp, CheckKind::Connect, None)), "a server may greet first");
    assert!(is_deferring(front(Mode::Tcp, http(), None)));
    assert!(!is_deferring(front(Mode::Http, CheckKind::Connect, Some(false))));
    assert!(is_deferring(front(Mode::Tcp, CheckKind::Connect, Some(true))));
}

#[test]
fn who_is_silent_is_taken_in_the_end_and_served() {
    let server = Origin::named("one");
    let rig = Rig::start(service(&[server.at]));
    let mut client = rig.client();
    wait_until("it is taken", || rig.engine.snapshot().services[0].connections == 1);
    assert_eq!(client.get("/").unwrap().body, "one");
}

#[test]
fn a_reload_changes_it_on_the_same_socket() {
    let server = Origin::named("one");
    let mut front = service(&[server.at]);
    front.mode = Mode::Tcp;
    front.pool.check.kind = CheckKind::Connect;
    let rig = Rig::start(front.clone());
    let mut total = 0;
    for written in [Some(true), None, Some(true), Some(false)] {
        front.service.listen[0].defer_accept = written;
        rig.engine.apply(&cluster([front.clone()])).unwrap();
        let mut seen = 0;
        for _ in 0..50 {
            seen += seen_of_two(&rig, total + seen);
        }
        match written {
            Some(true) => assert!(seen < MOST, "{seen} of 100 were seen"),
            Some(false) | None => assert!(seen > MOST, "{seen} of 100 were seen"),
        }
        wait_until("those that knocked are counted", || {
            let now = rig.engine.snapshot().services[0].figures.total;
            written == Some(true) || now == total + 100
        });
        total = rig.engine.snapshot().services[0].figures.total;
    }
}
