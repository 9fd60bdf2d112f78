//! Clients of all kinds during `relevo upgrade`: over TLS with a certificate that came by ACME, by HTTP/2, by UDP.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{CertificateParams, KeyPair};
use relevo_bench::load::{self, End, Plan, Protocol, Target, Trust};

use crate::harness::{LOOP, Node, free_port, until};
use crate::upgrade::{Processes, origin};

/// How long clients go on.
const LOAD: Duration = Duration::from_secs(8);

fn cluster(tls: u16, udp: u16, origin: SocketAddr, echo: SocketAddr) -> String {
    format!(
        r#"{LOOP}[acme.nobody]
directory = "https://127.0.0.1:1/dir"
[service.shop]
listen = {{ at = "127.0.0.1:{tls}", tls = true }}
mode = "http"
tls = {{ acme = "nobody", names = ["localhost"] }}
check = "none"
servers = ["{origin}"]
[service.names]
listen = "127.0.0.1:{udp}"
mode = "udp"
check = "none"
servers = ["{echo}"]
"#
    )
}

/// Says each datagram again.
fn echo() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 100];
        while let Ok((count, peer)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..count], peer);
        }
    });
    at
}

/// Asks by UDP until it is done: from one socket, and from a new one each time. Good ones, and those without an answer.
fn ask_by_udp(port: u16, done: &AtomicBool) -> (u64, u64) {
    let socket = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket
    };
    let kept = socket();
    let (mut good, mut failed) = (0, 0_u64);
    while !done.load(Ordering::Relaxed) {
        for socket in [&kept, &socket()] {
            let question = format!("question {good} {failed}");
            let mut answer = [0; 100];
            let said = socket.send(question.as_bytes()).and_then(|_| socket.recv(&mut answer));
            match said {
                Ok(count) if answer[..count] == *question.as_bytes() => good += 1,
                Ok(_) | Err(_) => failed += 1,
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    (good, failed)
}

#[test]
fn clients_over_tls_by_http2_and_by_udp_notice_no_upgrade() {
    let (tls, udp) = (free_port(), free_port());
    let mut node = Node::of(&cluster(tls, udp, origin(), echo()));
    // As if it had been ordered a moment ago.
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::create_dir_all(node.state_dir().join("acme")).unwrap();
    std::fs::write(node.state_dir().join("acme/shop.pem"), own.pem() + &key.serialize_pem()).unwrap();
    let root = node.folder.write("root.pem", own.pem());
    node.workers = 2;
    node.start();
    let plan = |protocol, per_request| {
        let mut plan = Plan::new(Target::parse(&format!("https://localhost:{tls}/")).unwrap());
        plan.target.at = (Ipv4Addr::LOCALHOST, tls).into();
        (plan.protocol, plan.connections, plan.streams) = (protocol, 2, 3);
        (plan.trust, plan.connection_per_request) = (Trust::File(root.clone()), per_request);
        (plan.end, plan.patience) = (End { after: Some(LOAD), requests: None }, Duration::from_secs(20));
        plan
    };
    let kinds =
        [("new", Protocol::Http1, true), ("kept", Protocol::Http1, false), ("h2", Protocol::Http2, false)];
    let done = AtomicBool::new(false);
    let upgrades = AtomicU64::new(0);
    let (mut processes, mut last) = (Processes::default(), 0);
    let (outcomes, udp_clients) = std::thread::scope(|scope| {
        let clients = kinds.map(|(kind, protocol, per_request)| {
            let plan = plan(protocol, per_request);
            (kind, scope.spawn(move || load::run(&plan).unwrap()))
        });
        let udp_clients = [(); 2].map(|()| scope.spawn(|| ask_by_udp(udp, &done)));
        let load_is_over = || clients.iter().any(|(_, client)| client.is_finished());
        while !load_is_over() && upgrades.load(Ordering::Relaxed) < 5 {
            let ran = node.ask(&["upgrade", "--json"]);
            assert_eq!(ran.code, 0, "{ran:?} {}", node.log());
            // Not the greatest of all: process ids begin again.
            last = i32::try_from(ran.json()["to"].as_u64().unwrap()).unwrap();
            processes.0.insert(last);
            std::thread::sleep(Duration::from_secs(1));
            // Clients that have ended meanwhile may not have met this one.
            if !load_is_over() {
                upgrades.fetch_add(1, Ordering::Relaxed);
            }
        }
        let outcomes = clients.map(|(kind, client)| (kind, client.join().unwrap()));
        done.store(true, Ordering::Relaxed);
        (outcomes, udp_clients.map(|client| client.join().unwrap()))
    });
    // Five, where the machine is not busy.
    assert!(upgrades.load(Ordering::Relaxed) >= 1, "{upgrades:?}");
    for (kind, outcome) in outcomes {
        assert_eq!(outcome.fault(), None, "{kind}: {outcome:?} {}", node.log());
        assert!(outcome.answers > 100, "{kind}: {outcome:?}");
        let new_ones = outcome.connects > 2 * upgrades.load(Ordering::Relaxed);
        assert!(new_ones, "{kind}: those who keep a connection go on with the next process: {outcome:?}");
    }
    for (good, failed) in udp_clients {
        assert!(good > 100, "{good} answers by UDP");
        assert_eq!(failed, 0, "of {good} by UDP: {}", node.log());
    }
    kill(Pid::from_raw(last), Signal::SIGTERM).unwrap();
    until("the last process ends in order", || !node.run_dir().exists());
}
