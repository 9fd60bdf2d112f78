//! Another configuration while clients are being served.

use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relevo_lb::{Admin, ApplyError, Engine, Health, Settings};
use relevo_model::cluster::{CheckKind, Mode, Server};

use crate::rig::{Client, Front, LONG, Origin, Rig, cluster, own_ip, service, wait_until, with_length};

/// The same front under another name, with its own pool.
fn named(mut front: Front, name: &str) -> Front {
    front.service.name = name.into();
    front.service.pool = name.into();
    front.pool.name = name.into();
    front
}

fn listens(at: SocketAddrV4) -> bool {
    TcpStream::connect(at).is_ok()
}

/// Clients on kept and on new connections while the configuration changes. The same with a whole node, ten times as often
/// and under a heavier load: crates/cli/tests/cli/reload.rs.
#[test]
fn swaps_under_load_fail_no_request() {
    let servers = [Origin::named("one"), Origin::named("two"), Origin::named("three")];
    let [one, two, three] = servers.each_ref().map(|server| server.at);
    let mut first = service(&[one, two]);
    let mut second = service(&[three, one]);
    // What is called server1 is another one each time; server2 changes its weight.
    second.pool.servers[1].weight = 3;
    first.pool.check.kind = CheckKind::Connect;
    second.service.limits.connections = 500;
    let other = named(service(&[two]), "other");
    let rig = Rig::start(first.clone());
    let configurations = [cluster([first]), cluster([second, other])];
    let (failed, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let (at, failed, asked, stop) =
                (rig.at, Arc::clone(&failed), Arc::clone(&asked), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut client = Client::connect(at);
                while !stop.load(Ordering::SeqCst) {
                    if number % 3 == 0 {
                        client = Client::connect(at);
                    }
                    let good = client.get("/").is_ok_and(|answer| answer.status == 200);
                    asked.fetch_add(1, Ordering::SeqCst);
                    if !good {
                        failed.fetch_add(1, Ordering::SeqCst);
                        client = Client::connect(at);
                    }
                }
            })
        })
        .collect();
    for swap in 1..=20 {
        let before = asked.load(Ordering::SeqCst);
        rig.engine.apply(&configurations[swap % 2]).unwrap();
        wait_until("some were served so", || asked.load(Ordering::SeqCst) >= before + 100);
    }
    stop.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(failed.load(Ordering::SeqCst), 0, "of {}", asked.load(Ordering::SeqCst));
}

#[test]
fn requests_on_old_connections_follow_the_new_configuration() {
    let servers = [Origin::named("one"), Origin::named("two")];
    let rig = Rig::start(service(&[servers[0].at]));
    let mut client = rig.client();
    assert_eq!(client.get("/").unwrap().body, "one");
    let mut next = service(&[servers[1].at]);
    next.service.limits.header = 200;
    rig.engine.apply(&cluster([next])).unwrap();
    assert_eq!(client.get("/").unwrap().body, "two");
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(300)));
    assert_eq!(client.answer().unwrap().status, 431);
}

#[test]
fn what_stays_keeps_its_socket_its_state_and_its_connections() {
    let servers = [Origin::named("one"), Origin::named("two"), Origin::named("three")];
    let [one, two, three] = servers.each_ref().map(|server| server.at);
    let rig = Rig::start(service(&[one, two]));
    rig.wait_health(2, Health::Up);
    let mut client = rig.client();
    for _ in 0..10 {
        client.get("/").unwrap();
    }
    rig.engine.set_admin(None, "server2", Admin::Drain, false);
    let accepted = servers[0].accepted();
    let mut next = service(&[one, two, three]);
    next.pool.servers[0].weight = 5;
    let applied = rig.engine.apply(&cluster([next])).unwrap();
    assert_eq!((applied.opened, applied.closed), (0, 0));
    let snapshot = rig.engine.snapshot();
    assert_eq!((snapshot.services[0].listen[0], snapshot.services[0].requests), (rig.at.into(), 10));
    let [first, second, third] = &snapshot.pools[0].servers[..] else { panic!("{snapshot:?}") };
    assert_eq!((first.requests, first.weight, second.admin), (5, 5, Admin::Drain));
    assert_eq!((third.requests, third.admin), (0, Admin::Ready));
    rig.wait_health(3, Health::Up);
    for _ in 0..12 {
        assert_ne!(client.get("/").unwrap().body, "two");
    }
    assert_eq!(servers[0].accepted(), accepted, "the connection that rested was used again");
}

#[test]
fn what_the_operator_wants_is_not_forgotten_while_a_server_is_away() {
    let servers = [Origin::named("one"), Origin::named("two")];
    let (with, without) = (
        service(&[servers[0].at, servers[1].at]),
        service(&servers[..1].iter().map(|one| one.at).collect::<Vec<_>>()),
    );
    let rig = Rig::start(with.clone());
    rig.engine.set_admin(None, "server2", Admin::Drain, false);
    rig.engine.apply(&cluster([without])).unwrap();
    rig.engine.apply(&cluster([with])).unwrap();
    assert_eq!(rig.server(2).admin, Admin::Drain);
}

