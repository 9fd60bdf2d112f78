//! Any bytes as a question about names, and as the answer of another name server.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use relevo_model::{ClusterFile, Time};
use relevo_proto::dns::{Desk, Step};

static CLUSTER: LazyLock<ClusterFile> = LazyLock::new(|| {
    let text = r#"
name = "fuzz"
network.lan.subnet = "10.0.0.0/24"
node.a = { roles = ["director"], address.lan = "10.0.0.1" }
node.b = { roles = ["director"], address.lan = "10.0.0.2" }
address.inside = { network = "lan", ip = "10.0.0.200" }
dns = { listen = "inside", domain = "f.z", forward = "9.9.9.9", records = { a = "b.f.z", b = "a.f.z", "*.w" = "www.example.org" } }
"#;
    relevo_model::read(text).cluster.expect("a right file")
});

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let (question, answer) = rest.split_at(rest.len().min(usize::from(*choice)));
    let mut desk = Desk::new(&CLUSTER).expect("a file with DNS");
    let source = "10.0.0.9".parse().expect("an address");
    for datagram in [true, false] {
        match desk.ask(Time::ZERO, source, datagram, question, &()) {
            Step::Answer(bytes) if datagram => assert!(bytes.len() <= 1232, "{} bytes", bytes.len()),
            Step::Answer(_) | Step::Silent => {}
            Step::Forward(forward) => {
                let id = answer.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
                let message = forward.read(id, answer);
                let bytes = desk.answered(Time::ZERO, &forward, message);
                assert!(!datagram || bytes.len() <= 1232, "{} bytes", bytes.len());
            }
        }
    }
});
