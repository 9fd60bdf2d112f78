//! Servers that cannot be reached for a moment, as when the only one is started anew: requests rest and ask again.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};

use relevo_lb::Admin;
use relevo_model::cluster::{LogFormat, Mode};

use crate::log::Logged;
use crate::rig::{Client, Front, LONG, Origin, Rig, service, wait_until, with_length};

/// Where nobody listens, but somebody did.
fn stopped() -> SocketAddrV4 {
    let origin = Origin::named("stopped");
    let at = origin.at;
    origin.kill();
    at
}

fn started(at: SocketAddrV4) -> Origin {
    Origin::on(at, |peer| {
        while peer.request().is_some() {
            let _ = peer.write(&with_length("back"));
        }
    })
}

/// A service that asks for long enough, however long a machine needs to start the server.
fn patient(servers: &[SocketAddrV4]) -> Front {
    let mut front = service(servers);
    front.pool.retries = 15;
    front
}

/// Somebody has tried to reach it.
fn wait_tried(rig: &Rig) {
    wait_until("it was tried", || rig.server(1).figures.connect_errors > 0);
}

#[test]
fn a_request_rests_until_the_only_server_is_back() {
    let at = stopped();
    let rig = Rig::start(patient(&[at]));
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    wait_tried(&rig);
    let _server = started(at);
    assert_eq!(client.answer().unwrap().body, "back");
    let figures = rig.server(1).figures;
    assert!((1..=15).contains(&figures.retries), "{figures:?}");
    assert_eq!(figures.redispatches, 0);
}

#[test]
fn a_connection_of_mode_tcp_rests_too() {
    let at = stopped();
    let mut front = patient(&[at]);
    front.mode = Mode::Tcp;
    let rig = Rig::start(front);
    let mut client = TcpStream::connect(rig.at).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    wait_tried(&rig);
    let _server = started(at);
    let mut heard = [0; 15];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"HTTP/1.1 200 OK");
}

#[test]
fn a_client_that_belongs_to_a_server_waits_for_that_one() {
    let at = stopped();
    let other = Origin::named("other");
    let mut front = patient(&[at, other.at]);
    front.pool.redispatch = false;
    front.pool.cookie = Some(crate::persistence::insert());
    let rig = Rig::start(front);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nCookie: SRV=server1\r\n\r\n");
    wait_tried(&rig);
    let _server = started(at);
    assert_eq!(client.answer().unwrap().body, "back");
}

/// How a line ends: status, letters, attempts after the first.
fn ends(line: &str) -> (String, String, String) {
    let fields: Vec<&str> = line.split(' ').collect();
    (fields[5].to_owned(), fields[9].to_owned(), fields[10].rsplit('/').next().unwrap().to_owned())
}

#[test]
fn it_does_not_rest_for_ever() {
    let with = |retries, servers: &[SocketAddrV4]| -> Front {
        let mut front = service(servers);
        front.pool.retries = retries;
        front
    };
    let at = stopped();
    for (retries, servers, expected) in [(0, &[at][..], "0"), (2, &[at], "2"), (2, &[at, at], "+2")] {
        let log = Logged::start(
            &format!("rests-{retries}-{}", servers.len()),
            with(retries, servers),
            LogFormat::Haproxy,
        );
        assert_eq!(log.client().get("/").unwrap().status, 503);
        let line = ends(&log.lines(1)[0]);
        assert_eq!(line, ("503".to_owned(), "SC--".to_owned(), expected.to_owned()));
    }
}

#[test]
fn who_leaves_meanwhile_or_has_nobody_to_wait_for_ends_it() {
    let mut front = service(&[stopped()]);
    front.pool.retries = 15;
    let log = Logged::start("rests-left", front, LogFormat::Haproxy);
    let tried = |count| {
        let server = || log.engine.snapshot().pools[0].servers[0].figures.connect_errors;
        wait_until("it was tried", || server() >= count);
    };
    let mut client: Client = log.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    tried(1);
    drop(client);
    assert_eq!(ends(&log.lines(1)[0]).1, "CC--");
    // Its server is taken out of work: nobody waits for that.
    let mut client = log.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    tried(2);
    log.engine.set_admin(None, "server1", Admin::Maint, false);
    assert_eq!(client.answer().unwrap().status, 503);
}
