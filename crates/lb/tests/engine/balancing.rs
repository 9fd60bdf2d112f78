//! Who gets which request, and what happens when servers die, drain and come back.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use relevo_lb::{Admin, ApplyError, Engine, Health, Settings, StartError};
use relevo_model::cluster::{Balance, CheckKind, HttpCheck};

use crate::rig::{Client, Origin, Rig, cluster, dead, own_ip, service, wait_until, with_length};

#[test]
fn servers_answer_in_turn_over_all_connections() {
    let servers = Origin::three();
    let rig = Rig::start(service(&servers.each_ref().map(|server| server.at)));
    wait_until("all count as up", || {
        rig.engine.snapshot().pools[0].servers.iter().all(|server| server.health == Health::Up)
    });
    assert_eq!(rig.bodies(6), ["one", "two", "three", "one", "two", "three"]);
}

#[test]
fn weights_are_shares() {
    let servers = Origin::three();
    let mut service = service(&servers.each_ref().map(|server| server.at));
    service.pool.servers[0].weight = 2;
    service.pool.servers[2].weight = 0;
    let rig = Rig::start(service);
    rig.wait_health(3, Health::Up);
    let bodies = rig.bodies(6);
    let count = |name: &str| bodies.iter().filter(|body| *body == name).count();
    assert_eq!([count("one"), count("two"), count("three")], [4, 2, 0]);
}

#[test]
fn least_connections_avoids_the_busy_server() {
    let gate = Arc::new(Barrier::new(2));
    let waiting = Arc::clone(&gate);
    let slow = Origin::answering(move |_| {
        waiting.wait();
        with_length("slow")
    });
    let fast = Origin::named("fast");
    let mut service = service(&[slow.at, fast.at]);
    service.pool.balance = Balance::LeastConn;
    let rig = Rig::start(service);
    rig.wait_health(2, Health::Up);
    let mut busy = rig.client();
    busy.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("it works on the request", || rig.server(1).connections == 1);
    for _ in 0..4 {
        // Who has its answer may still be counted, for a moment.
        wait_until("the other one is free", || rig.server(2).connections == 0);
        assert_eq!(rig.get("/").body, "fast");
    }
    gate.wait();
    assert_eq!(busy.answer().unwrap().body, "slow");
}

#[test]
fn a_dead_server_costs_no_request() {
    let server = Origin::named("alive");
    let rig = Rig::start(service(&[dead(), server.at, dead()]));
    assert_eq!(rig.bodies(9), ["alive"; 9]);
    assert!(rig.server(1).failures > 0, "its failures are counted");
    assert_eq!(rig.engine.snapshot().services[0].errors, 0);
}

#[test]
fn servers_that_die_one_after_the_other_cost_no_request() {
    let [one, two, three] = Origin::three();
    let mut service = service(&[one.at, two.at, three.at]);
    service.pool.check.kind = CheckKind::Http(HttpCheck::get("/"));
    let rig = Rig::start(service);
    for number in 1..=3 {
        rig.wait_health(number, Health::Up);
    }
    let mut kept = rig.client();
    let mut ask = |count| {
        for _ in 0..count {
            assert_eq!(rig.get("/").status, 200);
            assert_eq!(kept.get("/").unwrap().status, 200);
        }
    };
    ask(10);
    one.kill();
    ask(10);
    three.kill();
    ask(10);
    rig.wait_health(1, Health::Down);
    rig.wait_health(3, Health::Down);
    assert_eq!(rig.server(3).reason, "connection refused");
    assert_eq!(rig.bodies(3), ["two"; 3]);
}

#[test]
fn with_no_server_left_the_answer_is_503_or_the_fallbacks() {
    let mut service = service(&[dead(), dead()]);
    let rig = Rig::start(service.clone());
    let answer = rig.get("/");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "503 Service Unavailable: no server accepts connections\n");
    assert_eq!(rig.engine.snapshot().services[0].errors, 1);

    let sorry = Origin::named("sorry");
    service.pool.fallback = Some(sorry.at.into());
    service.pool.check.kind = CheckKind::Connect;
    let rig = Rig::start(service);
    assert_eq!(rig.get("/").body, "sorry");
    rig.wait_health(1, Health::Down);
    rig.wait_health(2, Health::Down);
    assert_eq!(rig.get("/").body, "sorry");
    assert!(rig.engine.snapshot().pools[0].fallback);
}

