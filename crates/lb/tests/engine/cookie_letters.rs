//! The third and fourth letter of a line in the access log: what came of the pool's cookie, and what the client was told.

use std::time::Duration;

use relevo_lb::Admin;
use relevo_model::cluster::{Cookie, CookieMode, LogFormat};

use crate::log::Logged;
use crate::persistence::insert;
use crate::rig::{Front, Origin, service};

fn own() -> Origin {
    Origin::answering(|request| {
        let own = if request.line().starts_with("GET /own") { "Set-Cookie: SRV=own; path=/\r\n" } else { "" };
        format!("HTTP/1.1 200 OK\r\n{own}Content-Length: 0\r\n\r\n").into_bytes()
    })
}

fn front(servers: &[&Origin; 2], cookie: Cookie) -> Front {
    let mut front = service(&servers.map(|server| server.at));
    front.pool.cookie = Some(cookie);
    front
}

/// The letters of requests for these paths with these cookies.
fn letters(log: &Logged, before: usize, requests: &[(&str, &str)]) -> Vec<String> {
    for (path, cookie) in requests {
        let mut client = log.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nCookie: a=b{cookie}\r\n\r\n"));
        client.answer().unwrap();
    }
    let lines = log.lines(before + requests.len());
    lines[before..].iter().map(|line| line.split(' ').nth(9).unwrap()[2..].to_owned()).collect()
}

#[test]
fn inserted_ones() {
    let (one, two) = (own(), own());
    let log = Logged::start("letters-insert", front(&[&one, &two], insert()), LogFormat::Haproxy);
    let found =
        letters(&log, 0, &[("/", ""), ("/", "; SRV=server2"), ("/", "; SRV=no"), ("/own", "; SRV=server1")]);
    assert_eq!(found, ["NI", "VN", "II", "VD"]);
    log.engine.set_admin(None, "server2", Admin::Maint, false);
    assert_eq!(letters(&log, 4, &[("/", "; SRV=server2")]), ["DI"]);
    log.engine.set_admin(None, "server1", Admin::Maint, false);
    assert_eq!(letters(&log, 5, &[("/", "; SRV=server2"), ("/", "")]), ["DN", "NN"]);
}

#[test]
fn dated_ones() {
    let (one, two) = (own(), own());
    let day = Some(Duration::from_secs(86_400));
    let cookie = Cookie { max_idle: day, max_life: day, ..insert() };
    let log = Logged::start("letters-dated", front(&[&one, &two], cookie), LogFormat::Haproxy);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let old = format!("; SRV=server1|{now:x}|1000");
    let found = letters(&log, 0, &[("/", "; SRV=server1|1000|1000"), ("/", &old), ("/", "; SRV=server1")]);
    assert_eq!(found, ["EI", "OI", "VU"]);
}

#[test]
fn servers_own_ones() {
    let (one, two) = (own(), own());
    for (mode, preserve, with_own) in [
        (CookieMode::Rewrite, false, "NR"),
        (CookieMode::Prefix, false, "NR"),
        (CookieMode::Insert, true, "NP"),
    ] {
        let cookie = Cookie { mode, preserve, indirect: false, nocache: false, ..insert() };
        let log =
            Logged::start(&format!("letters-{mode:?}"), front(&[&one, &two], cookie), LogFormat::Haproxy);
        let second = if mode == CookieMode::Insert { "NI" } else { "NN" };
        assert_eq!(letters(&log, 0, &[("/own", ""), ("/", "")]), [with_own, second], "{mode:?}");
    }
}
