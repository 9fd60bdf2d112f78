//! Clients over TLS that have come, and have not asked yet, when their service or the node ends: they are answered. Those who
//! say nothing do not hold up the end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use relevo_lb::Engine;
use relevo_model::cluster::Mode;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::rig::{Client, Front, LONG, Origin, Rig, cluster, service, wait_until};
use crate::tls_rig::{Authority, Tls, client_side, greet, server_tls, with_tls};

/// A service over TLS.
struct Scene {
    rig: Rig,
    authority: Authority,
    _origin: Origin,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Front)) -> Self {
        let origin = Origin::named("one");
        let authority = Authority::new();
        let chain = authority.issue("a.pem", &["a.org"]);
        let mut front = with_tls(service(&[origin.at]), server_tls(&[&chain]));
        change(&mut front);
        Self { rig: Rig::start(front), authority, _origin: origin }
    }

    /// Ends it so, and waits until all its clients were told. What is left of the end.
    fn end(self, how: How) -> Ending {
        let Self { rig: Rig { engine, at }, _origin, authority } = self;
        let ends: fn(Engine) = match how {
            How::Removed => {
                let mut next = service(&[_origin.at]);
                (next.service.name, next.service.pool, next.pool.name) = ("b".into(), "b".into(), "b".into());
                engine.apply(&cluster([next])).unwrap();
                drop
            }
            How::Stop => |engine| engine.shutdown(LONG),
            How::Leave => |engine| engine.leave(LONG),
        };
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            if how == How::Removed {
                let _ = held.recv();
            }
            ends(engine);
        });
        if how != How::Removed {
            wait_until("nobody listens", || TcpStream::connect(at).is_err());
        }
        Ending { hold: Some(hold), thread: Some(thread), _origin, _authority: authority }
    }
}

/// How a service ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Another configuration does not have it.
    Removed,
    /// The node stops.
    Stop,
    /// Another process takes over.
    Leave,
}

/// The end goes on until this is dropped; dropping it waits until all clients are gone.
struct Ending {
    hold: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _origin: Origin,
    _authority: Authority,
}

impl Drop for Ending {
    fn drop(&mut self) {
        drop(self.hold.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// How far a client has come when the end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Far {
    /// A part of its first message is there.
    Part,
    /// It has the service's answer to its first message.
    Answered,
}

/// A client that has begun, up to there.
fn begin(scene: &Scene, protocols: &[&[u8]], version: &'static SupportedProtocolVersion, far: Far) -> Begun {
    let mut conn = client_side(&scene.authority, protocols, &[version]);
    let mut sock = TcpStream::connect(scene.rig.at).unwrap();
    sock.set_read_timeout(Some(LONG)).unwrap();
    let mut hello = Vec::new();
    conn.write_tls(&mut hello).unwrap();
    let (now, later) = match far {
        Far::Part => hello.split_at(hello.len() / 2),
        Far::Answered => hello.split_at(hello.len()),
    };
    sock.write_all(now).unwrap();
    let later = later.to_vec();
    match far {
        Far::Part => {
            let connections = || scene.rig.engine.snapshot().services[0].connections;
            wait_until("it was accepted", || connections() == 1);
        }
        Far::Answered => assert_eq!(sock.peek(&mut [0]).unwrap(), 1),
    }
    Begun { tls: Tls::new(conn, sock), later }
}

struct Begun {
    tls: Tls,
    /// What it has yet to send of its first message.
    later: Vec<u8>,
}

impl Begun {
    /// Goes on, and says this as soon as it may.
    fn ask(mut self, what: &[u8]) -> Tls {
        self.tls.sock.write_all(&self.later).unwrap();
        self.tls.conn.writer().write_all(what).unwrap();
        while self.tls.conn.is_handshaking() || self.tls.conn.wants_write() {
            self.tls.conn.complete_io(&mut self.tls.sock).unwrap();
        }
        self.tls
    }
}

/// All that comes until the end.
fn read_all(mut tls: Tls) -> String {
    let mut all = Vec::new();
    tls.read_to_end(&mut all).unwrap_or_else(|error| panic!("{error} after {all:?}"));
    String::from_utf8_lossy(&all).into_owned()
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: a.org\r\n\r\n";

#[test]
fn who_is_in_the_handshake_when_it_ends_is_answered() {
    for how in [How::Removed, How::Stop, How::Leave] {
        for far in [Far::Part, Far::Answered] {
            for version in [&TLS13, &TLS12] {
                let scene = Scene::new(|_| {});
                let begun = begin(&scene, &[], version, far);
                let ending = scene.end(how);
                let all = read_all(begun.ask(ASK.as_bytes()));
                let what = format!("{how:?} {far:?} {:?}: {all}", version.version);
                assert!(all.starts_with("HTTP/1.1 200 ") && all.ends_with("one"), "{what}");
                assert!(all.contains("\r\nConnection: close\r\n"), "{what}");
                drop(ending);
            }
        }
    }
}

#[test]
fn a_connection_of_mode_tcp_in_the_handshake_when_it_ends_is_carried() {
    for how in [How::Removed, How::Stop] {
        let scene = Scene::new(|front| front.mode = Mode::Tcp);
        let begun = begin(&scene, &[], &TLS13, Far::Answered);
        let ending = scene.end(how);
        let mut tls = begun.ask(ASK.as_bytes());
        let mut answer = [0; 41];
        tls.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"one"), "{how:?}");
        tls.conn.send_close_notify();
        tls.conn.complete_io(&mut tls.sock).unwrap();
        drop(tls);
        drop(ending);
    }
}

/// Frames of HTTP/2 up to the one of this type and stream, with flag 1: END_STREAM, ACK. Their types.
fn frames(tls: &mut Tls, kind: u8, stream: u8) -> Vec<u8> {
    let mut types = Vec::new();
    loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head).unwrap_or_else(|error| panic!("{error} after {types:?}"));
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut body = vec![0; length as usize];
        tls.read_exact(&mut body).unwrap();
        types.push(head[3]);
        if (head[8], head[3], head[4] & 1) == (stream, kind, 1) {
            assert!(kind != DATA || body == b"one", "{body:?}");
            return types;
        }
    }
}

