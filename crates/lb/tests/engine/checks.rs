//! Every way to check a server, with real sockets: good, bad, silent.

use std::net::{SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relevo_lb::Health;
use relevo_model::cluster::{Agent, CheckKind, Expect, HttpCheck, Step};

use crate::rig::{Front, Origin, Rig, dead, field, service, wait_until};
use crate::tls_rig::{Authority, server_tls, with_tls};

/// A pool of these servers, checked so, quickly.
pub(crate) fn checked(servers: &[SocketAddrV4], kind: CheckKind) -> Front {
    let mut front = service(servers);
    let check = &mut front.pool.check;
    check.kind = kind;
    check.interval = Duration::from_millis(50);
    (check.fast_interval, check.down_interval) = (check.interval, check.interval);
    // Nothing that comes is late, however busy the machine is.
    check.timeout = Duration::from_secs(10);
    (check.rise, check.fall) = (1, 1);
    front
}

/// What a check of this one server says, once it is so.
fn found(front: Front, health: Health) -> String {
    let rig = Rig::start(front);
    rig.wait_health(1, health);
    rig.server(1).reason
}

pub(crate) fn http(expect: Vec<Expect>) -> CheckKind {
    CheckKind::Http(HttpCheck { expect, ..HttpCheck::get("/health") })
}

/// A server that takes connections and says nothing.
pub(crate) fn silent() -> (TcpListener, SocketAddrV4) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let std::net::SocketAddr::V4(at) = listener.local_addr().unwrap() else { panic!("not IPv4") };
    (listener, at)
}

#[test]
fn http_answers_are_looked_at_as_wanted() {
    let answers: [(&str, &str, Expect, Health, &str); 10] = [
        (
            "chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nit \r\n4\r\nis o\r\n1\r\nk\r\n0\r\n\r\n",
            Expect::Text("is ok".to_owned()),
            Health::Up,
            "GET /health answered 200",
        ),
        (
            "with a length, though the connection stays",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nokay\n",
            Expect::Regex("^o+k".to_owned()),
            Health::Up,
            "GET /health answered 200",
        ),
        (
            "until the end",
            "HTTP/1.0 200 OK\r\n\r\nall is ok",
            Expect::Text("is ok".to_owned()),
            Health::Up,
            "GET /health answered 200",
        ),
        (
            "after another answer",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            Expect::Status(vec![(204, 204)]),
            Health::Up,
            "GET /health answered 204",
        ),
        (
            "text",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbusy",
            Expect::Text("ok".to_owned()),
            Health::Down,
            "GET /health answered 200, but its body lacks \"ok\"",
        ),
        (
            "expression",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbusy",
            Expect::Regex("o+k".to_owned()),
            Health::Down,
            "GET /health answered 200, but its body does not match /o+k/",
        ),
        (
            "header",
            "HTTP/1.1 200 OK\r\nX-State: busy\r\nContent-Length: 0\r\n\r\n",
            Expect::Header("x-state".to_owned(), "ready".to_owned()),
            Health::Down,
            "GET /health answered 200, but its header x-state is \"busy\", without \"ready\"",
        ),
        (
            "status",
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
            Expect::Status(vec![(200, 299), (304, 304)]),
            Health::Down,
            "GET /health answered 302, not 200-299,304",
        ),
        (
            "cut off",
            "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nbusy",
            Expect::Text("ok".to_owned()),
            Health::Down,
            "GET /health answered 200, but its body broke off",
        ),
        ("no HTTP", "220 mail ESMTP\r\n", Expect::Text("ok".to_owned()), Health::Down, "does not speak HTTP"),
    ];
    for (what, answer, expect, health, reason) in answers {
        let origin = Origin::with(move |peer| {
            if peer.request().is_some() {
                let _ = peer.write(answer.as_bytes());
                // Whoever knows where the answer ends does not wait for this.
                if answer.contains("Content-Length: 5\r\n") {
                    let _ = peer.request();
                }
            }
        });
        assert_eq!(found(checked(&[origin.at], http(vec![expect])), health), reason, "{what}");
    }
}

