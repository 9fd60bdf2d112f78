//! `relevo upgrade`: another process takes over, and no client notices.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{LOOP, Node, RELEVO, free_port, until};

/// Both kinds of service, checked, on ports of their own.
fn cluster(http: u16, tcp: u16, origin: SocketAddr, echo: SocketAddr, stats: u16) -> String {
    format!(
        r#"{LOOP}[service.web]
listen = "127.0.0.1:{http}"
mode = "http"
check = {{ http = "/", interval = "100ms" }}
servers = ["{origin}"]
[service.echo]
listen = "127.0.0.1:{tcp}"
mode = "tcp"
check = "connect"
servers = ["{echo}"]
[stats]
listen = "127.0.0.1:{stats}"
users = "staff"
[users.staff]
anna = "$6$abcdefgh$D7W7qyozKBT.t6FD3DVYHvADbIO0eSyI4.p20LaEUjro8PqTGYYo/EQcuNjhFbzo9Yg5ir1KIEqFY/yJpgFph0"
"#
    )
}

/// Answers each request, and keeps connections.
pub(crate) fn origin() -> SocketAddr {
    serve(|mut stream| {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            bytes.extend_from_slice(&piece[..count]);
            while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                bytes.drain(..end + 4);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    })
}

/// Says everything again.
fn echo() -> SocketAddr {
    serve(|mut stream| {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            let _ = stream.write_all(&piece[..count]);
        }
    })
}

fn serve(client: impl Fn(TcpStream) + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || client(stream));
        }
    });
    at
}

