//! DHCP and DNS with real clients: udhcpc and dig ask, dnsmasq is the name server that the directors ask.
//!
//! Needs root, and the Debian packages udhcpc, bind9-dnsutils and dnsmasq-base.

#[path = "support/apache_lab.rs"]
#[allow(dead_code, reason = "not every test uses all of it")]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use apache_lab::Lab;

const RELEVO: &str = env!("CARGO_BIN_EXE_relevo");
const INSIDE: &str = "@10.173.0.200";

/// Runs a command inside a machine.
fn on(lab: &Lab, node: &str, command: &[&str]) -> Result<String, String> {
    let arguments = [&["lab", "exec", node, "--"], command].concat();
    let output = lab.command(&arguments).output().expect("relevo starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{command:?} on {node}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Who is active, and who is not.
fn directors(lab: &Lab) -> (&'static str, &'static str) {
    let text = on(lab, "bal1", &[RELEVO, "status", "--json"]).expect("the director answers");
    let status: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    if status["groups"][0]["active"] == "bal1" { ("bal1", "bal2") } else { ("bal2", "bal1") }
}

/// The address that a machine with this hardware address gets.
fn lease(lab: &Lab, mac: &str, more: &[&str]) -> Result<String, String> {
    on(lab, "guest", &["ip", "link", "set", "dev", "internal", "address", mac])?;
    let base = ["udhcpc", "-i", "internal", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s", "/bin/true"];
    let arguments = [&["lab", "exec", "guest", "--"], &base[..], more].concat();
    let output = lab.command(&arguments).output().expect("relevo starts");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let ip = said.split("lease of ").nth(1).and_then(|rest| rest.split(' ').next());
    ip.map(str::to_owned).ok_or_else(|| format!("no lease for {mac}: {said}"))
}

/// What dig prints with these arguments, asked by the guest.
fn dig(lab: &Lab, arguments: &[&str]) -> String {
    let command = [&["dig", INSIDE, "+tries=2", "+time=3"], arguments].concat();
    on(lab, "guest", &command).expect("dig gets an answer").trim().to_owned()
}

fn short(lab: &Lab, arguments: &[&str]) -> String {
    dig(lab, &[&["+short"], arguments].concat())
}

/// All leases that a director knows, by address: hardware address and name.
fn leases(lab: &Lab, node: &str) -> BTreeMap<String, (String, String)> {
    let text = on(lab, node, &[RELEVO, "leases", "--json"]).expect("the director answers");
    let list: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let word = |lease: &serde_json::Value, key: &str| lease[key].as_str().unwrap_or_default().to_owned();
    list.iter().map(|lease| (word(lease, "ip"), (word(lease, "mac"), word(lease, "name")))).collect()
}

fn mac(number: usize) -> String {
    format!("52:54:00:73:01:{number:02x}")
}

#[test]
fn lab_leases_outlive_the_director_that_gave_them() {
    let lab = Lab::up("../dhcp-dns/cluster.toml");
    assert_eq!(
        lease(&lab, "52:54:00:73:00:99", &[]).as_deref(),
        Ok("10.173.0.9"),
        "a host with a fixed lease"
    );
    assert_eq!(lease(&lab, "52:54:00:73:00:05", &[]).as_deref(), Ok("10.173.0.5"), "a node with its mac");
    let before: Vec<String> =
        (0..12).map(|number| lease(&lab, &mac(number), &[]).expect("a lease")).collect();
    let mut all = before.clone();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 12, "somebody has the address of another one: {before:?}");
    // Both know the same before and after the death of the active one.
    assert_eq!(leases(&lab, "bal1"), leases(&lab, "bal2"));
    let (first, second) = directors(&lab);
    lab.relevo(&["lab", "fault", "kill", first]);
    // The successor knows after 3 s that nobody else has leases to tell.
    let deadline = Instant::now() + Duration::from_secs(30);
    let again = loop {
        match lease(&lab, &mac(0), &[]) {
            Ok(ip) => break ip,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(again, before[0]);
    for (number, ip) in before.iter().enumerate().skip(1) {
        assert_eq!(lease(&lab, &mac(number), &["-r", ip]).as_ref(), Ok(ip));
    }
    // Newcomers get what is left: 20 addresses in the range.
    let mut all = before.clone();
    all.extend((12..20).map(|number| lease(&lab, &mac(number), &[]).expect("a lease")));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20, "{all:?}");
    assert!(lease(&lab, &mac(20), &[]).is_err(), "there is nothing left");
    // The one that comes back learns what it missed, and answers alike.
    lab.relevo(&["lab", "fault", "start", first]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while on(&lab, first, &[RELEVO, "leases"]).is_err() || leases(&lab, first) != leases(&lab, second) {
        assert!(Instant::now() < deadline, "{:?}\n{:?}", leases(&lab, "bal1"), leases(&lab, "bal2"));
        thread::sleep(Duration::from_millis(200));
    }
    on(&lab, second, &[RELEVO, "switchover", "web"]).expect("the first one takes over");
    assert_eq!(lease(&lab, &mac(7), &[]).as_ref(), Ok(&before[7]));
}

#[test]
fn lab_names_are_answered_and_forwarded() {
    let lab = Lab::up("../dhcp-dns/cluster.toml");
    let laptop = lease(&lab, &mac(1), &["-x", "hostname:Laptop"]).expect("a lease");
    on(&lab, "guest", &["ip", "address", "add", &format!("{laptop}/24"), "dev", "internal"])
        .expect("it is set");
    for (arguments, expected) in [
        (&["web1.dhcpdns.internal"][..], "10.173.0.5"),
        (&["WEB1.DHCPDNS.internal"], "10.173.0.5"),
        (&["bal1.external.dhcpdns.internal"], "192.168.173.11"),
        (&["www.dhcpdns.internal"], "192.168.173.200"),
        (&["printer.dhcpdns.internal"], "10.173.0.9"),
        (&["laptop.dhcpdns.internal"], &laptop),
        (&["-x", "10.173.0.5"], "web1.dhcpdns.internal."),
        (&["-x", &laptop], "laptop.dhcpdns.internal."),
        (&["_http._tcp.shop.dhcpdns.internal", "SRV"], "0 0 80 outside.dhcpdns.internal."),
        (&["web1.dhcpdns.internal", "AAAA"], ""),
        (&["www.example.org"], "203.0.113.5"),
        (&["elsewhere.dhcpdns.internal"], "www.example.org.\n203.0.113.5"),
        (&["+tcp", "www.example.org"], "203.0.113.5"),
    ] {
        assert_eq!(short(&lab, arguments), expected, "{arguments:?}");
    }
    let nobody = dig(&lab, &["nobody.dhcpdns.internal"]);
    assert!(nobody.contains("status: NXDOMAIN") && nobody.contains("SOA"), "{nobody}");
    // Sixty addresses do not fit: cut by UDP, whole by TCP, which dig takes by itself.
    let cut = dig(&lab, &["+noedns", "+ignore", "big.example.org"]);
    assert!(cut.contains(" tc ") && cut.contains("ANSWER: 0"), "{cut}");
    assert_eq!(short(&lab, &["+noedns", "big.example.org"]).lines().count(), 60);
    // What is remembered is not asked again.
    lab.relevo(&["lab", "fault", "server-stop", "resolver"]);
    assert_eq!(short(&lab, &["www.example.org"]), "203.0.113.5");
    let failed = dig(&lab, &["+time=10", "other.example.org"]);
    assert!(failed.contains("status: SERVFAIL"), "{failed}");
    // Strangers get nothing, though they reach the address.
    let stranger = ["dig", INSIDE, "+tries=1", "+time=1", "web1.dhcpdns.internal"];
    on(&lab, "visitor", &["ip", "route", "add", "10.173.0.0/24", "via", "192.168.173.11"]).expect("a route");
    assert!(on(&lab, "visitor", &stranger).is_err());
    // The next director answers the same.
    on(&lab, directors(&lab).0, &[RELEVO, "switchover", "web"]).expect("the other one takes over");
    assert_eq!(short(&lab, &["web1.dhcpdns.internal"]), "10.173.0.5");
    assert_eq!(short(&lab, &["laptop.dhcpdns.internal"]), laptop);
}
