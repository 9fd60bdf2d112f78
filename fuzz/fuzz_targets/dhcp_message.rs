//! Any bytes as a DHCP message of a client, as a datagram of another director, and as a line of the file of leases.
//!
//! The rest is a list of steps for a server: one byte for the kind, one for the length, then the bytes.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use relevo_model::cluster::Mac;
use relevo_model::{ClusterFile, Time};
use relevo_proto::dhcp::{Input, Lease, Output, Request, Server, Settings, Table};

static CLUSTER: LazyLock<ClusterFile> = LazyLock::new(|| {
    let text = r#"
name = "fuzz"
network.lan.subnet = "10.0.0.0/24"
node.a = { roles = ["director"], address.lan = "10.0.0.1" }
node.b = { roles = ["director"], address.lan = "10.0.0.2" }
address.inside = { network = "lan", ip = "10.0.0.200" }
peers.key = "/peers.key"
dhcp.lan = { range = "10.0.0.10-10.0.0.13", host.printer = { mac = "52:54:00:12:34:56", ip = "10.0.0.9" } }
"#;
    relevo_model::read(text).cluster.expect("a right file")
});

fuzz_target!(|bytes: &[u8]| {
    let _ = Request::parse(bytes);
    let _ = std::str::from_utf8(bytes).map(str::parse::<Lease>);
    let settings = Settings::new(&CLUSTER, &CLUSTER.dhcp[0], "a").expect("a director");
    let mut now = Time::from_millis(1_700_000_000_000);
    let mut server = Server::new(settings, Table::default(), now);
    server.handle_input(now, Input::Take);
    now += std::time::Duration::from_secs(20);
    server.handle_input(now, Input::Packet(bytes));
    let mut rest = bytes;
    while let [kind, length, after @ ..] = rest {
        let (step, after) = after.split_at(after.len().min(usize::from(*length) * 2));
        rest = after;
        match kind % 5 {
            0 => server.handle_input(now, Input::Packet(step)),
            1 => server.handle_input(now, Input::Peer(step)),
            2 => now += std::time::Duration::from_millis(u64::from(*length) * 100),
            3 => server.handle_input(now, if length % 2 == 0 { Input::Take } else { Input::Leave }),
            _ => server.handle_timeout(now),
        }
        for _ in 0..64 {
            match server.poll_output() {
                Some(Output::Store { number, .. }) => server.handle_input(now, Input::Stored(number)),
                Some(Output::Publish(bytes)) => assert!(bytes.len() <= 1200),
                // A stranger has it, or nobody says a word.
                Some(Output::Probe(ip)) if length % 3 == 0 => {
                    server.handle_input(now, Input::Used { ip, mac: Mac([2, 0, 0, 0, 0, *length]) });
                }
                Some(Output::Send { .. } | Output::Probe(_)) => {}
                None => break,
            }
        }
    }
    assert!(server.table().len() <= 254);
});