/// What clients noticed.
#[derive(Debug, Default)]
struct Counts {
    good: AtomicU64,
    failed: AtomicU64,
    /// A kept connection was closed without a word before an answer (RFC 9112 section 9.3.1): asked again.
    again: AtomicU64,
    /// Answers that said that they are the connection's last.
    last: AtomicU64,
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One answer's head; empty: the connection was closed instead.
fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..count]);
        if bytes.ends_with(b"\r\n\r\nok") {
            return Ok(String::from_utf8_lossy(&bytes).to_ascii_lowercase());
        }
        if count == 0 {
            return if bytes.is_empty() {
                Ok(String::new())
            } else {
                Err(std::io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
}

fn new_connections(http: u16, tcp: u16, counts: &Counts) {
    let web = connect(http).and_then(|mut stream| ask(&mut stream));
    let good = web.is_ok_and(|head| head.starts_with("http/1.1 200"));
    let said = connect(tcp).and_then(|mut stream| {
        stream.write_all(b"hello")?;
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes)?;
        Ok(bytes)
    });
    for good in [good, said.is_ok_and(|bytes| bytes == *b"hello")] {
        if good { &counts.good } else { &counts.failed }.fetch_add(1, Ordering::Relaxed);
    }
}

fn kept_connection(http: u16, counts: &Counts, done: &AtomicBool) {
    let mut kept: Option<TcpStream> = None;
    while !done.load(Ordering::Relaxed) {
        let was_kept = kept.is_some();
        let answer = kept.take().map_or_else(|| connect(http), Ok).and_then(|mut stream| {
            let head = ask(&mut stream)?;
            Ok((stream, head))
        });
        match answer {
            Ok((stream, head)) if head.starts_with("http/1.1 200") => {
                counts.good.fetch_add(1, Ordering::Relaxed);
                if head.contains("connection: close") {
                    counts.last.fetch_add(1, Ordering::Relaxed);
                } else {
                    kept = Some(stream);
                }
            }
            Ok((_, head)) if head.is_empty() && was_kept => {
                counts.again.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) | Err(_) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Clients that go on until they are told to stop.
struct Load {
    done: Arc<AtomicBool>,
    counts: Arc<Counts>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(http: u16, tcp: u16) -> Self {
        let (done, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let mut clients = Vec::new();
        for client in 0..4 {
            let (done, counts) = (Arc::clone(&done), Arc::clone(&counts));
            clients.push(std::thread::spawn(move || {
                if client % 2 == 0 {
                    return kept_connection(http, &counts, &done);
                }
                while !done.load(Ordering::Relaxed) {
                    new_connections(http, tcp, &counts);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }));
        }
        Self { done, counts, clients }
    }

    fn good(&self) -> u64 {
        self.counts.good.load(Ordering::Relaxed)
    }

    /// Waits until clients have got some answers more.
    fn flow(&self) {
        let before = self.good();
        until("clients go on", || self.good() >= before + 50);
    }

    fn stop(self) -> Arc<Counts> {
        self.done.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        self.counts
    }
}

/// Processes that are killed at the end, as far as they are there.
#[derive(Default)]
pub(crate) struct Processes(pub(crate) BTreeSet<i32>);

impl Drop for Processes {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
    }
}

/// A node under load, whose program is a file of its own.
struct Scene {
    http: u16,
    tcp: u16,
    stats: u16,
    node: Node,
    processes: Processes,
}

impl Scene {
    fn new() -> Self {
        let (http, tcp, stats) = (free_port(), free_port(), free_port());
        let mut node = Node::of(&cluster(http, tcp, origin(), echo(), stats));
        node.program = node.folder.path("relevo");
        install(Path::new(RELEVO), &node.program);
        node.start();
        let scene = Self { http, tcp, stats, node, processes: Processes::default() };
        until("all servers are up", || scene.healths().iter().all(|(health, _)| health == "up"));
        scene
    }

    fn status(&self) -> Value {
        self.node.ask(&["status", "--json"]).json()
    }

    /// What is known of each server, and since when.
    fn healths(&self) -> Vec<(String, u64)> {
        let status = self.status();
        let pools = status["pools"].as_array().unwrap().clone();
        let servers = pools.iter().flat_map(|pool| pool["servers"].as_array().unwrap());
        servers
            .map(|server| (server["health"].as_str().unwrap().to_owned(), server["since"].as_u64().unwrap()))
            .collect()
    }
}

/// Puts a program in place of another at once.
fn install(from: &Path, to: &Path) {
    let beside = to.with_extension("new");
    if std::fs::hard_link(from, &beside).is_err() {
        std::fs::copy(from, &beside).unwrap();
    }
    std::fs::rename(&beside, to).unwrap();
    // Two links of one file: then rename(2) does nothing.
    let _ = std::fs::remove_file(&beside);
}

#[test]
fn five_upgrades_under_load_and_no_failed_request() {
    let mut scene = Scene::new();
    let before = scene.healths();
    let mut tunnel = connect(scene.tcp).unwrap();
    let load = Load::start(scene.http, scene.tcp);
    load.flow();
    let first = scene.status()["pid"].as_u64().unwrap();
    let mut pid = first;
    for _ in 0..5 {
        install(Path::new(RELEVO), &scene.node.program);
        let ran = scene.node.ask(&["upgrade", "--json"]);
        assert_eq!(ran.code, 0, "{ran:?} {}", scene.node.log());
        let upgraded = ran.json();
        assert_eq!(upgraded["from"], pid);
        pid = upgraded["to"].as_u64().unwrap();
        scene.processes.0.insert(i32::try_from(pid).unwrap());
        assert_eq!(scene.status()["pid"], pid, "it answers at the control socket");
        for ((was, was_since), (is, since)) in before.iter().zip(scene.healths()) {
            assert_eq!((&*is, was), ("up", was), "nothing is unknown");
            // Counted from the boot by each process: the wall clock may have been moved a little meanwhile.
            assert!(since.abs_diff(*was_since) < 1000, "{since} and {was_since}");
        }
        connect(scene.stats).unwrap();
        load.flow();
    }
    tunnel.write_all(b"hello").unwrap();
    let mut bytes = [0; 5];
    tunnel.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello", "a connection of the first process goes on");
    let counts = load.stop();
    assert_eq!(counts.failed.load(Ordering::Relaxed), 0, "{counts:?} {}", scene.node.log());
    assert_eq!(counts.again.load(Ordering::Relaxed), 0, "kept connections are told in an answer: {counts:?}");
    assert!(counts.last.load(Ordering::Relaxed) >= 5, "{counts:?}");
    drop(tunnel);
    assert_eq!(scene.node.ended(), Some(0), "the first process ends when its last connection has ended");
    let last = Pid::from_raw(i32::try_from(pid).unwrap());
    kill(last, Signal::SIGTERM).unwrap();
    until("the last process ends in order, and nothing is left", || !scene.node.run_dir().exists());
    assert!(!scene.node.log().contains("did not end in order"), "{}", scene.node.log());
}

#[test]
fn who_cannot_take_over_leaves_all_as_it_was() {
    let scene = Scene::new();
    let load = Load::start(scene.http, scene.tcp);
    let pid = scene.status()["pid"].clone();
    let program = &scene.node.program;
    let put = |text: &str, mode: u32| {
        let beside = scene.node.folder.write("bad", text);
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::rename(&beside, program).unwrap();
    };
    put("#!/bin/sh\necho 'out of luck' >&2\nexit 3\n", 0o755);
    scene
        .node
        .ask(&["upgrade"])
        .refused(1, &["did not take over", "goes on", "exit status: 3", "out of luck"]);
    put("this is no program", 0o755);
    assert_eq!(scene.node.ask(&["upgrade"]).code, 1);
    put("#!/bin/sh\n", 0o644);
    scene.node.ask(&["upgrade"]).refused(2, &["is not a program"]);
    std::fs::remove_file(program).unwrap();
    scene.node.ask(&["upgrade"]).refused(2, &["is not there"]);
    load.flow();
    install(Path::new(RELEVO), program);
    scene.node.change("[service.echo]", "[service.echo]\nfoo = 1");
    scene.node.ask(&["upgrade"]).refused(1, &["did not take over", "foo"]);
    load.flow();
    assert_eq!(scene.status()["pid"], pid);
    let counts = load.stop();
    assert_eq!(counts.failed.load(Ordering::Relaxed), 0, "{counts:?}");
    let status = scene.status();
    let server = status["pools"][1]["servers"][0]["name"].as_str().unwrap();
    assert_eq!(scene.node.ask(&["server", "drain", server]).code, 0, "wishes are kept again");
}