#[test]
fn a_server_that_fails_its_check_gets_nothing_until_it_recovers() {
    let status = Arc::new(AtomicUsize::new(503));
    let says = Arc::clone(&status);
    let ill = Origin::answering(move |request| match request.line() {
        "GET /check HTTP/1.1" => {
            format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", says.load(Ordering::SeqCst)).into_bytes()
        }
        _ => with_length("ill"),
    });
    let well = Origin::named("well");
    let mut service = service(&[ill.at, well.at]);
    service.pool.check.kind =
        CheckKind::Http(HttpCheck { host: Some("check.test".to_owned()), ..HttpCheck::get("/check") });
    let rig = Rig::start(service);
    rig.wait_health(1, Health::Down);
    rig.wait_health(2, Health::Up);
    assert_eq!(rig.server(1).reason, "GET /check answered 503");
    assert_eq!(rig.bodies(3), ["well"; 3]);
    status.store(500, Ordering::SeqCst);
    wait_until("the evidence is new", || rig.server(1).reason == "GET /check answered 500");
    status.store(204, Ordering::SeqCst);
    rig.wait_health(1, Health::Up);
    let mut bodies = rig.bodies(2);
    bodies.sort();
    assert_eq!(bodies, ["ill", "well"]);
}

#[test]
fn a_probe_without_an_answer_in_time_is_a_bad_one() {
    let silent = Origin::with(|peer| drop(peer.read(&mut [0; 9000]).and_then(|_| peer.read(&mut [0; 9000]))));
    let mut service = service(&[silent.at]);
    service.pool.check.kind = CheckKind::Http(HttpCheck::get("/"));
    service.pool.check.timeout = Duration::from_millis(500);
    let rig = Rig::start(service);
    rig.wait_health(1, Health::Down);
    assert_eq!(rig.server(1).reason, "no answer within 500 ms");
    assert_eq!(rig.get("/").body, "503 Service Unavailable: no server can take the request\n");
}

#[test]
fn a_draining_server_finishes_what_it_has_and_gets_nothing_new() {
    let gate = Arc::new(Barrier::new(2));
    let waiting = Arc::clone(&gate);
    let draining = Origin::answering(move |request| {
        if request.line().contains("/wait") {
            waiting.wait();
        }
        with_length("draining")
    });
    let other = Origin::named("other");
    let rig = Rig::start(service(&[draining.at, other.at]));
    rig.wait_health(2, Health::Up);
    let mut running = rig.client();
    running.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("it works on the request", || rig.server(1).connections == 1);
    let changed = rig.engine.set_admin(None, "server1", Admin::Drain, false);
    assert_eq!(changed, [("web".into(), "server1".into())]);
    assert_eq!(rig.bodies(4), ["other"; 4]);
    gate.wait();
    assert_eq!(running.answer().unwrap().body, "draining");
    // Its client's next request goes elsewhere.
    assert_eq!(running.get("/").unwrap().body, "other");
    rig.engine.set_admin(Some("web"), "server1", Admin::Ready, false);
    assert!(rig.bodies(2).contains(&"draining".to_owned()));
    assert_eq!(rig.engine.set_admin(Some("web"), "server9", Admin::Drain, false), []);
}

#[test]
fn what_was_wanted_before_holds_from_the_first_request_on() {
    let origins = Origin::three();
    let mut service = service(&[origins[0].at, origins[1].at, origins[2].at]);
    service.pool.check.kind = CheckKind::Connect;
    let wish = |server: &str, admin| (service.pool.name.clone(), server.into(), admin);
    let admin =
        vec![wish("server1", Admin::Maint), wish("server2", Admin::Drain), wish("nobody", Admin::Maint)];
    let settings = Settings { workers: 2, admin, ..Settings::default() };
    let engine = Engine::start(settings, &cluster([service])).unwrap();
    let rig = Rig { at: crate::rig::v4(engine.snapshot().services[0].listen[0]), engine };
    for _ in 0..10 {
        assert_eq!(rig.get("/").body, "three");
    }
    rig.wait_health(2, Health::Up);
    assert_eq!(origins[0].accepted(), 0, "a stopped server is not even checked");
    wait_until("it is said why", || rig.server(1).reason == "in maintenance, not checked");
    rig.engine.set_admin(None, "server1", Admin::Ready, false);
    rig.wait_health(1, Health::Up);
}

#[test]
fn a_stopped_server_is_cut() {
    let held = Origin::with(|peer| {
        while peer.request().is_some() {
            let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning");
        }
    });
    let mut service = service(&[held.at]);
    service.pool.check.kind = CheckKind::Connect;
    let rig = Rig::start(service);
    rig.wait_health(1, Health::Up);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.bytes(4), b"HTTP", "it has begun to answer");
    rig.engine.set_admin(None, "server1", Admin::Maint, true);
    client.answer().expect_err("the answer was cut");
    assert_eq!(rig.get("/").status, 503);
    rig.wait_health(1, Health::Unknown);
    rig.engine.set_admin(None, "server1", Admin::Ready, false);
    rig.wait_health(1, Health::Up);
}