#[test]
fn who_answers_404_gets_no_new_clients_and_keeps_those_it_has() {
    let leaves = Arc::new(AtomicBool::new(false));
    let is_leaving = Arc::clone(&leaves);
    let one = Origin::answering(move |request| match request.line() {
        "GET /health HTTP/1.1" if is_leaving.load(Ordering::SeqCst) => {
            // Its body does not come.
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n".to_vec()
        }
        _ => crate::rig::with_length("one"),
    });
    let two = Origin::answering(|_| crate::rig::with_length("two"));
    // It has precedence over what is expected.
    let check = HttpCheck {
        disable_on_404: true,
        expect: vec![Expect::Text("o".to_owned())],
        ..HttpCheck::get("/health")
    };
    let mut front = checked(&[one.at, two.at], CheckKind::Http(check));
    front.pool.cookie = Some(crate::persistence::insert());
    let rig = Rig::start(front);
    (1..=2).for_each(|number| rig.wait_health(number, Health::Up));
    let bound = |rig: &Rig| {
        let mut client = rig.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\nCookie: SRV=server1\r\n\r\n");
        client.answer().unwrap().body
    };
    assert_eq!(bound(&rig), "one");
    leaves.store(true, Ordering::SeqCst);
    wait_until("it leaves", || rig.server(1).leaving);
    let server = rig.server(1);
    assert_eq!(
        (server.health, server.admin, server.wanted),
        (Health::Up, relevo_lb::Admin::Ready, relevo_lb::Admin::Drain)
    );
    assert_eq!((server.reason.as_str(), server.check_failures), ("GET /health answered 404", 0));
    assert_eq!(rig.bodies(4), ["two", "two", "two", "two"]);
    assert_eq!(bound(&rig), "one");
    leaves.store(false, Ordering::SeqCst);
    wait_until("it is back", || !rig.server(1).leaving);
    let mut bodies = rig.bodies(2);
    bodies.sort();
    assert_eq!(bodies, ["one", "two"]);
}

#[test]
fn how_near_a_server_is_to_going_down_is_known() {
    let fails = Arc::new(AtomicBool::new(false));
    let is_failing = Arc::clone(&fails);
    let one = Origin::answering(move |_| match is_failing.load(Ordering::SeqCst) {
        true => b"HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false => crate::rig::with_length("one"),
    });
    let mut front = checked(&[one.at], http(Vec::new()));
    front.pool.check.fall = 1000;
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    assert_eq!(rig.server(1).against, 0);
    fails.store(true, Ordering::SeqCst);
    wait_until("it has failed twice", || rig.server(1).against >= 2);
    assert_eq!(rig.server(1).health, Health::Up);
    fails.store(false, Ordering::SeqCst);
    wait_until("all is well", || rig.server(1).against == 0);
}

#[test]
fn without_the_option_404_is_a_bad_answer() {
    let origin = Origin::answering(|_| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec());
    assert_eq!(found(checked(&[origin.at], http(Vec::new())), Health::Down), "GET /health answered 404");
}

#[test]
fn of_an_endless_body_only_the_beginning_is_read() {
    let origin = Origin::with(|peer| {
        if peer.request().is_some() {
            let _ = peer.write(b"HTTP/1.1 200 OK\r\n\r\n");
            while peer.write(&[b'x'; 4096]).is_ok() {}
        }
    });
    let reason = found(checked(&[origin.at], http(vec![Expect::Text("ok".to_owned())])), Health::Down);
    assert_eq!(reason, "GET /health answered 200, but its body lacks \"ok\"");
}

#[test]
fn the_request_is_the_one_of_the_file() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let origin = Origin::answering(move |request| {
        seen.lock().unwrap().push(request.head.clone());
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let check = HttpCheck {
        method: "POST".to_owned(),
        host: Some("shop.test".to_owned()),
        headers: vec![("X-Check".to_owned(), "yes".to_owned()), ("User-Agent".to_owned(), "us".to_owned())],
        ..HttpCheck::get("/health?x=1")
    };
    let reason = found(checked(&[origin.at], CheckKind::Http(check)), Health::Up);
    assert_eq!(reason, "POST /health?x=1 answered 200");
    let head = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /health?x=1 HTTP/1.1\r\n"), "{head}");
    for (name, value) in
        [("Host", "shop.test"), ("X-Check", "yes"), ("User-Agent", "us"), ("Content-Length", "0")]
    {
        assert_eq!(field(&head, name).as_deref(), Some(value), "{head}");
    }
    assert_eq!(head.matches("User-Agent").count(), 1);
}

#[test]
fn another_port_is_asked_where_the_file_says_so() {
    let (works, asked) = (Origin::named("a"), Origin::named("check"));
    let mut front = checked(&[works.at], http(Vec::new()));
    front.pool.servers[0].check_port = asked.at.port();
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    assert_eq!(works.accepted(), 0);
    assert_eq!(rig.get("/").body, "a");
    asked.kill();
    rig.wait_health(1, Health::Down);
    assert_eq!(rig.server(1).reason, "connection refused");
}

#[test]
fn scripts_send_and_expect() {
    let origin = Origin::with(|peer| {
        let mut bytes = [0; 6];
        let _ = peer.write(b"hello");
        while peer.read(&mut bytes).is_ok_and(|count| count > 0) {
            let _ = peer.write(if bytes == *b"PING\r\n" { b"+PONG\r\n" } else { b"-ERR\r\n " });
        }
    });
    let script = |word: &str| CheckKind::Script {
        steps: vec![
            Step::Regex("^h.llo$".to_owned()),
            Step::Send(format!("{word}\r\n").into_bytes()),
            Step::Expect(b"+PONG".to_vec()),
        ],
    };
    assert_eq!(found(checked(&[origin.at], script("PING")), Health::Up), "answers as its script says");
    let mut wrong = checked(&[origin.at], script("PANG"));
    wrong.pool.check.timeout = Duration::from_millis(500);
    let reason = "step 3: no answer within 500 ms without \"+PONG\"; it said \"-ERR\\r\\n \"";
    let rig = Rig::start(wrong);
    // On a busy machine the time may be over in an earlier step, now and then.
    wait_until(reason, || rig.server(1).health == Health::Down && rig.server(1).reason == reason);
}

#[test]
fn scripts_and_requests_speak_tls() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["app.internal"]);
    let origin =
        Origin::answering(|_| b"HTTP/1.1 200 OK\r\nX-State: ready\r\nContent-Length: 2\r\n\r\nok".to_vec());
    let server = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&chain])));
    let script = CheckKind::Script {
        steps: vec![
            Step::Send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
            Step::Expect(b"200 OK".to_vec()),
        ],
    };
    let expect =
        vec![Expect::Text("ok".to_owned()), Expect::Header("X-State".to_owned(), "ready".to_owned())];
    for kind in [http(expect), script] {
        let mut front = checked(&[server.at], kind);
        front.pool.check.tls = true;
        found(front, Health::Up);
    }
}

