//! `relevo reload` under load: no client notices.

use std::net::SocketAddr;
use std::time::Duration;

use relevo_api::client::Client;
use relevo_bench::load::{self, End, Outcome, Plan, Protocol, Target};

use crate::harness::{LOOP, Node, free_port, until};
use crate::upgrade::origin;

/// Reloads.
const SWAPS: u64 = 200;
/// Requests of all clients together.
const REQUESTS: u64 = 100_000;

/// Two files in turn: servers come, go and change their addresses and weights, rules, limits and checks come and go, a
/// service too.
fn file(turn: u64, port: u16, other: u16, servers: &[SocketAddr; 3]) -> String {
    let [one, two, three] = servers;
    let head = format!(
        r#"{LOOP}[service.web]
listen = "127.0.0.1:{port}"
mode = "http"
h2c = true
"#
    );
    let rest = match turn % 2 {
        0 => format!(
            r#"check = "connect"
[service.web.server.a]
at = "{one}"
[service.web.server.b]
at = "{two}"
"#
        ),
        _ => format!(
            r#"check = "none"
balance = "leastconn"
max_connections = 500
[[service.web.rule]]
set_header = {{ X-Turn = "{turn}" }}
[service.web.server.a]
at = "{three}"
[service.web.server.b]
at = "{two}"
weight = 3
[service.other]
listen = "127.0.0.1:{other}"
mode = "http"
check = "none"
servers = ["{one}"]
"#
        ),
    };
    head + &rest
}

/// Clients of one kind; they end when they have asked so often.
fn plan(port: u16, connections: usize, requests: u64) -> Plan {
    let mut plan = Plan::new(Target::parse(&format!("http://127.0.0.1:{port}/")).unwrap());
    (plan.connections, plan.end) = (connections, End { after: None, requests: Some(requests) });
    plan.patience = Duration::from_secs(20);
    plan
}

pub(crate) fn two_hundred_under_load() {
    let servers = [(); 3].map(|()| origin());
    let (port, other) = (free_port(), free_port());
    let mut node = Node::of(&file(0, port, other, &servers));
    node.workers = 2;
    node.start();
    let client = Client::of(&node.run_dir());
    let asked = || client.status().unwrap().services[0].requests;
    // On kept connections, on one for each request, and by HTTP/2 with ten at a time on each connection.
    let kept = plan(port, 10, REQUESTS - 30_000);
    let mut new = plan(port, 2, 10_000);
    new.connection_per_request = true;
    let mut http2 = plan(port, 2, 20_000);
    (http2.protocol, http2.streams) = (Protocol::Http2, 10);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let clients = [kept, new, http2].map(|plan| scope.spawn(move || load::run(&plan).unwrap()));
        for swap in 1..=SWAPS {
            // The last one comes before the last request.
            let wanted = (swap - 1) * (REQUESTS - 2000) / SWAPS;
            until("requests go on", || asked() >= wanted);
            node.rewrite(&file(swap, port, other, &servers));
            client.reload().unwrap();
        }
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let log = || node.log();
    let [kept, new, http2] = &outcomes[..] else { panic!("{outcomes:?}") };
    for outcome in [kept, new, http2] {
        assert_eq!((outcome.fault(), outcome.failures.len()), (None, 0), "{outcome:?}\n{}", log());
        assert_eq!(outcome.statuses[2], outcome.answers, "{outcome:?}\n{}", log());
    }
    assert_eq!(kept.answers + new.answers + http2.answers, REQUESTS);
    assert_eq!((kept.connects, http2.connects), (10, 2), "no connection was closed for a reload");
}

#[test]
fn files_are_beside_the_cluster_file() {
    let port = free_port();
    let servers = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let text = file(0, port, free_port(), &servers) + "[service.web.error_pages]\n503 = \"pages/503.html\"\n";
    let mut node = Node::of(&text);
    std::fs::create_dir(node.folder.path("pages")).unwrap();
    node.folder.write("pages/503.html", "<p>the page beside it");
    node.start();
    let page = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    assert!(page().ends_with("<p>the page beside it"), "{}", page());
    node.folder.write("pages/503.html", "<p>another one");
    assert_eq!(node.ask(&["reload"]).code, 0, "{}", node.log());
    assert!(page().ends_with("<p>another one"), "{}", page());
}
