//! Services with `forward = "direct"` in a lab: servers have the addresses on their loopback while their node runs, nobody
//! but a director answers for them, and downloads go on when the director is killed.
//!
//! Needs root.

#[path = "support/apache_lab.rs"]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;
#[path = "support/wait.rs"]
mod wait;

use std::collections::BTreeSet;

use apache_lab::{Lab, curl};
use serde_json::Value;
use wait::wait_until;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/direct/cluster.toml");
const FRONTS: [&str; 2] = ["192.168.173.200", "[fd00:173::200]"];

fn page(lab: &Lab, front: &str) -> String {
    lab.on("client", &format!("curl --silent --fail --max-time 5 http://{front}/"))
}

/// What the doctor says at a node: verdict, check, and what was seen.
fn doctor(lab: &Lab, node: &str) -> Vec<(String, String, String)> {
    let program = env!("CARGO_BIN_EXE_relevo");
    let said = lab.on(node, &format!("{program} --json doctor --file {FILE}"));
    let value: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let word = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let all = value["findings"].as_array().expect("findings").iter();
    all.map(|one| (word(one, "verdict"), word(one, "check"), word(one, "seen"))).collect()
}

/// Packets that came from clients.
fn packets(flows: &str) -> u64 {
    let flows: Value = serde_json::from_str(flows).unwrap_or_default();
    let services = flows["services"].as_array().into_iter().flatten();
    services.filter_map(|service| service["from_clients"]["packets"].as_u64()).sum()
}

#[test]
fn lab_servers_answer_by_themselves() {
    let lab = Lab::up(FILE);
    for front in FRONTS {
        wait_until("both servers answer", || {
            let seen: BTreeSet<String> = (0..16).map(|_| page(&lab, front)).collect();
            seen.iter().any(|page| page.contains("web1")) && seen.iter().any(|page| page.contains("web2"))
        });
    }
    assert!(curl(&["http://192.168.173.200/"]).contains("web"), "this machine is a client, too");
    // Whichever is active.
    let says = |node: &str| lab.on(node, &format!("{} --json flows", env!("CARGO_BIN_EXE_relevo")));
    let used = |node: &&str| packets(&says(node)) > 0;
    let active = ["lb1", "lb2"].into_iter().find(|node| used(node)).expect("one of them carried the flows");
    let flows: Value = serde_json::from_str(&says(active)).expect("relevo flows says JSON");
    for service in flows["services"].as_array().expect("services") {
        assert_eq!(service["form"], "direct", "{flows}");
        assert!(service["pins"].as_u64().unwrap_or(0) > 0, "{flows}");
    }
    assert_eq!(flows["services"].as_array().map(Vec::len), Some(2), "{flows}");

    for node in ["web1", "web2"] {
        let findings = doctor(&lab, node);
        let own: Vec<_> = findings.iter().filter(|(_, check, _)| check == "loopback").collect();
        assert!(own.iter().all(|(verdict, ..)| verdict == "good") && own.len() == 1, "{node}: {findings:#?}");
    }
    let findings = doctor(&lab, "lb2");
    let addresses: Vec<_> = findings.iter().filter(|(_, check, _)| check == "addresses").collect();
    assert!(
        addresses.len() == 2 && addresses.iter().all(|(verdict, ..)| verdict == "good"),
        "nobody but a director answers: {addresses:#?}"
    );
    assert!(
        findings.iter().any(|(_, check, seen)| check == "paths" && seen == "web: the kernel's path, direct"),
        "{findings:#?}"
    );

    let status = lab.on("lb2", &format!("{} --json status", env!("CARGO_BIN_EXE_relevo")));
    let status: Value = serde_json::from_str(&status).expect("relevo status says JSON");
    let wanted = serde_json::json!({ "kernel": true, "form": "direct", "why": "" });
    assert_eq!(status["services"][0]["path"], wanted, "{status}");

    let settings = "sysctl -n net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce";
    let loopback = || lab.on("web1", "ip -o address show dev lo");
    assert!(
        loopback().contains("192.168.173.200/32") && loopback().contains("fd00:173::200/128"),
        "{}",
        loopback()
    );
    assert_eq!(lab.on("web1", settings).split_whitespace().collect::<Vec<_>>(), ["1", "2"]);

    // Somebody takes it away by hand.
    lab.on("web1", "ip address del 192.168.173.200/32 dev lo");
    wait_until("it is set up again", || loopback().contains("192.168.173.200/32"));

    lab.relevo(&["lab", "fault", "stop", "web1"]);
    wait_until("the loopback is as it was", || {
        !loopback().contains("192.168.173.200") && !loopback().contains("fd00:173")
    });
    assert_eq!(lab.on("web1", settings).split_whitespace().collect::<Vec<_>>(), ["0", "0"]);
    wait_until("the other one has all", || (0..8).all(|_| page(&lab, FRONTS[0]).contains("web2")));
}