#[test]
fn who_is_silent_is_down_and_it_is_said_for_how_long() {
    let (_listener, at) = silent();
    let mut front = checked(&[at], http(Vec::new()));
    front.pool.check.timeout = Duration::from_millis(50);
    let rig = Rig::start(front);
    let reason = "no answer within 50 ms";
    wait_until(reason, || rig.server(1).health == Health::Down && rig.server(1).reason == reason);
}

fn command(script: &str) -> CheckKind {
    CheckKind::Command { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec() }
}

#[test]
fn commands_know_the_server_and_their_first_line_is_the_evidence() {
    let at: SocketAddrV4 = "127.0.0.1:9".parse().unwrap();
    let well = command("echo $RELEVO_SERVER_NAME at $RELEVO_SERVER_ADDRESS:$RELEVO_SERVER_PORT; echo more");
    assert_eq!(found(checked(&[at], well), Health::Up), "/bin/sh says it is well: server1 at 127.0.0.1:9");
    for (script, reason) in [
        ("echo disk is full >&2; exit 3", "/bin/sh failed with code 3: disk is full"),
        ("kill -9 $$", "/bin/sh was killed by signal 9"),
    ] {
        assert_eq!(found(checked(&[at], command(script)), Health::Down), reason);
    }
    // Its environment is its own.
    let alone = command("test -z \"$CARGO_MANIFEST_DIR$HOME\" || exit 1");
    assert_eq!(found(checked(&[at], alone), Health::Up), "/bin/sh says it is well");
    let mut missing = checked(&[at], CheckKind::Command { argv: vec!["/nowhere/check".to_owned()] });
    missing.pool.check.interval = Duration::from_millis(10);
    let rig = Rig::start(missing);
    wait_until("it is said why", || rig.server(1).reason.contains("/nowhere/check cannot be run"));
    assert_eq!(rig.server(1).health, Health::Unknown, "that is not the server's fault");
}

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_command_that_does_not_end_is_killed_with_all_that_it_started() {
    let scratch = Scratch(std::env::temp_dir().join(format!("relevo-checks-{}", std::process::id())));
    std::fs::create_dir_all(&scratch.0).unwrap();
    let file = scratch.0.join("pids");
    // One child in the background, one in front.
    let script =
        format!("echo stuck; sleep 1000 & echo $! $$ > {0}.new; mv {0}.new {0}; sleep 1000", file.display());
    let mut front = checked(&["127.0.0.1:9".parse().unwrap()], command(&script));
    // Enough to start a shell on a busy machine.
    front.pool.check.timeout = Duration::from_secs(5);
    // Only one is run: the next would write the file again.
    front.pool.check.interval = Duration::from_secs(3600);
    front.pool.check.down_interval = Duration::from_secs(3600);
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Down);
    assert_eq!(rig.server(1).reason, "/bin/sh did not end within 5000 ms: stuck");
    let pids = std::fs::read_to_string(&file).unwrap();
    let lives = |pid: &str| {
        // A zombie that waits for its new parent is dead.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    assert_eq!(pids.split_whitespace().count(), 2);
    for pid in pids.split_whitespace() {
        wait_until("the process is gone", || !lives(pid));
    }
}

