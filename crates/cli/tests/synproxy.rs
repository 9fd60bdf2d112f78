//! `synproxy` from the cluster file to the client: whole nodes in a lab serve with it, before and after a takeover, and `relevo`
//! says that it is so. What it does to floods: crates/node/tests/floods.rs.
//!
//! Needs root.

#[path = "support/apache_lab.rs"]
#[allow(dead_code, reason = "shared with tests that ask from this machine too")]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;
#[path = "support/wait.rs"]
mod wait;

use std::collections::BTreeSet;

use apache_lab::Lab;
use serde_json::Value;
use wait::wait_until;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/synproxy/cluster.toml");
const RELEVO: &str = env!("CARGO_BIN_EXE_relevo");

/// The servers that answer new connections.
fn answering(lab: &Lab) -> BTreeSet<String> {
    let ask = "curl --silent --fail --max-time 5 http://192.168.174.200/";
    let pages = (0..16).map(|_| lab.on("client", ask));
    let names =
        |page: String| ["web1", "web2"].into_iter().find(|name| page.contains(name)).map(str::to_owned);
    pages.filter_map(names).collect()
}

/// Whether the synproxy of a director's kernel has had cookies back from clients.
fn handshakes(lab: &Lab, node: &str) -> bool {
    let stat = lab.on(node, "cat /proc/net/stat/synproxy");
    // A line for each CPU; the fourth column are valid cookies.
    stat.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(3))
        .any(|count| count.contains(|digit| digit != '0'))
}

#[test]
fn lab_synproxy_serves_before_and_after_a_takeover() {
    let lab = Lab::up(FILE);
    let both = BTreeSet::from(["web1".to_owned(), "web2".to_owned()]);
    wait_until("both servers answer", || answering(&lab) == both);
    let active = |lab: &Lab| {
        ["lb1", "lb2"].into_iter().find(|node| lab.on(node, "ip -o address").contains("192.168.174.200"))
    };
    let first = active(&lab).expect("one of them is active");
    assert!(handshakes(&lab, first), "the director answered the clients' SYNs itself");
    let status: Value =
        serde_json::from_str(&lab.on(first, &format!("{RELEVO} --json status"))).expect("JSON");
    assert_eq!(status["services"][0]["path"]["kernel"], true, "{status}");
    assert_eq!(status["services"][0]["path"]["form"], "nat, synproxy", "{status}");

    lab.relevo(&["lab", "fault", "kill", first]);
    wait_until("the other one serves", || {
        active(&lab).is_some_and(|now| now != first) && answering(&lab) == both
    });
    assert!(handshakes(&lab, active(&lab).expect("one of them is active")));
}
