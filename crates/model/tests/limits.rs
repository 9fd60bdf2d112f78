//! The last value that is right and the first that is wrong, for every range of the cluster file.

use relevo_model::{Severity, diagnostic, read};

const BASE: &str = r#"
name = "shop"
[network.lan]
subnet = "10.1.0.0/24"
[node.lb1]
roles = ["director"]
address.lan = "10.1.0.11"
[node.lb2]
roles = ["director"]
address.lan = "NODE"
[node.web1]
roles = ["server"]
address.lan = "10.1.0.21"
[node.web2]
roles = ["server"]
address.lan = "10.1.0.22"
[group.main]
priority = { lb1 = PRIORITY, lb2 = 1 }
GROUP
[address.front]
network = "lan"
ip = "10.1.0.200"
[service.web]
listen = "front:LISTEN"
mode = "http"
servers = ["web1:80"]
server.web2 = { at = "web2:80", weight = WEIGHT }
SERVICE
[lab.switch.sw]
network = "lan"
stp = true
SWITCH
"#;

const PLAIN: [(&str, &str); 7] = [
    ("NODE", "10.1.0.12"),
    ("PRIORITY", "150"),
    ("GROUP", ""),
    ("LISTEN", "80"),
    ("WEIGHT", "1"),
    ("SERVICE", ""),
    ("SWITCH", ""),
];

/// The findings that make the file unusable, as shown, with one place of it filled in otherwise.
fn errors(place: &str, value: &str) -> String {
    let mut text = BASE.replace(place, value);
    for (other, plain) in PLAIN {
        text = text.replace(other, plain);
    }
    let mut found = read(&text).diagnostics;
    found.retain(|found| found.severity == Severity::Error);
    diagnostic::render("limits.toml", &text, &found)
}

#[test]
fn ranges_end_where_they_should() {
    let long = |bytes: usize| format!("version = 2\npassword = \"{}\"", "x".repeat(bytes));
    let (eight, nine) = (long(8), long(9));
    let table: [(&str, &[&str], &[&str]); 16] = [
        ("NODE", &["10.1.0.1", "10.1.0.254"], &["10.1.0.0", "10.1.0.255", "10.1.1.0", "10.0.255.255"]),
        ("PRIORITY", &["2", "254"], &["1", "0", "255", "-1", "1.5"]),
        ("GROUP", &["vrid = 1", "vrid = 255", "vrid = 0x10"], &["vrid = 0", "vrid = 256", "vrid = -1"]),
        (
            "GROUP",
            &["advert = \"10ms\"", "advert = \"40950ms\""],
            &["advert = \"0ms\"", "advert = \"40960ms\"", "advert = \"15ms\""],
        ),
        (
            "GROUP",
            &["version = 2\nadvert = \"1s\"", "version = 2\nadvert = \"255s\""],
            &["version = 2\nadvert = \"256s\"", "version = 2\nadvert = \"1500ms\""],
        ),
        ("GROUP", &["version = 2", "version = 3"], &["version = 1", "version = 4", "version = \"3\""]),
        ("GROUP", &[&eight], &[&nine, "version = 2\npassword = \"\"", "password = \"x\""]),
        ("LISTEN", &["1", "65535"], &["0", "65536", "+80", "", "8O"]),
        ("WEIGHT", &["0", "256"], &["-1", "257"]),
        (
            "SERVICE",
            &["check = { interval = \"1s\", timeout = \"1s\" }"],
            &["check = { interval = \"1s\", timeout = \"1001ms\" }"],
        ),
        (
            "SERVICE",
            &["check = { interval = \"10ms\" }", "check = { interval = \"1h\" }"],
            &["check = { interval = \"9ms\" }", "check = { interval = \"61m\" }"],
        ),
        (
            "SERVICE",
            &["check = { rise = 1, fall = 1000 }"],
            &["check = { rise = 0 }", "check = { fall = 1001 }"],
        ),
        (
            "SERVICE",
            &["timeout = { client = \"1ms\", server = \"24h\" }"],
            &["timeout = { client = \"0ms\" }", "timeout = { server = \"25h\" }"],
        ),
        (
            "SERVICE",
            &["max_header = \"1KiB\"", "max_header = \"1MiB\""],
            &["max_header = \"1023B\"", "max_header = \"1025KiB\""],
        ),
        (
            "SERVICE",
            &["max_connections = 1", "max_connections = 1000000"],
            &["max_connections = 0", "max_connections = 1000001"],
        ),
        (
            "SWITCH",
            &["priority = 0", "priority = 61440"],
            &["priority = -4096", "priority = 65536", "priority = 4095"],
        ),
    ];
    for (place, right, wrong) in table {
        for value in right {
            let shown = errors(place, value);
            assert!(shown.is_empty(), "{value}\n{shown}");
        }
        for value in wrong {
            assert!(!errors(place, value).is_empty(), "{place} {value:?} was accepted");
        }
    }
}
