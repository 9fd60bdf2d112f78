//! `relevo upgrade` where servers speak HTTP/2: requests that share connections to them, on the process that goes and on the one
//! that says goodbye to it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relevo_bench::load::{self, End, Plan, Protocol, Target};

use crate::harness::{Node, free_port, until};
use crate::upgrade::Processes;

/// How long clients go on.
const LOAD: Duration = Duration::from_secs(10);

/// A node with one service, which clients may ask by either version, and one server.
fn node(port: u16, server: SocketAddr, speaks: &str) -> Node {
    let text = format!(
        r#"name = "loop"
[network.lan]
subnet = "192.168.99.0/24"
[node.lb1]
roles = ["director"]
address.lan = "192.168.99.1"
[service.web]
listen = "127.0.0.1:{port}"
mode = "http"
h2c = true
check = "none"
server_protocols = ["{speaks}"]
servers = ["{server}"]
"#
    );
    let mut node = Node::of(&text);
    node.workers = 2;
    node.start();
    node
}

/// Answers each request; those for `/held` when it is let. How many of these there are.
fn origin(gate: Receiver<()>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    let (gate, held) = (Arc::new(Mutex::new(gate)), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&held);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
            std::thread::spawn(move || {
                let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
                while let Ok(read @ 1..) = stream.read(&mut piece) {
                    bytes.extend_from_slice(&piece[..read]);
                    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                        if bytes.starts_with(b"GET /held ") {
                            count.fetch_add(1, Ordering::SeqCst);
                            let _ = gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        }
                        bytes.drain(..end + 4);
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    }
                }
            });
        }
    });
    (at, held)
}

/// A request that is under way until the server is let.
fn hold(port: u16, held: &AtomicUsize) -> TcpStream {
    let before = held.load(Ordering::SeqCst);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("it is under way", || held.load(Ordering::SeqCst) > before);
    stream
}

fn release(mut stream: TcpStream, gate: &Sender<()>) {
    gate.send(()).unwrap();
    let mut answer = String::new();
    // The process that served it ends its connection with the answer.
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"), "{answer}");
}

/// The one between is upgraded as a director is, the inner one as a server is that speaks HTTP/2 and restarts without a gap.
#[test]
fn requests_on_shared_connections_outlive_upgrades_on_both_sides() {
    let (gate, wait) = channel();
    let (server, held) = origin(wait);
    let (outer_port, inner_port) = (free_port(), free_port());
    let mut inner = node(inner_port, server, "http/1.1");
    let mut outer = node(outer_port, (Ipv4Addr::LOCALHOST, inner_port).into(), "h2");
    let plan = |protocol, per_request| {
        let mut plan = Plan::new(Target::parse(&format!("http://127.0.0.1:{outer_port}/")).unwrap());
        (plan.protocol, plan.connections, plan.streams) = (protocol, 2, 4);
        (plan.connection_per_request, plan.patience) = (per_request, Duration::from_secs(20));
        plan.end = End { after: Some(LOAD), requests: None };
        plan
    };
    let kinds =
        [("new", Protocol::Http1, true), ("kept", Protocol::Http1, false), ("h2", Protocol::Http2, false)];
    let mut processes = Processes::default();
    let mut last = [0; 2];
    let held_ones = [hold(outer_port, &held), hold(outer_port, &held)];
    let outcomes = std::thread::scope(|scope| {
        let clients = kinds.map(|(kind, protocol, per_request)| {
            let plan = plan(protocol, per_request);
            (kind, scope.spawn(move || load::run(&plan).unwrap()))
        });
        for round in 0..2 {
            for (node, last) in [&outer, &inner].into_iter().zip(&mut last) {
                let ran = node.ask(&["upgrade", "--json"]);
                assert_eq!(ran.code, 0, "{ran:?} {}", node.log());
                // The later ones are under load too, where the machine is not busy.
                assert!(round > 0 || clients.iter().any(|(_, client)| !client.is_finished()), "too slow");
                *last = i32::try_from(ran.json()["to"].as_u64().unwrap()).unwrap();
                processes.0.insert(*last);
                std::thread::sleep(Duration::from_millis(500));
            }
        }
        clients.map(|(kind, client)| (kind, client.join().unwrap()))
    });
    for (kind, outcome) in outcomes {
        let logs = || format!("outer: {}\ninner: {}", outer.log(), inner.log());
        assert_eq!(outcome.fault(), None, "{kind}: {outcome:?} {}", logs());
        assert_eq!(outcome.statuses[2], outcome.answers, "{kind}: {outcome:?} {}", logs());
        assert!(outcome.answers > 100, "{kind}: {outcome:?}");
    }
    // Both were begun before the first upgrade of either.
    held_ones.into_iter().for_each(|stream| release(stream, &gate));
    assert_eq!(outer.ended(), Some(0), "the first process ends when its last request has ended");
    assert_eq!(inner.ended(), Some(0), "so does the one that it asked");
    for pid in last {
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    }
    until("the last processes end in order", || !outer.run_dir().exists() && !inner.run_dir().exists());
}
