//! Clients that leave while they wait: in a server's queue, and for what a rule holds back; over TLS as in clear.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use relevo_model::cluster::Mode;
use socket2::SockRef;

use crate::rig::{Client, Front, LONG, Origin, Rig, service, wait_until, with_length};
use crate::tls_rig::{Authority, Tls, greet, server_tls, with_tls};

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The word that TLS has for it (RFC 8446 section 6.1), and nothing else: the connection stays.
    CloseNotify,
    /// The word, and the end of the connection.
    Both,
    /// The end of the connection without a word.
    End,
    /// A reset.
    Reset,
}

/// A service over TLS with one server that takes one request at a time and answers when it is let.
struct Scene {
    rig: Rig,
    authority: Authority,
    lines: Receiver<String>,
    gate: Sender<()>,
    _origin: Origin,
}

impl Scene {
    fn new(mode: Mode) -> Self {
        Self::of(|front| front.mode = mode)
    }

    fn of(change: impl FnOnce(&mut Front)) -> Self {
        let (seen, lines) = channel();
        let (gate, wait) = channel::<()>();
        let (seen, wait) = (std::sync::Mutex::new(seen), std::sync::Mutex::new(wait));
        let origin = Origin::answering(move |request| {
            let line = format!("{} {}", request.line(), String::from_utf8_lossy(&request.body));
            let _ = seen.lock().unwrap().send(line.clone());
            let _ = wait.lock().unwrap().recv_timeout(LONG);
            with_length(&line)
        });
        let authority = Authority::new();
        let chain = authority.issue("a.pem", &["a.org"]);
        let mut front = with_tls(service(&[origin.at]), server_tls(&[&chain]));
        front.pool.servers[0].max_connections = Some(1);
        change(&mut front);
        Self { rig: Rig::start(front), authority, lines, gate, _origin: origin }
    }

    /// A client whose handshake is done.
    fn client(&self) -> Tls {
        greet(&self.authority, self.rig.at, &[])
    }

    fn ask(&self, request: &str) -> Tls {
        let mut client = self.client();
        client.write_all(request.as_bytes()).unwrap();
        client
    }

    fn queued(&self) -> u64 {
        self.rig.engine.snapshot().pools[0].queued
    }

    fn clients(&self) -> u64 {
        self.rig.engine.snapshot().services[0].connections
    }
}

fn leave(mut client: Tls, way: Way) -> Option<Tls> {
    if matches!(way, Way::CloseNotify | Way::Both) {
        client.conn.send_close_notify();
        client.conn.complete_io(&mut client.sock).unwrap();
    }
    match way {
        Way::CloseNotify => return Some(client),
        // Whoever has said goodbye may have been let go already.
        Way::Both => drop(client.sock.shutdown(Shutdown::Write)),
        Way::End => client.sock.shutdown(Shutdown::Write).unwrap(),
        Way::Reset => SockRef::from(&client.sock).set_linger(Some(Duration::ZERO)).unwrap(),
    }
    if way == Way::Reset { None } else { Some(client) }
}

/// What comes up to the end, or to the end of this.
fn read_to(client: &mut Tls, end: &str) -> String {
    let (mut all, mut piece) = (String::new(), [0; 1024]);
    while !all.contains(end) {
        match client.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => all.push_str(&String::from_utf8_lossy(&piece[..count])),
        }
    }
    all
}

const FIRST: &str = "GET /first HTTP/1.1\r\nHost: a.org\r\n\r\n";

#[test]
fn who_leaves_the_queue_over_tls_leaves_it_at_once() {
    for mode in [Mode::Http, Mode::Tcp] {
        let scene = Scene::new(mode);
        let mut first = scene.ask(FIRST);
        assert_eq!(scene.lines.recv_timeout(LONG).unwrap(), "GET /first HTTP/1.1 ");
        for way in [Way::CloseNotify, Way::Both, Way::End, Way::Reset] {
            // In mode tcp, nobody leaves in order before what he said was taken.
            let leaving = match mode {
                Mode::Http => scene.ask("GET /leaves HTTP/1.1\r\nHost: a.org\r\n\r\n"),
                Mode::Tcp | Mode::Udp => scene.client(),
            };
            wait_until("it waits", || scene.queued() == 1);
            let left = leave(leaving, way);
            wait_until(&format!("{mode:?}: its place is free after {way:?}"), || scene.queued() == 0);
            wait_until(&format!("{mode:?}: it is gone after {way:?}"), || scene.clients() == 1);
            drop(left);
        }
        scene.gate.send(()).unwrap();
        assert!(read_to(&mut first, "/first").starts_with("HTTP/1.1 200 "), "{mode:?}");
        assert_eq!((scene.rig.server(1).failures, scene.rig.server(1).requests), (0, 1));
    }
}