#[test]
fn a_server_that_dies_silently_loses_its_waiting_requests_to_the_next() {
    // Takes the first request and never answers; then its checks fail too.
    let dying = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_dying = Arc::clone(&dying);
    let silent = Origin::with(move |peer| {
        while let Some(request) = peer.request() {
            if request.line().contains("/wait") {
                is_dying.store(true, Ordering::SeqCst);
            }
            if is_dying.load(Ordering::SeqCst) {
                let _ = peer.request();
                return;
            }
            let _ = peer.write(&with_length("silent"));
        }
    });
    let other = Origin::named("other");
    let mut service = service(&[silent.at, other.at]);
    service.pool.check.kind = CheckKind::Http(HttpCheck::get("/"));
    // The other one's answers must be in time on a busy machine too.
    service.pool.check.timeout = Duration::from_secs(2);
    service.pool.servers[0].weight = 100;
    let rig = Rig::start(service);
    rig.wait_health(1, Health::Up);
    rig.wait_health(2, Health::Up);
    assert_eq!(rig.get("/wait").body, "other");
    assert_eq!(rig.server(1).reason, "no answer within 2000 ms");
}

#[test]
fn a_port_in_use_is_named_before_anything_is_started() {
    let server = Origin::named("one");
    let other = TcpListener::bind((own_ip(), 0)).unwrap();
    let mut service = service(&[server.at]);
    service.listen[0].at = other.local_addr().unwrap();
    let at = service.listen[0].at;
    let error = Engine::start(Settings { workers: 1, ..Settings::default() }, &cluster([service.clone()]))
        .unwrap_err();
    assert!(
        matches!(&error, StartError::Apply(ApplyError::AddressInUse { at: found, .. }) if *found == at),
        "{error:?}"
    );
    assert!(error.to_string().contains(&at.to_string()), "{error}");

    // Also when the other one is an engine, which shares its port among its own workers.
    drop(other);
    let first =
        Engine::start(Settings { workers: 2, ..Settings::default() }, &cluster([service.clone()])).unwrap();
    assert!(matches!(
        Engine::start(Settings { workers: 2, ..Settings::default() }, &cluster([service.clone()])),
        Err(StartError::Apply(ApplyError::AddressInUse { .. }))
    ));
    first.shutdown(Duration::ZERO);
    // And twice in one file.
    let mut twin = service.clone();
    twin.name = "twin".into();
    let both = Engine::start(Settings { workers: 1, ..Settings::default() }, &cluster([service, twin]));
    assert!(
        matches!(both, Err(StartError::Apply(ApplyError::AddressInUse { service, .. })) if *service == *"twin")
    );
}

#[test]
fn an_address_that_is_not_here_can_be_listened_on() {
    let server = Origin::named("one");
    let mut service = service(&[server.at]);
    // TEST-NET-1 (RFC 5737): no machine has it.
    service.listen[0].at.set_ip(Ipv4Addr::new(192, 0, 2, 1).into());
    Engine::start(
        Settings { workers: 1, cpu_pin: Some(vec![0]), ..Settings::default() },
        &cluster([service]),
    )
    .unwrap();
}

#[test]
fn shutdown_finishes_requests_and_closes_idle_connections() {
    let gate = Arc::new(Barrier::new(2));
    let waiting = Arc::clone(&gate);
    let slow = Origin::answering(move |request| {
        if request.line().contains("/wait") {
            waiting.wait();
        }
        with_length("done")
    });
    let rig = Rig::start(service(&[slow.at]));
    let mut idle = rig.client();
    idle.get("/").unwrap();
    let mut running = rig.client();
    running.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("it works on the request", || rig.server(1).connections == 1);
    let at = rig.at;
    let stopping = std::thread::spawn(move || rig.engine.shutdown(Duration::from_secs(20)));
    assert!(idle.is_closed());
    wait_until("it accepts nothing", || std::net::TcpStream::connect(at).is_err());
    gate.wait();
    let answer = running.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
    assert!(answer.head.contains("Connection: close"), "{}", answer.head);
    stopping.join().unwrap();
}

#[test]
fn many_clients_at_once_are_all_served() {
    let asked: [Arc<AtomicUsize>; 3] = Default::default();
    let origins = asked.each_ref().map(|asked| {
        let asked = Arc::clone(asked);
        Origin::answering(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            with_length("done")
        })
    });
    let rig = Rig::start(service(&origins.each_ref().map(|server| server.at)));
    let at = rig.at;
    let clients: Vec<_> = (0..20)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(at);
                (0..50).filter(|_| client.get("/").is_ok_and(|answer| answer.status == 200)).count()
            })
        })
        .collect();
    let served: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(served, 1000);
    let snapshot = &rig.engine.snapshot().services[0];
    assert_eq!((snapshot.requests, snapshot.errors), (1000, 0));
    let servers = &rig.engine.snapshot().pools[0].servers;
    for (server, asked) in servers.iter().zip(asked) {
        assert!((333..=334).contains(&server.requests), "{servers:#?}");
        assert_eq!(asked.load(Ordering::SeqCst) as u64, server.requests, "none was sent twice: {servers:#?}");
    }
}
