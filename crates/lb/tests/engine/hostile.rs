//! Clients and servers that mean harm, or are in trouble: nobody else notices.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::rig::{Client, Origin, Rig, own_ip, service, wait_until, with_length};
use crate::tls_rig::Folder;

/// How many of each kind.
const MANY: u64 = 100;

/// A server that answers at once, but never what is asked for below `/never`.
fn partly_silent() -> Origin {
    Origin::with(|peer| {
        while let Some(request) = peer.request() {
            if request.line().contains("/never") {
                return peer.drain();
            }
            if peer.write(&with_length("fine")).is_err() {
                return;
            }
        }
    })
}

#[test]
fn slow_clients_and_a_silent_server_harm_nobody_else() {
    // On a busy machine the first ones are gone before the last ones are there.
    let enough = [4, 30].into_iter().any(|seconds| harm_nobody_else(Duration::from_secs(seconds)));
    assert!(enough, "never were all of them there");
}

/// `patience`: how long they are let. `false`: they were not all there at a time.
fn harm_nobody_else(patience: Duration) -> bool {
    let origin = partly_silent();
    let mut front = service(&[origin.at]);
    (front.timeouts.request, front.timeouts.client) = (patience, patience);
    front.pool.timeouts.server = patience;
    let rig = Rig::start(front);
    let now = || rig.engine.snapshot().services[0].connections;
    let begun = [
        // Heads and bodies that never end, and requests that are never answered.
        "GET / HTTP/1.1\r\nHost: a\r\nX: ",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
        "GET /never HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let start = Instant::now();
    let mut slow: Vec<Client> = Vec::new();
    for head in begun {
        for _ in 0..MANY {
            let mut client = rig.client();
            client.send(head);
            slow.push(client);
        }
    }
    wait_until("all are there", || now() == 4 * MANY || start.elapsed() > patience / 2);
    if start.elapsed() > patience / 2 {
        return false;
    }
    let mut good = rig.client();
    for _ in 0..300 {
        assert_eq!(good.get("/").unwrap().body, "fine");
        assert_eq!(rig.get("/").body, "fine");
        // Those of heads and bodies go on, a byte at a time.
        for client in slow.iter_mut().take(3 * MANY as usize).step_by(37) {
            let _ = client.stream().write_all(b"x");
        }
    }
    drop(good);
    // A byte now and then does not make a head last longer, nor does it an answer that does not come.
    let heads = slow.drain(..MANY as usize);
    for mut client in heads {
        assert_eq!(client.answer().unwrap().status, 408);
    }
    for mut client in slow.drain(2 * MANY as usize..) {
        assert_eq!(client.answer().unwrap().status, 504);
    }
    for mut client in slow.drain(..) {
        assert_eq!(client.answer().unwrap().status, 408);
    }
    wait_until("all are gone", || now() == 0 && rig.server(1).connections == 0);
    assert_eq!(rig.get("/").body, "fine");
    true
}

/// A server in a process of its own: it begins answers and never ends them.
struct Killable {
    child: Child,
    at: SocketAddrV4,
    folder: Folder,
}

/// Where such a process writes its address.
const PORT_FILE: &str = "RELEVO_TEST_SERVER_PORT";

impl Killable {
    fn start() -> Self {
        let folder = Folder::new();
        let file = folder.0.join("port");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile::a_process_that_is_a_server_for_others"])
            .env(PORT_FILE, &file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, at: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), folder };
        wait_until("the server listens", || {
            let at = std::fs::read_to_string(&file).ok().and_then(|at| at.trim().parse().ok());
            at.map(|at| server.at = at).is_some()
        });
        server
    }

    /// Requests that it has read.
    fn read(&self) -> u64 {
        std::fs::metadata(self.folder.0.join("port.read")).map_or(0, |file| file.len())
    }

    /// `kill -9`.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Serves until it is killed, if it was started for that; else it is no test.
#[test]
fn a_process_that_is_a_server_for_others() {
    let Some(file) = std::env::var_os(PORT_FILE) else { return };
    let file = Path::new(&file);
    let listener = TcpListener::bind((own_ip(), 0)).unwrap();
    let at = listener.local_addr().unwrap();
    // Whole or not at all.
    std::fs::write(file.with_extension("new"), format!("{at}\n")).unwrap();
    std::fs::rename(file.with_extension("new"), file).unwrap();
    for stream in listener.incoming() {
        let mut stream: TcpStream = stream.unwrap();
        let noted = std::fs::File::options().create(true).append(true).open(file.with_extension("read"));
        std::thread::spawn(move || {
            let mut head = [0; 4096];
            let count = stream.read(&mut head).unwrap_or(0);
            noted.unwrap().write_all(b".").unwrap();
            if head[..count].starts_with(b"GET /half") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
            }
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
    }
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_answers_is_seen_for_what_it_is() {
    let mut victim = Killable::start();
    let other = Origin::named("other");
    let rig = Rig::start(service(&[victim.at, other.at]));
    let mut asked = Vec::new();
    for (number, start) in ["GET /half", "GET /wait", "POST /wait"].into_iter().enumerate() {
        // They go in turn: one of two comes to the victim.
        for _ in 0..2 {
            let mut client = rig.client();
            client.send(format!("{start} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
            asked.push((start, client));
        }
        // A server that is not reached yet is none that may have done it.
        wait_until("one waits", || victim.read() == number as u64 + 1);
        wait_until("the other one was answered", || {
            let (victim, other) = (rig.server(1), rig.server(2));
            victim.requests + other.requests == 2 * (number as u64 + 1) && other.connections == 0
        });
    }
    let mut half = Vec::new();
    for (start, client) in asked.iter_mut().filter(|(start, _)| start.contains("/half")) {
        half.push((*start, client.bytes(17)));
    }
    victim.kill();
    let mut said: Vec<(&str, String)> = asked
        .into_iter()
        .map(|(start, mut client)| {
            let said = match client.answer() {
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(_) => "cut".to_owned(),
            };
            (start, said)
        })
        .filter(|(start, _)| !start.contains("/half"))
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            // Asked again, where that is safe; else nobody knows whether it was done.
            ("GET /wait", "200 other".to_owned()),
            ("GET /wait", "200 other".to_owned()),
            ("POST /wait", "200 other".to_owned()),
            (
                "POST /wait",
                "502 502 Bad Gateway: the server closed the connection without an answer\n".to_owned()
            ),
        ]
    );
    // From now on nobody notices.
    assert_eq!(rig.bodies(20), ["other"; 20]);
}

/// A full queue answers at once, and those who are served do not notice (RFC 9110 section 15.6.4).
#[test]
fn a_full_queue_refuses_at_once_by_either_protocol() {
    use crate::http2::{connect, get, run};
    let (enter, entered) = std::sync::mpsc::channel();
    let (leave, left) = std::sync::mpsc::channel::<()>();
    let (enter, left) = (std::sync::Mutex::new(enter), std::sync::Mutex::new(left));
    let origin = Origin::answering(move |_| {
        let _ = enter.lock().unwrap().send(());
        let _ = left.lock().unwrap().recv();
        with_length("served")
    });
    let mut front = service(&[origin.at]);
    front.h2c = true;
    front.pool.servers[0].max_connections = Some(1);
    front.pool.max_queue = Some(2);
    let rig = Rig::start(front);
    let ask = || {
        let mut client = rig.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client
    };
    let mut clients = vec![ask()];
    entered.recv_timeout(crate::rig::LONG).unwrap();
    for number in 1..=2 {
        clients.push(ask());
        wait_until("it waits", || rig.engine.snapshot().pools[0].queued == number);
    }
    for _ in 0..20 {
        let refused = rig.get("/");
        assert_eq!(refused.status, 503);
        assert!(refused.body.contains("too many wait already"), "{refused:?}");
    }
    run(async {
        let (mut send, _) = connect(rig.at).await;
        for _ in 0..20 {
            assert_eq!(get(&mut send, "/").await.unwrap().0, 503);
        }
    });
    for mut client in clients {
        leave.send(()).unwrap();
        assert_eq!(client.answer().unwrap().body, "served");
    }
}
