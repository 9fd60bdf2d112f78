//! Clients that stay with their server: by a cookie in a real jar, or by the table; and what happens when it is gone.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use relevo_lb::{Admin, Health};
use relevo_model::cluster::{Affinity, AffinityKey, Check, CheckKind, Cookie, CookieMode, Mode};

use crate::rig::{Answer, Client, Front, Origin, Rig, cluster, field, service, wait_until};

/// A client with a jar: keeps what answers set, and sends it back.
#[derive(Default)]
struct Browser {
    jar: BTreeMap<String, String>,
}

impl Browser {
    /// One request on a connection of its own.
    fn get(&mut self, at: SocketAddrV4) -> Answer {
        self.ask(&mut Client::connect(at), "GET")
    }

    fn ask(&mut self, client: &mut Client, method: &str) -> Answer {
        let cookies: Vec<String> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut head = format!("{method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n");
        if !cookies.is_empty() {
            head += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        client.send(head + "\r\n");
        let answer = client.answer().unwrap();
        for set in set_cookies(&answer) {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.jar.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    fn bodies(&mut self, at: SocketAddrV4, count: usize) -> Vec<String> {
        (0..count).map(|_| self.get(at).body).collect()
    }
}

fn set_cookies(answer: &Answer) -> Vec<String> {
    let lines = answer.head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: "));
    lines.map(str::to_owned).collect()
}

pub(crate) fn insert() -> Cookie {
    Cookie {
        name: "SRV".to_owned(),
        mode: CookieMode::Insert,
        indirect: true,
        nocache: true,
        postonly: false,
        preserve: false,
        httponly: true,
        secure: false,
        samesite: None,
        domain: None,
        max_idle: None,
        max_life: None,
    }
}

/// Answers with its name and the cookies that it saw, and sets one of its own.
fn origin(name: &'static str) -> Origin {
    Origin::answering(move |request| {
        let seen = field(&request.head, "cookie").unwrap_or_default();
        let body = format!("{name} {seen}").trim_end().to_owned();
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nSet-Cookie: APP={name}-1; path=/\r\n\r\n{body}"
        )
        .into_bytes()
    })
}

fn with_cookie(servers: &[&Origin], cookie: Cookie) -> Front {
    let mut front = service(&servers.iter().map(|server| server.at).collect::<Vec<_>>());
    front.pool.cookie = Some(cookie);
    front
}

fn up(rig: &Rig, servers: usize) {
    for number in 1..=servers {
        rig.wait_health(number, Health::Up);
    }
}

#[test]
fn a_browser_stays_with_its_server_and_the_server_does_not_know() {
    let (one, two) = (origin("one"), origin("two"));
    let rig = Rig::start(with_cookie(&[&one, &two], insert()));
    up(&rig, 2);
    let mut browsers = [Browser::default(), Browser::default()];
    let firsts = browsers.each_mut().map(|browser| browser.get(rig.at));
    assert_eq!([&*firsts[0].body, &*firsts[1].body], ["one", "two"]);
    assert_eq!(set_cookies(&firsts[0]), ["APP=one-1; path=/", "SRV=server1; path=/; HttpOnly"]);
    assert_eq!(field(&firsts[0].head, "cache-control").as_deref(), Some("private"));
    for _ in 0..3 {
        let again = browsers[1].get(rig.at);
        assert_eq!(again.body, "two APP=two-1");
        assert_eq!(set_cookies(&again), ["APP=two-1; path=/"], "it is not set again");
        assert_eq!(browsers[0].get(rig.at).body, "one APP=one-1");
    }
    // The same on a connection that several clients share, as behind another proxy.
    let mut shared = rig.client();
    for _ in 0..2 {
        assert_eq!(browsers[0].ask(&mut shared, "GET").body, "one APP=one-1");
        assert_eq!(browsers[1].ask(&mut shared, "POST").body, "two APP=two-1");
    }
}

#[test]
fn a_draining_or_weightless_server_keeps_its_clients_and_a_stopped_one_loses_them() {
    let (one, two) = (origin("one"), origin("two"));
    let mut front = with_cookie(&[&one, &two], insert());
    front.pool.servers[1].weight = 0;
    let rig = Rig::start(front);
    up(&rig, 2);
    let mut bound = Browser::default();
    bound.jar.insert("SRV".to_owned(), "server2".to_owned());
    assert_eq!(bound.get(rig.at).body, "two");
    let mut browser = Browser::default();
    assert_eq!(browser.get(rig.at).body, "one");
    rig.engine.set_admin(None, "server1", Admin::Drain, false);
    assert_eq!(browser.bodies(rig.at, 2), ["one APP=one-1"; 2]);
    assert_eq!(Browser::default().get(rig.at).status, 503, "nobody takes new clients");
    rig.engine.set_admin(None, "server1", Admin::Maint, true);
    assert_eq!(browser.get(rig.at).status, 503);
    assert_eq!(bound.get(rig.at).body, "two APP=two-1");
}

#[test]
fn a_browser_whose_server_dies_gets_another_one_and_stays_there() {
    let (one, two) = (origin("one"), origin("two"));
    let mut front = with_cookie(&[&one, &two], insert());
    front.pool.check = Check { kind: CheckKind::Connect, ..front.pool.check };
    let rig = Rig::start(front);
    up(&rig, 2);
    let mut browser = Browser::default();
    assert_eq!(browser.get(rig.at).body, "one");
    let at = one.at;
    one.kill();
    // Before the checks know it, and after.
    let moved = browser.get(rig.at);
    assert_eq!(moved.body, "two APP=one-1");
    assert_eq!(set_cookies(&moved)[1], "SRV=server2; path=/; HttpOnly");
    rig.wait_health(1, Health::Down);
    assert_eq!(browser.get(rig.at).body, "two APP=two-1");
    let mut late = Browser::default();
    late.jar.insert("SRV".to_owned(), "server1".to_owned());
    assert_eq!(set_cookies(&late.get(rig.at)).len(), 2);
    // It is back: who went away stays away.
    let _one = Origin::on(at, |peer| {
        while peer.request().is_some() {
            let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        }
    });
    rig.wait_health(1, Health::Up);
    assert_eq!(browser.bodies(rig.at, 2), ["two APP=two-1"; 2]);
}

#[test]
fn without_redispatch_a_client_waits_for_its_own_server() {
    let (one, two) = (origin("one"), origin("two"));
    let mut front = with_cookie(&[&one, &two], insert());
    front.pool.redispatch = false;
    let rig = Rig::start(front);
    up(&rig, 2);
    let mut browser = Browser::default();
    assert_eq!(browser.get(rig.at).body, "one");
    one.kill();
    let refused = browser.get(rig.at);
    assert_eq!((refused.status, set_cookies(&refused).len()), (503, 0));
    rig.engine.set_admin(None, "server1", Admin::Maint, true);
    assert_eq!(browser.get(rig.at).body, "503 Service Unavailable: the server of this client is gone\n");
    assert_eq!(Browser::default().get(rig.at).body, "two");
}

#[test]
fn the_servers_own_cookie_carries_the_server() {
    let (one, two) = (origin("one"), origin("two"));
    let app = |mode| Cookie { name: "APP".to_owned(), mode, indirect: false, nocache: false, ..insert() };
    let rig = Rig::start(with_cookie(&[&one, &two], app(CookieMode::Prefix)));
    up(&rig, 2);
    let mut browser = Browser::default();
    assert_eq!(set_cookies(&browser.get(rig.at)), ["APP=server1~one-1; path=/"]);
    assert_eq!(browser.bodies(rig.at, 2), ["one APP=one-1"; 2]);
    let rig = Rig::start(with_cookie(&[&one, &two], app(CookieMode::Rewrite)));
    up(&rig, 2);
    let mut browser = Browser::default();
    assert_eq!(set_cookies(&browser.get(rig.at)), ["APP=server1; path=/"]);
    assert_eq!(browser.bodies(rig.at, 2), ["one APP=server1"; 2]);
}

#[test]
fn a_cookie_that_is_too_old_is_no_cookie() {
    let (one, two) = (origin("one"), origin("two"));
    let day = Some(Duration::from_secs(86_400));
    let rig = Rig::start(with_cookie(&[&one, &two], Cookie { max_idle: day, max_life: day, ..insert() }));
    up(&rig, 2);
    let mut browser = Browser::default();
    browser.jar.insert("SRV".to_owned(), "server2|1000|1000".to_owned());
    assert_eq!(browser.get(rig.at).body, "one");
    assert!(browser.jar["SRV"].starts_with("server1|"), "{}", browser.jar["SRV"]);
    assert_eq!(browser.bodies(rig.at, 2), ["one APP=one-1"; 2]);
}

fn by(key: AffinityKey) -> Option<Affinity> {
    Some(Affinity { key, size: 100, expire: Duration::from_secs(3600) })
}

#[test]
fn a_client_is_known_by_what_it_shows() {
    let servers = [Origin::named("one"), Origin::named("two"), Origin::named("three")];
    let mut front = service(&servers.each_ref().map(|server| server.at));
    front.pool.affinity = by(AffinityKey::Header("X-User".to_owned()));
    let rig = Rig::start(front.clone());
    up(&rig, 3);
    let ask = |user: &str| {
        let mut client = rig.client();
        write!(client.stream(), "GET / HTTP/1.1\r\nHost: test\r\nX-User: {user}\r\n\r\n").unwrap();
        client.answer().unwrap().body
    };
    assert_eq!(["anna", "bert", "anna", "anna", "bert"].map(ask), ["one", "two", "one", "one", "two"]);
    assert_eq!(rig.bodies(3).len(), 3, "who shows nothing goes in turn");

    // The table and its servers stay when the configuration changes.
    front.pool.retries = 1;
    front.pool.servers.rotate_left(1);
    front.pool.affinity.as_mut().unwrap().size = 200;
    rig.engine.apply(&cluster([front.clone()])).unwrap();
    assert_eq!(["anna", "bert", "anna"].map(ask), ["one", "two", "one"]);

    // Its server drains, then stops.
    rig.engine.set_admin(None, "server1", Admin::Drain, false);
    assert_eq!(ask("anna"), "one");
    rig.engine.set_admin(None, "server1", Admin::Maint, true);
    let other = ask("anna");
    assert_ne!(other, "one");
    rig.engine.set_admin(None, "server1", Admin::Ready, false);
    up(&rig, 3);
    assert_eq!(["anna", "anna"].map(ask), [&*other; 2]);

    // Without the table, it is forgotten.
    front.pool.affinity = None;
    rig.engine.apply(&cluster([front])).unwrap();
    let bodies: Vec<String> = (0..3).map(|_| ask("anna")).collect();
    assert!(["one", "two", "three"].iter().all(|name| bodies.iter().any(|body| body == name)), "{bodies:?}");
}

#[test]
fn a_source_keeps_its_server_until_that_cannot_be_reached() {
    let servers = [Origin::named("one"), Origin::named("two")];
    let mut front = service(&servers.each_ref().map(|server| server.at));
    front.pool.affinity = by(AffinityKey::Source);
    let rig = Rig::start(front);
    up(&rig, 2);
    assert_eq!(rig.bodies(5), ["one"; 5]);
    let [one, _two] = servers;
    one.kill();
    assert_eq!(rig.bodies(5), ["two"; 5]);
    assert_eq!(rig.server(1).failures, 1, "it was asked once, then the table said another one");
}

#[test]
fn connections_of_a_source_stay_together_without_http() {
    let echo = |name: &'static str| {
        Origin::with(move |peer| {
            let _ = peer.write(name.as_bytes());
            let _ = peer.read(&mut [0; 10]);
        })
    };
    let servers = [echo("one"), echo("two")];
    let mut front = service(&servers.each_ref().map(|server| server.at));
    front.service.mode = Mode::Tcp;
    front.pool.affinity = by(AffinityKey::Source);
    let rig = Rig::start(front);
    up(&rig, 2);
    // One after the other: of those that come at the same moment, none is known yet.
    let clients = [(); 4].map(|()| {
        let mut client = rig.client();
        assert_eq!(client.bytes(3), b"one");
        client
    });
    wait_until("all are there", || rig.server(1).connections == 4);
    drop(clients);
}

#[test]
fn bound_clients_do_not_take_the_turns_of_new_ones() {
    let (one, two) = (origin("one"), origin("two"));
    let rig = Rig::start(with_cookie(&[&one, &two], insert()));
    up(&rig, 2);
    let mut bound = Browser::default();
    bound.get(rig.at);
    let mut new = Vec::new();
    for _ in 0..4 {
        new.push(Browser::default().get(rig.at).body);
        bound.get(rig.at);
    }
    assert_eq!(new, ["two", "one", "two", "one"]);
}

/// A HAProxy in front of two servers, with one listener for each `cookie` line.
struct Peer {
    child: std::process::Child,
    config: std::path::PathBuf,
    ports: Vec<u16>,
}

impl Peer {
    fn start(servers: [SocketAddrV4; 2], lines: &[&str]) -> Self {
        // Kept until all are known, so that they differ.
        let free: Vec<TcpListener> =
            lines.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = free.iter().map(|one| one.local_addr().unwrap().port()).collect();
        drop(free);
        let mut text =
            "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n"
                .to_owned();
        for (line, port) in lines.iter().zip(&ports) {
            text += &format!("listen l{port}\n bind 127.0.0.1:{port}\n cookie APP {line}\n");
            for (number, at) in (1..).zip(servers) {
                text += &format!(" server server{number} {at} cookie server{number}\n");
            }
        }
        let config = std::env::temp_dir().join(format!("relevo-cookies-{}.cfg", std::process::id()));
        std::fs::write(&config, text).unwrap();
        let child = std::process::Command::new("haproxy").args(["-db", "-f"]).arg(&config).spawn();
        let child = child.expect("Debian's haproxy");
        let peer = Self { child, config, ports };
        wait_until("haproxy listens", || {
            peer.ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

/// The same requests to HAProxy and to us, in each mode that has no dates: the same answers. One thing is another way
/// here: a value in quotes is the value.
pub(crate) fn cookies_behave_as_haproxys() {
    // The second one sets the cookie itself.
    let origin = |name: &'static str| {
        Origin::answering(move |request| {
            let seen = field(&request.head, "cookie").unwrap_or_default();
            let body = format!("{name} saw {seen}");
            let own = if request.line().contains("/own") { "Set-Cookie: APP=own; path=/x\r\n" } else { "" };
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{own}\r\n{body}", body.len()).into_bytes()
        })
    };
    let servers = [origin("one"), origin("two")];
    let plain =
        Cookie { name: "APP".to_owned(), indirect: false, nocache: false, httponly: false, ..insert() };
    let mode = |mode| Cookie { mode, ..plain.clone() };
    let cases = [
        ("insert", plain.clone()),
        ("insert indirect", Cookie { indirect: true, ..plain.clone() }),
        ("insert postonly", Cookie { postonly: true, ..plain.clone() }),
        ("insert preserve", Cookie { preserve: true, ..plain.clone() }),
        ("insert indirect preserve", Cookie { preserve: true, indirect: true, ..plain.clone() }),
        ("insert httponly secure", Cookie { httponly: true, secure: true, ..plain.clone() }),
        ("insert domain .example.org", Cookie { domain: Some(".example.org".to_owned()), ..plain.clone() }),
        ("rewrite", mode(CookieMode::Rewrite)),
        ("prefix", mode(CookieMode::Prefix)),
    ];
    let lines: Vec<&str> = cases.iter().map(|(line, _)| *line).collect();
    let peer = Peer::start(servers.each_ref().map(|server| server.at), &lines);
    for ((line, config), port) in cases.iter().zip(&peer.ports) {
        let rig = Rig::start(with_cookie(&[&servers[0], &servers[1]], config.clone()));
        up(&rig, 2);
        for method in ["GET", "POST"] {
            for path in ["/", "/own"] {
                for cookie in [
                    "",
                    "Cookie: APP=server2\r\n",
                    "Cookie: a=b; APP=server2; c=d\r\n",
                    "Cookie: a=b;APP=server2;c=d\r\n",
                    "Cookie: a=b\r\nCookie: APP=server2\r\n",
                    "Cookie: APP=server1; APP=server2\r\n",
                    "Cookie: APP=nobody\r\n",
                    "Cookie: x=y; APP=server2~abc; z\r\n",
                    "Cookie: app=server2\r\n",
                    "Cookie: APP=\r\n",
                ] {
                    let ask = |at: SocketAddrV4| {
                        let mut client = Client::connect(at);
                        let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n");
                        client.send(head + cookie + "\r\n");
                        let answer = client.answer().unwrap();
                        let set: Vec<String> = answer
                            .head
                            .lines()
                            .filter(|line| line.to_ascii_lowercase().starts_with("set-cookie"))
                            .map(str::to_ascii_lowercase)
                            .collect();
                        // White space that was there is not ours to change.
                        (answer.status, answer.body.replace("; ", ";"), set)
                    };
                    let theirs = ask(SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port));
                    assert_eq!(ask(rig.at), theirs, "{line}: {method} {path} {cookie:?}");
                }
            }
        }
    }
}
