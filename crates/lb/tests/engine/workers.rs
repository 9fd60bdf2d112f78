//! How clients are spread over the worker threads.

use std::net::TcpListener;

use relevo_lb::{Engine, Settings, Snapshot};
use relevo_model::cluster::Mode;

use crate::rig::{Client, Front, LONG, Origin, Peer, cluster, own_ip, service, wait_until};

fn engine(workers: usize, front: Front) -> Engine {
    Engine::start(Settings { workers, ..Settings::default() }, &cluster([front])).unwrap()
}

fn clients(snapshot: &Snapshot) -> Vec<u64> {
    snapshot.workers.iter().map(|worker| worker.clients).collect()
}

#[test]
fn clients_that_stay_are_spread_evenly() {
    let origin = Origin::named("one");
    for workers in [2, 3] {
        let engine = engine(workers, service(&[origin.at]));
        let at = engine.snapshot().services[0].listen[0];
        let mut all: Vec<Client> = (0..60).map(|_| Client::connect(at)).collect();
        for _ in 0..2 {
            for client in &mut all {
                assert_eq!(client.get("/").unwrap().body, "one");
            }
        }
        let snapshot = engine.snapshot();
        let counts = clients(&snapshot);
        assert_eq!(counts.iter().sum::<u64>(), 60);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        // By chance alone it is often larger.
        assert!(most - least <= 8, "{counts:?}");
        drop(all);
        wait_until("all are gone", || {
            let snapshot = engine.snapshot();
            snapshot.services[0].connections == 0 && clients(&snapshot).iter().all(|count| *count == 0)
        });
    }
}

#[test]
fn bytes_go_through_the_worker_that_got_the_connection() {
    let echo = Origin::with(|peer: &mut Peer| {
        let mut bytes = [0; 100];
        while let Ok(count @ 1..) = peer.read(&mut bytes) {
            peer.write(&bytes[..count]).unwrap();
        }
    });
    let mut front = service(&[echo.at]);
    front.service.mode = Mode::Tcp;
    let engine = engine(2, front);
    let at = engine.snapshot().services[0].listen[0];
    let mut all: Vec<Client> = (0..20).map(|_| Client::connect(at)).collect();
    for client in &mut all {
        client.send("hello");
        assert_eq!(client.bytes(5), b"hello");
    }
    let counts = clients(&engine.snapshot());
    assert!(counts[0].abs_diff(counts[1]) <= 5, "{counts:?}");
}

#[test]
fn what_is_on_its_way_to_a_worker_that_ends_is_served() {
    // Another process takes over, or nobody.
    asked_before(|_| {}, |engine, _| engine.leave(LONG));
    asked_before(|_| {}, |engine, _| engine.shutdown(LONG));
}

/// A service that ends serves who has asked before, whatever the workers have seen of it.
#[test]
fn what_is_on_its_way_to_a_service_that_ends_is_served() {
    let to_another = |engine: Engine, mut front: Front| {
        (front.service.name, front.service.pool, front.pool.name) = ("b".into(), "b".into(), "b".into());
        engine.apply(&cluster([front])).unwrap();
        engine.shutdown(LONG);
    };
    asked_before(|_| {}, to_another);
}

/// So does a service that has only other addresses then; who came to this one is taken as one who did.
#[test]
fn what_is_on_its_way_to_an_address_that_a_service_gives_up_is_served() {
    let two = |front: &mut Front| {
        let mut other = front.listen[0].clone();
        other.proxy_protocol = true;
        front.listen[0].at = TcpListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap();
        front.listen.push(other);
    };
    let to_the_other = |engine: Engine, mut front: Front| {
        front.listen.remove(0);
        engine.apply(&cluster([front])).unwrap();
        engine.shutdown(LONG);
    };
    asked_before(two, to_the_other);
}

/// Clients that have asked when the end comes, each for the first time or once more; `end`, on another thread.
fn asked_before(change: impl Fn(&mut Front), end: impl Fn(Engine, Front) + Clone + Send + 'static) {
    let origin = Origin::named("one");
    for round in 0..20 {
        let mut front = service(&[origin.at]);
        change(&mut front);
        let engine = engine(2, front.clone());
        let at = engine.snapshot().services[0].listen[0];
        // Connected, and as far as the kernel is concerned accepted, when the end comes.
        let mut all: Vec<Client> = (0..20).map(|_| Client::connect(at)).collect();
        if round % 2 == 1 {
            all.iter_mut().for_each(|client| assert_eq!(client.get("/").unwrap().body, "one"));
        }
        for client in &mut all {
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        }
        let end = end.clone();
        let ending = std::thread::spawn(move || end(engine, front));
        for client in &mut all {
            assert_eq!(client.answer().unwrap().body, "one", "in round {round}");
        }
        drop(all);
        ending.join().unwrap();
    }
}