#[test]
fn services_come_and_go_and_what_runs_may_finish() {
    let (gate, waiting) = channel();
    let waiting = Mutex::new(waiting);
    let slow = Origin::answering(move |request| {
        if request.line().contains("/wait") {
            let _ = waiting.lock().unwrap().recv_timeout(LONG);
        }
        with_length("done")
    });
    let mut front = service(&[slow.at]);
    // Once it is closed, no other program is found there.
    front.service.listen[0].at.set_ip(own_ip().into());
    let rig = Rig::start(front);
    let old = rig.at;
    let mut idle = rig.client();
    idle.get("/").unwrap();
    let mut running = rig.client();
    running.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("it works on the request", || rig.server(1).connections == 1);
    let applied = rig.engine.apply(&cluster([named(service(&[slow.at]), "next")])).unwrap();
    assert_eq!((applied.opened, applied.closed), (1, 1));
    let new = rig.engine.snapshot().services[0].listen[0];
    assert_eq!(Client::connect(new).get("/").unwrap().body, "done");
    assert!(idle.is_closed());
    wait_until("the old socket is closed", || !listens(old));
    gate.send(()).unwrap();
    let answer = running.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
    assert!(answer.head.contains("Connection: close"), "{}", answer.head);
    assert!(running.is_closed());
}

#[test]
fn what_does_not_finish_is_cut_after_its_time() {
    let never = Origin::with(|peer| drop(peer.request().and_then(|_| peer.request())));
    let other = Origin::named("other");
    let mut tcp = named(service(&[never.at]), "tcp");
    tcp.service.mode = Mode::Tcp;
    let settings = Settings { workers: 2, drain: Duration::from_millis(100), ..Settings::default() };
    let engine = Engine::start(settings, &cluster([service(&[never.at]), tcp])).unwrap();
    let snapshot = engine.snapshot();
    let mut http = Client::connect(snapshot.services[0].listen[0]);
    http.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut half = Client::connect(snapshot.services[0].listen[0]);
    half.send("GET / HT");
    let mut bytes = Client::connect(snapshot.services[1].listen[0]);
    bytes.send("hello");
    wait_until("all are in", || {
        let snapshot = engine.snapshot();
        snapshot.services[0].connections == 2
            && snapshot.pools.iter().all(|pool| pool.servers[0].connections == 1)
    });
    // The first service loses its server, the second one is gone.
    engine.apply(&cluster([service(&[other.at])])).unwrap();
    assert_eq!(http.answer().unwrap().status, 503);
    assert!(bytes.is_closed());
    half.send("TP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(half.answer().unwrap().body, "other");
}

#[test]
fn a_configuration_that_cannot_be_is_refused_and_nothing_is_changed() {
    let servers = [Origin::named("one"), Origin::named("two")];
    let rig = Rig::start(service(&[servers[0].at]));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bad = named(service(&[servers[1].at]), "bad");
    bad.service.listen[0].at.set_port(taken.local_addr().unwrap().port());
    let error = rig.engine.apply(&cluster([service(&[servers[1].at]), bad])).unwrap_err();
    assert!(matches!(&error, ApplyError::AddressInUse { service, .. } if **service == *"bad"), "{error}");
    assert_eq!(rig.bodies(4), ["one"; 4]);
    assert_eq!(rig.engine.snapshot().services.len(), 1);
}

#[test]
fn an_address_goes_from_one_service_to_another_without_a_break() {
    let servers = [Origin::named("one"), Origin::named("two")];
    let free = TcpListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap();
    let at = |mut front: Front| {
        front.service.listen[0].at = free;
        front
    };
    let rig = Rig::start(at(service(&[servers[0].at])));
    assert_eq!(rig.get("/").body, "one");
    let applied = rig.engine.apply(&cluster([at(named(service(&[servers[1].at]), "next"))])).unwrap();
    assert_eq!((applied.opened, applied.closed), (0, 0));
    assert_eq!(rig.get("/").body, "two");
}

#[test]
fn another_check_begins_with_what_is_known() {
    let server = Origin::named("one");
    let mut front = service(&[server.at]);
    front.pool.check.kind = CheckKind::Connect;
    let rig = Rig::start(front.clone());
    rig.wait_health(1, Health::Up);
    front.pool.check.interval = Duration::from_secs(3600);
    front.pool.servers.push(Server::new("gone".into(), std::net::SocketAddr::from(([127, 0, 0, 1], 1))));
    rig.engine.apply(&cluster([front])).unwrap();
    assert_eq!(rig.server(1).health, Health::Up);
    rig.wait_health(2, Health::Down);
}