/// What a client says while it waits is looked at for its end alone, and is there when its turn comes.
#[test]
fn what_comes_in_the_queue_over_tls_is_not_lost() {
    let scene = Scene::new(Mode::Http);
    let mut first = scene.ask(FIRST);
    scene.lines.recv_timeout(LONG).unwrap();
    let body = "b".repeat(100_000);
    let mut second =
        scene.ask(&format!("POST /second HTTP/1.1\r\nHost: a.org\r\nContent-Length: {}\r\n\r\n", body.len()));
    wait_until("it waits", || scene.queued() == 1);
    // A record in pieces, then many of them, then another request.
    second.conn.writer().write_all(&body.as_bytes()[..10]).unwrap();
    let mut record = Vec::new();
    second.conn.write_tls(&mut record).unwrap();
    for byte in record {
        second.sock.write_all(&[byte]).unwrap();
        std::thread::yield_now();
    }
    second.write_all(&body.as_bytes()[10..]).unwrap();
    second.write_all(b"GET /third HTTP/1.1\r\nHost: a.org\r\n\r\n").unwrap();
    assert_eq!(scene.queued(), 1);
    scene.gate.send(()).unwrap();
    assert!(read_to(&mut first, "/first").starts_with("HTTP/1.1 200 "));
    assert_eq!(scene.lines.recv_timeout(LONG).unwrap(), format!("POST /second HTTP/1.1 {body}"));
    scene.gate.send(()).unwrap();
    assert_eq!(scene.lines.recv_timeout(LONG).unwrap(), "GET /third HTTP/1.1 ");
    scene.gate.send(()).unwrap();
    let both = read_to(&mut second, "GET /third");
    assert!(both.contains(&body) && both.ends_with("GET /third HTTP/1.1 "), "{} bytes", both.len());
}

/// HTTP/2 over TLS: its streams wait each by itself, and who carries them is told.
#[test]
fn who_leaves_by_http2_over_tls_frees_all_its_places() {
    let scene = Scene::new(Mode::Http);
    let mut first = scene.ask(FIRST);
    scene.lines.recv_timeout(LONG).unwrap();
    let mut client = greet(&scene.authority, scene.rig.at, &[b"h2"]);
    let mut ask = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in [1, 3, 5] {
        // :method GET, :scheme https, :path /, :authority a.
        ask.extend_from_slice(&[0, 0, 6, 1, 5, 0, 0, 0, stream, 0x82, 0x87, 0x84, 0x41, 1, b'a']);
    }
    client.write_all(&ask).unwrap();
    wait_until("all wait", || scene.queued() == 3);
    let left = leave(client, Way::Both);
    wait_until("all places are free", || scene.queued() == 0);
    drop(left);
    scene.gate.send(()).unwrap();
    assert!(read_to(&mut first, "/first").starts_with("HTTP/1.1 200 "));
}

/// A client that rests on a service that is taken out of the configuration is told at once, whatever else happens in that moment.
#[test]
fn who_rests_where_a_service_ends_is_closed() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let rig = Rig::start(service(&[one.at]));
    let mut resting: Vec<Client> = (0..20).map(|_| rig.client()).collect();
    for client in &mut resting {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    let mut next = service(&[two.at]);
    (next.service.name, next.service.pool, next.pool.name) = ("b".into(), "b".into(), "b".into());
    rig.engine.apply(&crate::rig::cluster([next])).unwrap();
    for client in &mut resting {
        client.stream().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(client.stream().read(&mut [0]).unwrap(), 0, "it is not told");
    }
}