/// What a client of HTTP/2 begins with, and a GET.
fn ask_http2() -> Vec<u8> {
    let mut ask = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // :method GET, :scheme https, :path /, :authority a.
    ask.extend_from_slice(&[0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x41, 1, b'a']);
    ask
}

const DATA: u8 = 0;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

#[test]
fn the_first_request_of_http2_is_answered_and_is_the_last() {
    for how in [How::Removed, How::Stop, How::Leave] {
        let scene = Scene::new(|_| {});
        let begun = begin(&scene, &[b"h2"], &TLS13, Far::Answered);
        let ending = scene.end(how);
        let mut tls = begun.ask(&ask_http2());
        let types = frames(&mut tls, DATA, 1);
        assert!(types.contains(&GOAWAY), "{how:?}: {types:?}");
        drop(tls);
        drop(ending);
    }
}

/// A client of HTTP/2 that begins at leisure after its handshake is not told to go before it could ask.
#[test]
fn no_word_of_the_end_comes_before_the_first_request_of_http2() {
    let scene = Scene::new(|_| {});
    let mut tls = greet(&scene.authority, scene.rig.at, &[b"h2"]);
    let ending = scene.end(How::Removed);
    let ask = ask_http2();
    let (preface, request) = ask.split_at(33);
    tls.write_all(preface).unwrap();
    tls.write_all(b"\0\0\x08\x06\0\0\0\0\0whatever").unwrap();
    let types = frames(&mut tls, PING, 0);
    assert!(!types.contains(&GOAWAY), "{types:?}");
    tls.write_all(request).unwrap();
    let types = frames(&mut tls, DATA, 1);
    assert!(types.contains(&GOAWAY), "{types:?}");
    drop(tls);
    drop(ending);
}

/// Its request is on its way when the end comes: it has a second.
#[test]
fn who_has_just_done_the_handshake_when_it_ends_is_answered() {
    loop {
        let scene = Scene::new(|_| {});
        let mut tls = greet(&scene.authority, scene.rig.at, &[]);
        let before = Instant::now();
        let ending = scene.end(How::Removed);
        let asked = tls.write_all(ASK.as_bytes());
        // On a machine that had no time, it was too late.
        let was_quick = before.elapsed() < Duration::from_millis(500);
        if was_quick {
            asked.unwrap();
            let all = read_all(tls);
            assert!(all.starts_with("HTTP/1.1 200 ") && all.contains("\r\nConnection: close\r\n"), "{all}");
        }
        drop(ending);
        if was_quick {
            return;
        }
    }
}

/// Who opened a connection for later, or only looks whether somebody is there, does not hold up the end.
#[test]
fn who_says_nothing_is_let_go() {
    for how in [How::Removed, How::Stop] {
        let scene = Scene::new(|front| front.listen[0].defer_accept = Some(false));
        let mut resting = greet(&scene.authority, scene.rig.at, &[]);
        let mut mute = TcpStream::connect(scene.rig.at).unwrap();
        wait_until("both are there", || scene.rig.engine.snapshot().services[0].connections == 2);
        let ending = scene.end(how);
        for stream in [&resting.sock, &mute] {
            stream.set_read_timeout(Some(LONG / 2)).unwrap();
        }
        assert_eq!(mute.read(&mut [0]).unwrap(), 0, "{how:?}");
        assert_eq!(resting.read(&mut [0]).unwrap(), 0, "{how:?}");
        drop(ending);
    }
}

/// A handshake that stands still has the time that it always has.
#[test]
fn a_handshake_that_stands_still_ends_in_time() {
    let scene = Scene::new(|front| front.timeouts.request = Duration::from_secs(1));
    let mut begun = begin(&scene, &[], &TLS13, Far::Part);
    let ending = scene.end(How::Stop);
    begun.tls.sock.set_read_timeout(Some(LONG / 2)).unwrap();
    assert!(matches!(begun.tls.sock.read(&mut [0]), Ok(0)));
    drop(ending);
}

/// A proxy that has begun to say for whom it comes.
#[test]
fn who_is_being_introduced_when_it_ends_is_answered() {
    for how in [How::Removed, How::Stop, How::Leave] {
        let scene = Scene::new(|front| {
            front.service.tls = None;
            front.listen[0].tls = false;
            front.listen[0].proxy_protocol = true;
        });
        let mut client = Client::connect(scene.rig.at);
        client.send("PROXY TCP4 192.0.2.9 198");
        wait_until("it was accepted", || scene.rig.engine.snapshot().services[0].connections == 1);
        let ending = scene.end(how);
        client.send(format!(".51.100.7 51000 443\r\n{ASK}"));
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "one"), "{how:?}");
        assert!(answer.head.contains("\r\nConnection: close\r\n"), "{}", answer.head);
        drop(client);
        drop(ending);
    }
}
