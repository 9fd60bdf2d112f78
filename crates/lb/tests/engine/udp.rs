//! UDP mode: flows, as a DNS-like service has them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use relevo_lb::Admin;
use relevo_model::cluster::{Affinity, AffinityKey, Listen, Mode};

use crate::rig::{Front, LONG, Rig, own_ip, service, wait_until};

/// Answers each datagram with its name and what it got.
struct Server {
    at: SocketAddrV4,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn named(name: &'static str) -> Self {
        let socket = UdpSocket::bind((own_ip(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let SocketAddr::V4(at) = socket.local_addr().unwrap() else { panic!("not IPv4") };
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stop.load(Ordering::SeqCst) {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
                // An answer of the largest size has no room for a name.
                let answer = if count > 60_000 {
                    buffer[..count].to_vec()
                } else {
                    [name.as_bytes(), &buffer[..count]].concat()
                };
                let _ = socket.send_to(&answer, from);
            }
        });
        Self { at, stopped, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn udp(servers: &[Server]) -> Front {
    let at: Vec<_> = servers.iter().map(|server| server.at).collect();
    let mut front = service(&at);
    front.mode = Mode::Udp;
    front
}

struct Client(UdpSocket);

impl Client {
    fn of(rig: &Rig) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(rig.at).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self(socket)
    }

    fn ask(&self, question: &[u8]) -> Vec<u8> {
        self.0.send(question).unwrap();
        let mut answer = vec![0; 65_536];
        let count = self.0.recv(&mut answer).unwrap();
        answer.truncate(count);
        answer
    }

    /// Asks until there is an answer, as a resolver does.
    fn ask_again(&self) -> Vec<u8> {
        self.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut answer = vec![0; 100];
        for _ in 0..200 {
            self.0.send(b"?").unwrap();
            // Not the answer to whom the port belonged before.
            if let Ok(count) = self.0.recv(&mut answer)
                && answer[..count].ends_with(b"?")
            {
                answer.truncate(count);
                return answer;
            }
        }
        panic!("no answer");
    }
}

fn connections(rig: &Rig) -> u64 {
    rig.engine.snapshot().services[0].connections
}

#[test]
fn flows_of_a_source_stay_together_when_the_table_says_so() {
    let mut servers = vec![Server::named("one"), Server::named("two")];
    let mut front = udp(&servers);
    let expire = Duration::from_secs(3600);
    front.pool.affinity = Some(Affinity { key: AffinityKey::Source, size: 10, expire });
    let rig = Rig::start(front);
    for _ in 0..4 {
        assert_eq!(Client::of(&rig).ask(b" a"), b"one a");
    }
    servers.remove(0);
    assert_eq!(Client::of(&rig).ask_again(), b"two?");
    assert_eq!(Client::of(&rig).ask(b" a"), b"two a");
}

#[test]
fn flows_go_in_turn_and_each_stays_with_its_server() {
    let servers = [Server::named("one"), Server::named("two")];
    let rig = Rig::start(udp(&servers));
    let clients: Vec<Client> = (0..6).map(|_| Client::of(&rig)).collect();
    let first: Vec<_> = clients.iter().map(|client| client.ask(b" a")).collect();
    assert_eq!(first, [b"one a", b"two a", b"one a", b"two a", b"one a", b"two a"]);
    for _ in 0..10 {
        let again: Vec<_> = clients.iter().map(|client| client.ask(b" a")).collect();
        assert_eq!(again, first);
    }
    let snapshot = rig.engine.snapshot();
    assert_eq!((snapshot.services[0].connections, snapshot.services[0].requests), (6, 6));
    assert_eq!(snapshot.services[0].errors, 0);
    assert_eq!([1, 2].map(|number| rig.server(number).connections), [3, 3]);
}

#[test]
fn datagrams_of_any_size_pass() {
    let servers = [Server::named("")];
    let rig = Rig::start(udp(&servers));
    let client = Client::of(&rig);
    for size in [0, 1, 512, 1500, 9000, 65_507] {
        let question = vec![b'x'; size];
        assert_eq!(client.ask(&question), question, "{size} bytes");
    }
}

#[test]
fn a_silent_flow_ends() {
    let servers = [Server::named("one"), Server::named("two")];
    let mut front = udp(&servers);
    // Long enough for the first answer on any machine: it is lost when the flow has ended before.
    front.timeouts.client = Duration::from_secs(3);
    let rig = Rig::start(front);
    let client = Client::of(&rig);
    assert_eq!(client.ask(b""), b"one");
    wait_until("the flow is over", || connections(&rig) == 0 && rig.server(1).connections == 0);
    assert_eq!(client.ask(b""), b"two", "a new flow has a turn of its own");
}

#[test]
fn a_server_that_dies_loses_its_flows_to_another() {
    let mut servers = vec![Server::named("one"), Server::named("two")];
    let rig = Rig::start(udp(&servers));
    let client = Client::of(&rig);
    assert_eq!(client.ask(b""), b"one");
    servers.remove(0);
    assert_eq!(client.ask_again(), b"two?");
    assert!(rig.server(1).failures > 0);
    assert_eq!(connections(&rig), 1, "the flow is still the same");
}

#[test]
fn a_server_that_is_stopped_loses_its_flows_and_one_that_drains_keeps_them() {
    let servers = [Server::named("one"), Server::named("two")];
    let rig = Rig::start(udp(&servers));
    let client = Client::of(&rig);
    assert_eq!(client.ask(b""), b"one");
    rig.engine.set_admin(None, "server1", Admin::Drain, false);
    assert_eq!(client.ask(b""), b"one");
    assert_eq!([Client::of(&rig).ask(b""), Client::of(&rig).ask(b"")], [b"two", b"two"]);
    rig.engine.set_admin(None, "server1", Admin::Maint, true);
    // An answer that was on its way is lost.
    wait_until("its flows are elsewhere", || client.ask_again() == b"two?");
}

#[test]
fn a_flood_takes_no_more_than_its_bound() {
    let servers = [Server::named("one")];
    let mut front = udp(&servers);
    front.limits.connections = 20;
    let rig = Rig::start(front);
    for _ in 0..1000 {
        let _ = Client::of(&rig).0.send(b"x");
        assert!(connections(&rig) <= 20);
    }
    // Who asks now is served: the flow that was silent longest makes room.
    assert_eq!(Client::of(&rig).ask_again(), b"one?");
    assert!(connections(&rig) <= 20);
}

/// The kernel gives each client to one worker: one that has no flow must get a place though another worker has them all.
#[test]
fn a_worker_without_a_flow_gets_a_place() {
    let servers = [Server::named("one")];
    let mut front = udp(&servers);
    front.limits.connections = 1;
    let rig = Rig::start(front);
    for _ in 0..20 {
        assert_eq!(Client::of(&rig).ask_again(), b"one?");
        assert!(connections(&rig) <= 1);
    }
}

#[test]
fn without_a_server_datagrams_are_dropped_and_counted() {
    let server = Server::named("gone");
    let front = udp(std::slice::from_ref(&server));
    drop(server);
    let rig = Rig::start(front);
    let client = Client::of(&rig);
    wait_until("they are counted", || {
        client.0.send(b"x").unwrap();
        rig.engine.snapshot().services[0].errors > 0
    });
    rig.engine.set_admin(None, "server1", Admin::Maint, true);
    let before = rig.engine.snapshot().services[0].errors;
    Client::of(&rig).0.send(b"x").unwrap();
    wait_until("it is counted", || rig.engine.snapshot().services[0].errors > before);
}

#[test]
fn one_port_serves_datagrams_and_connections() {
    let server = Server::named("datagram");
    let origin = crate::rig::Origin::named("connection");
    let mut other = service(&[origin.at]);
    other.service.name = "other".into();
    other.service.pool = "other".into();
    other.pool.name = "other".into();
    let mut front = udp(&[server]);
    // A port that is free for both; another test may take it before we do.
    let (engine, at) = (0..100)
        .find_map(|_| {
            let port = TcpListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap().port();
            let at = SocketAddrV4::new(own_ip(), port);
            (front.service.listen, other.service.listen) =
                (vec![Listen::plain(at.into())], vec![Listen::plain(at.into())]);
            let settings = relevo_lb::Settings { workers: 2, ..relevo_lb::Settings::default() };
            let cluster = crate::rig::cluster([front.clone(), other.clone()]);
            relevo_lb::Engine::start(settings, &cluster).ok().map(|engine| (engine, at))
        })
        .unwrap();
    assert_eq!(crate::rig::Client::connect(at).get("/").unwrap().body, "connection");
    let rig = Rig { engine, at };
    assert_eq!(rig.engine.snapshot().services[0].connections, 0);
    let client = Client::of(&rig);
    client.0.send(b"x").unwrap();
    wait_until("its flow is there", || connections(&rig) == 1);
}

#[test]
fn stopping_waits_only_for_answers() {
    let servers = [Server::named("one")];
    let rig = Rig::start(udp(&servers));
    assert_eq!(Client::of(&rig).ask(b""), b"one");
    let before = std::time::Instant::now();
    rig.engine.shutdown(LONG);
    assert!(before.elapsed() < LONG, "an idle flow holds up nobody");
}

#[test]
fn a_source_has_as_many_flows_as_allowed() {
    let servers = [Server::named("one ")];
    let mut front = udp(&servers);
    front.limits.connections_per_source = Some(2);
    let rig = Rig::start(front);
    let clients: Vec<Client> = (0..2).map(|_| Client::of(&rig)).collect();
    for client in &clients {
        assert_eq!(client.ask(b"a"), b"one a");
    }
    let third = Client::of(&rig);
    third.0.send(b"b").unwrap();
    wait_until("it is refused", || {
        let service = &rig.engine.snapshot().services[0];
        (service.errors, service.figures.denied) == (1, 1)
    });
    assert_eq!(clients[0].ask(b"c"), b"one c", "nobody makes room for it");
}