#[test]
fn pings_are_answered_or_it_is_said_why_they_cannot_be_sent() {
    let mut front = checked(&["127.0.0.1:9".parse().unwrap()], CheckKind::Ping);
    front.pool.check.timeout = Duration::from_secs(5);
    let rig = Rig::start(front);
    wait_until("it is known", || rig.server(1).reason != "not checked yet");
    let server = rig.server(1);
    match server.health {
        Health::Up => assert_eq!(server.reason, "answers pings"),
        Health::Unknown => assert!(server.reason.contains("ping_group_range"), "{}", server.reason),
        Health::Down => panic!("{}", server.reason),
    }
}

/// An agent that says what stands here.
fn agent(line: &Arc<Mutex<&'static str>>) -> Origin {
    let line = Arc::clone(line);
    Origin::with(move |peer| {
        let said = *line.lock().unwrap();
        let _ = peer.write(said.as_bytes());
    })
}

#[test]
fn an_agent_takes_its_server_out_and_brings_it_back() {
    let one = Origin::named("one");
    let line = Arc::new(Mutex::new("up 100%\n"));
    let agent = agent(&line);
    let mut front = checked(&[one.at], CheckKind::Connect);
    front.pool.agent = Some(Agent { port: agent.at.port(), interval: Duration::from_millis(20) });
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    let said = |words: &'static str, reason: &str| {
        *line.lock().unwrap() = words;
        wait_until(reason, || rig.server(1).reason.contains(reason));
    };
    assert_eq!(rig.bodies(3), ["one", "one", "one"]);
    said("drain 50%\n", "its agent: drain, 50%");
    assert_eq!(rig.get("/").status, 503, "it drains");
    let server = rig.server(1);
    assert_eq!(server.admin, relevo_lb::Admin::Ready, "the operator has said nothing");
    assert_eq!((server.wanted, server.agent.as_deref()), (relevo_lb::Admin::Drain, Some("drain, 50%")));
    said("ready\n", "its agent: up, 50%");
    // Half of 1, but some.
    assert_eq!((rig.server(1).weight, rig.server(1).effective), (1, 1));
    said("0%\n", "its agent: up, 0%");
    assert_eq!((rig.server(1).weight, rig.server(1).effective), (1, 0));
    said("50%\n", "its agent: up, 50%");
    assert_eq!(rig.bodies(2), ["one", "one"]);
    said("down #disk is full\n", "its agent says down: disk is full");
    assert_eq!((rig.server(1).health, rig.server(1).downs), (Health::Down, 1));
    assert_eq!(rig.get("/").status, 503);
    said("up maxconn:30\n", "accepts connections; its agent: up, 50%, maxconn:30");
    assert_eq!((rig.server(1).health, rig.server(1).limit), (Health::Up, Some(30)));
    assert_eq!(rig.get("/").body, "one");
    said("maint\n", "in maintenance, not checked");
    assert_eq!(rig.get("/").status, 503);
    // What is not understood changes nothing; nor does an agent that is gone.
    *line.lock().unwrap() = "ready sleepy\n";
    let asked = agent.accepted();
    wait_until("it was asked again", || agent.accepted() > asked + 4);
    assert_eq!(rig.get("/").status, 503);
    said("ready 100%\n", "accepts connections; its agent: up, 100%, maxconn:30");
    agent.kill();
    assert_eq!(rig.get("/").body, "one");
    assert_eq!(rig.server(1).health, Health::Up);
}

#[test]
fn the_operator_wins_over_an_agent_that_is_ready() {
    let one = Origin::named("one");
    let line = Arc::new(Mutex::new("ready up\n"));
    let agent = agent(&line);
    let mut front = checked(&[one.at], CheckKind::Connect);
    front.pool.agent = Some(Agent { port: agent.at.port(), interval: Duration::from_millis(20) });
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    rig.engine.set_admin(None, "server1", relevo_lb::Admin::Drain, false);
    let asked = agent.accepted();
    wait_until("it was asked again", || agent.accepted() > asked + 4);
    assert_eq!(rig.get("/").status, 503);
}

#[test]
fn a_thousand_servers_are_all_found() {
    let (listener, at) = silent();
    std::thread::spawn(move || while listener.accept().is_ok() {});
    let gone = dead();
    let servers: Vec<SocketAddrV4> =
        (0..1000).map(|number| if number % 100 == 7 { gone } else { at }).collect();
    let mut front = checked(&servers, CheckKind::Connect);
    front.pool.check.interval = Duration::from_secs(1);
    let rig = Rig::start(front);
    wait_until("all are known", || {
        rig.engine.snapshot().pools[0].servers.iter().all(|server| server.health != Health::Unknown)
    });
    let servers = &rig.engine.snapshot().pools[0].servers;
    let down = servers.iter().filter(|server| server.health == Health::Down).count();
    assert_eq!((servers.len(), down), (1000, 10));
}
