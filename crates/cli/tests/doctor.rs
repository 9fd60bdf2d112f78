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
    doctor_of(lab, node, FILE)
}

fn doctor_of(lab: &Lab, node: &str, file: &str) -> (Vec<Value>, Option<i32>) {
    let program = env!("CARGO_BIN_EXE_relevo");
    let arguments = ["lab", "exec", node, "--", program, "--json", "doctor", "--file", file];
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

/// A service that would take the kernel's path, on a machine whose node does not run.
const KERNEL: &str = "name = \"doctor-paths\"
[network.lan]
subnet = \"192.168.1.0/24\"
[node]
lb2 = { roles = [\"director\"], address.lan = \"192.168.1.12\" }
web1 = { roles = [\"server\"], address.lan = \"192.168.1.21\" }
[group.main]
vrid = 77
[address.other]
network = \"lan\"
ip = \"192.168.1.199\"
[service.raw]
listen = \"other:81\"
mode = \"tcp\"
forward = \"direct\"
servers = [\"web1:81\"]
";

#[test]
fn lab_doctor_says_which_path_a_service_would_take_and_what_it_lacks() {
    let lab = Lab::up("../../examples/minimal.toml");
    let file = std::env::temp_dir().join(format!("relevo-doctor-{}.toml", std::process::id()));
    std::fs::write(&file, KERNEL).expect("a file");
    let program = env!("CARGO_BIN_EXE_relevo");
    let look = |before: &[&str]| {
        let mut arguments = vec!["lab", "exec", "lb2", "--"];
        arguments.extend(before);
        arguments.extend([program, "doctor", "--all", "--listen", "0", "--run-dir", "/nonexistent"]);
        arguments.extend(["--name", "lb2", "--file", file.to_str().expect("UTF-8")]);
        let output = lab.command(&arguments).output().expect("relevo starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = look(&[]);
    assert!(said.contains("raw: the kernel's path, direct"), "{said}");
    let said = look(&[
        "setpriv",
        "--bounding-set",
        "-all",
        "--inh-caps",
        "-all",
        "--reuid",
        "65534",
        "--clear-groups",
    ]);
    std::fs::remove_file(&file).expect("it is there");
    let wanted = "raw: could take the kernel's path, and would be served in userspace: no permission to change nftables";
    assert!(said.contains(wanted), "{said}");
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
        "paths: web: in userspace: its mode is http",
        "addresses: front (192.168.1.200) is answered for by",
    ] {
        assert!(good.iter().any(|one| one.starts_with(part)), "{part}: {good:#?}");
    }
    assert!(
        good.iter().any(|one| one == "MTU: packets of 1500 bytes reach lb1, web1, web2 on network lan"),
        "{good:#?}"
    );

    let program = env!("CARGO_BIN_EXE_relevo");
    let status = lab.relevo(&["lab", "exec", "lb2", "--", program, "--json", "status"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let wanted = serde_json::json!({ "kernel": false, "why": "its mode is http" });
    assert_eq!(status["services"][0]["path"], wanted, "{status}");

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

#[test]
fn lab_doctor_looks_at_virtual_hardware_addresses_and_closed_ones() {
    let path = std::env::temp_dir().join(format!("relevo-doctor-{}.toml", std::process::id()));
    let text = "name = \"doctor\"\n[network.lan]\nsubnet = [\"192.168.7.0/24\", \"fd77:7::/64\"]\n\
        [node.lb1]\nroles = [\"director\"]\naddress.lan = [\"192.168.7.11\", \"fd77:7::11\"]\n\
        [node.lb2]\nroles = [\"director\"]\naddress.lan = [\"192.168.7.12\", \"fd77:7::12\"]\n\
        [group.web]\nmac = \"virtual\"\naccept = false\nmulticast = [\"224.0.0.118\", \"ff02::118\"]\n\
        [address.front]\nnetwork = \"lan\"\nip = \"192.168.7.200\"\n\
        [address.front6]\nnetwork = \"lan\"\nip = \"fd77:7::200\"\n\
        [peers]\nkey = \"/run/relevo/peers.key\"\n";
    std::fs::write(&path, text).expect("the file");
    let file = path.to_string_lossy().into_owned();
    let lab = Lab::up(&file);
    let program = env!("CARGO_BIN_EXE_relevo");
    let on = |node: &str, command: &[&str]| lab.relevo(&[&["lab", "exec", node, "--"], command].concat());
    let status: Value = serde_json::from_str(&on("lb1", &[program, "status", "--json"])).expect("a status");
    let [active, backup] =
        if status["groups"][0]["state"] == "active" { ["lb1", "lb2"] } else { ["lb2", "lb1"] };

    let (findings, code) = doctor_of(&lab, backup, &file);
    assert_eq!((of(&findings, "bad"), code), (Vec::new(), Some(0)));
    let good = of(&findings, "good");
    for part in [
        "accept: packets to addresses with accept = false are dropped",
        "virtual MAC: the kernel has macvlan",
        "virtual MAC: lan: neighbours are answered from one hardware address alone",
        "adverts: group web, network lan: heard from",
        "adverts: group web, network lan (IPv6): heard from",
    ] {
        assert!(good.iter().any(|one| one.starts_with(part)), "{part}: {good:#?}");
    }

    // What somebody else spoils is found, and the remedy that is told helps.
    on(active, &["nft", "delete", "table", "inet", "relevo-accept"]);
    on(active, &["sysctl", "-qw", "net.ipv4.conf.lan.arp_ignore=0"]);
    let (findings, code) = doctor_of(&lab, active, &file);
    let bad = of(&findings, "bad");
    assert_eq!((bad.len(), code), (2, Some(1)), "{bad:#?}");
    for finding in findings.iter().filter(|one| one["verdict"] == "bad") {
        let remedy = finding["remedy"].as_str().expect("a remedy").split(',').next().unwrap_or_default();
        on(active, &["sh", "-c", remedy]);
    }
    let (findings, code) = doctor_of(&lab, active, &file);
    assert_eq!((of(&findings, "bad"), code), (Vec::new(), Some(0)));
    std::fs::remove_file(path).expect("the file");
}
