//! Requests that no server got: what their lines in the access log say, and what their clients are told.

use std::time::Duration;

use relevo_lb::Admin;
use relevo_model::cluster::LogFormat;

use crate::log::Logged;
use crate::rig::{Front, Origin, service, wait_until};

/// A pool that is not called like its service, with one server that takes one request at a time.
fn front(origin: &Origin) -> Front {
    let mut front = service(&[origin.at]);
    front.service.pool = "app".into();
    front.pool.name = "app".into();
    front.pool.servers[0].max_connections = Some(1);
    front.pool.timeouts.queue = Duration::from_millis(100);
    front
}

/// Who had it, its times, and how it ended.
fn told(line: &str) -> (String, Vec<i64>, String) {
    let fields: Vec<&str> = line.split(' ').collect();
    (
        fields[3].to_owned(),
        fields[4].split('/').map(|time| time.parse().unwrap()).collect(),
        fields[9].to_owned(),
    )
}

#[test]
fn its_pool_and_its_wait_are_in_the_line() {
    let origin = Origin::with(|peer| {
        let _ = peer.request();
        // Until the client leaves.
        let _ = peer.read(&mut [0]);
    });
    let log = Logged::start("no-server", front(&origin), LogFormat::Haproxy);
    let mut first = log.client();
    first.send("GET /first HTTP/1.1\r\nHost: t\r\n\r\n");
    wait_until("it has the place", || origin.accepted() == 1);
    assert_eq!(log.client().get("/waits").unwrap().status, 503);
    let (who, times, ended) = told(&log.lines(1)[0]);
    assert_eq!((&*who, &*ended), ("app/<NOSRV>", "sQ--"));
    assert!(times[1] >= 100 && times[2..4] == [-1, -1], "{times:?}");
    log.engine.set_admin(None, "server1", Admin::Maint, false);
    assert_eq!(log.client().get("/nobody").unwrap().status, 503);
    let (who, times, ended) = told(&log.lines(2)[1]);
    assert_eq!((&*who, &*ended), ("app/<NOSRV>", "SC--"));
    assert_eq!(times[1..4], [-1; 3]);
}

#[test]
fn a_server_that_speaks_no_http_is_named_in_the_answer() {
    let origin = Origin::with(|peer| {
        let _ = peer.request();
        let _ = peer.write(b"+OK ready\r\n");
    });
    let log = Logged::start("no-http", service(&[origin.at]), LogFormat::Haproxy);
    let answer = log.client().get("/").unwrap();
    assert_eq!(answer.body, "502 Bad Gateway: the server's answer is not HTTP/1.0 or HTTP/1.1\n");
}
