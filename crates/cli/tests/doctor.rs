//! `relevo doctor` in a lab: what it says of a healthy cluster, of two machines with one address, and of a strange router.
//!
//! Needs root.

#[path = "support/apache_lab.rs"]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;

use apache_lab::{Lab, curl};
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/minimal.toml");

/// What it finds on a node, and how it ended.
fn doctor(lab: &Lab, node: &str) -> (Vec<Value>, Option<i32>) {
    let program = env!("CARGO_BIN_EXE_relevo");
    let arguments = ["lab", "exec", node, "--", program, "--json", "doctor", "--file", FILE];
    let output = lab.command(&arguments).output().expect("relevo starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let value: Value = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr)));
    (value["findings"].as_array().expect("findings").clone(), output.status.code())
}

/// Those of a verdict, as `CHECK: SEEN`.
fn of(findings: &[Value], verdict: &str) -> Vec<String> {
    let words = |one: &Value| {
        format!("{}: {}", one["check"].as_str().unwrap_or_default(), one["seen"].as_str().unwrap_or_default())
    };
    findings.iter().filter(|one| one["verdict"] == verdict).map(words).collect()
}

#[test]
fn lab_doctor_says_what_is_wrong_and_nothing_else() {
    let lab = Lab::up("../../examples/minimal.toml");
    assert!(curl(&["http://192.168.1.200/"]).contains("web"), "the cluster serves");

    let (findings, code) = doctor(&lab, "lb2");
    assert_eq!((of(&findings, "bad"), code), (Vec::new(), Some(0)));
    let good = of(&findings, "good");
    for part in [
        "adverts: group main, network lan: heard from lb1",
        "addresses: front (192.168.1.200) is answered for by",
    ] {
        assert!(good.iter().any(|one| one.starts_with(part)), "{part}: {good:#?}");
    }
    assert!(
        good.iter().any(|one| one == "MTU: packets of 1500 bytes reach lb1, web1, web2 on network lan"),
        "{good:#?}"
    );

    // Another machine takes the address by hand.
    lab.relevo(&["lab", "exec", "client", "--", "ip", "address", "add", "192.168.1.200/32", "dev", "lan"]);
    let (findings, code) = doctor(&lab, "lb2");
    let bad = of(&findings, "bad");
    assert_eq!((bad.len(), code), (1, Some(1)), "{bad:#?}");
    assert!(bad[0].starts_with("addresses: front (192.168.1.200) is answered for by several: "), "{bad:#?}");
    lab.relevo(&["lab", "exec", "client", "--", "ip", "address", "del", "192.168.1.200/32", "dev", "lan"]);

    // The machine is not the node that it is said to be.
    let program = env!("CARGO_BIN_EXE_relevo");
    let arguments = ["lab", "exec", "client", "--", program, "doctor", "--file", FILE, "--name", "lb1"];
    let output = lab.command(&arguments).output().expect("relevo starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("no interface has the address 192.168.1.11"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}
