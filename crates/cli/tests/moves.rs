//! Groups that move on purpose while clients have connections, and directors that die: what becomes of the connections.
//!
//! Needs root, and the Debian packages nftables and iproute2.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/apache_lab.rs"]
#[allow(dead_code, reason = "this test asks nobody with curl")]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;
#[path = "moves/ports.rs"]
mod ports;
#[path = "moves/three.rs"]
mod three;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use apache_lab::Lab;
use serde_json::Value;

const V4: &str = "10.174.1.200:80";
const V6: &str = "[fd00:174::200]:80";

fn up() -> Lab {
    up_among(&[])
}

fn up_among(environment: &[(&str, &str)]) -> Lab {
    up_of(&FILE.replace("# peers", PEERS), environment)
}

const PEERS: &str = "[peers]\nkey = \"/etc/relevo/peers.key\"";
const FILE: &str = "name = \"moves-test\"
# peers
[network.lan]
subnet = [\"10.174.1.0/24\", \"fd00:174::/64\"]
[node]
lb1 = { roles = [\"director\"], address.lan = [\"10.174.1.11\", \"fd00:174::11\"] }
lb2 = { roles = [\"director\"], address.lan = [\"10.174.1.12\", \"fd00:174::12\"] }
# lb3
web1 = { roles = [\"server\"], address.lan = \"10.174.1.21\" }
[group.web]
vrid = 74
[address.front]
network = \"lan\"
ip = \"10.174.1.200\"
[address.front6]
network = \"lan\"
ip = \"fd00:174::200\"
[service.web]
listen = [\"front:80\", \"front6:80\"]
mode = \"http\"
servers = [\"web1:80\"]
[lab.client.user]
network = \"lan\"
ip = \"10.174.1.100\"
";

fn up_of(text: &str, environment: &[(&str, &str)]) -> Lab {
    let file = std::env::temp_dir().join(format!("relevo-moves-{}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let lab = Lab::up_among(file.to_str().unwrap(), environment);
    std::fs::remove_file(file).unwrap();
    on(&lab, "user", &["ip", "address", "add", "fd00:174::100/64", "dev", "lan", "nodad"]);
    lab
}

fn on(lab: &Lab, node: &str, command: &[&str]) -> String {
    let mut arguments = vec!["lab", "exec", node, "--"];
    arguments.extend(command);
    lab.relevo(&arguments)
}

fn group(lab: &Lab, node: &str) -> Value {
    let text = on(lab, node, &["relevo", "status", "--json"]);
    let status: Value = serde_json::from_str(&text).unwrap();
    status["groups"][0].clone()
}

fn active(lab: &Lab) -> (&'static str, &'static str) {
    let is = |node: &str| group(lab, node)["state"] == "active";
    wait_until("one director is active", || is("lb1") != is("lb2"));
    if is("lb1") { ("lb1", "lb2") } else { ("lb2", "lb1") }
}

fn kind(lab: &Lab, node: &str) -> String {
    group(lab, node)["moves"]["kind"].as_str().unwrap_or("none").to_owned()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "not within 60 s: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Connections to an address that are there for long.
struct Client {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Client {
    fn new(lab: &Lab, target: &str) -> Self {
        let arguments = ["lab", "exec", "user", "--", "relevo", "drill", "flows", "--target", target];
        let mut command = lab.command(&arguments);
        command.args(["--downloads", "10", "--kept", "10", "--pause-ms", "200", "--web"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "\"ready\"");
        Self { child, lines }
    }

    /// How they fared.
    fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        self.child.wait().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        event["end"].clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_silent(lab: &Lab, node: &str) -> bool {
    on(lab, node, &["ip", "address", "show", "dev", "lo"]).contains("10.174.1.200")
}

fn tables(lab: &Lab, node: &str) -> String {
    on(lab, node, &["nft", "list", "tables"])
}

#[test]
fn lab_moves_back_and_forth_cut_nothing_in_both_families() {
    back_and_forth(&up());
}

#[test]
fn lab_moves_of_virtual_hardware_addresses_cut_nothing_in_both_families() {
    let file = FILE.replace("# peers", PEERS).replace("vrid = 74", "vrid = 74\nmac = \"virtual\"");
    let lab = up_of(&file, &[]);
    let neighbour = || on(&lab, "user", &["ip", "neighbour", "show", "10.174.1.200"]);
    // Whoever serves, clients know the same hardware address.
    Client::new(&lab, V4).end();
    assert!(neighbour().contains("00:00:5e:00:01:4a"), "{}", neighbour());
    back_and_forth(&lab);
    assert!(neighbour().contains("00:00:5e:00:01:4a"), "{}", neighbour());
}

fn back_and_forth(lab: &Lab) {
    for target in [V4, V6] {
        let client = Client::new(lab, target);
        let (first, second) = active(lab);
        on(lab, first, &["relevo", "switchover", "web"]);
        wait_until("the former owner drains", || kind(lab, first) == "draining");
        wait_until("the new owner forwards to it", || kind(lab, second) == "forwarding");
        assert!(has_silent(lab, first));
        assert!(tables(lab, first).contains("table arp relevo_moves"));
        // In the middle, in both ways that an operator has.
        on(lab, second, &["relevo", "switchover", "web"]);
        wait_until("it is back", || active(lab).0 == first && !has_silent(lab, first));
        on(lab, second, &["relevo", "switchover", "web", "--to", second]);
        wait_until("it is there again", || active(lab).0 == second);
        thread::sleep(Duration::from_secs(2));
        let end = client.end();
        assert_eq!((&end["lost"], &end["wrong"]), (&0.into(), &0.into()), "{target}: {end}");
        assert!(end["anew"].as_u64().unwrap() > 0, "clients were asked to come anew: {end}");
        wait_until("nothing is left", || [first, second].iter().all(|node| kind(lab, node) == "ready"));
        assert!(!has_silent(lab, first) && !has_silent(lab, second));
        assert!(!tables(lab, first).contains("table arp relevo_moves"));
    }
}

/// An `nft` before the real one that is slow, as on a machine that is busy; removed when it is dropped.
struct SlowNft(std::path::PathBuf);

impl SlowNft {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("relevo-moves-nft-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("nft");
        std::fs::write(&program, "#!/bin/sh\nsleep 0.3\nPATH=${PATH#*:} exec nft \"$@\"\n").unwrap();
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }
}

impl Drop for SlowNft {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn lab_moves_back_cut_nothing_where_the_rules_come_late() {
    let slow = SlowNft::new();
    let path = format!("{}:{}", slow.0.display(), std::env::var("PATH").unwrap());
    let lab = up_among(&[("PATH", &path)]);
    let client = Client::new(&lab, V4);
    let (first, second) = active(&lab);
    on(&lab, first, &["relevo", "switchover", "web"]);
    wait_until("the former owner drains", || kind(&lab, first) == "draining");
    // New connections come to the new owner.
    thread::sleep(Duration::from_secs(1));
    on(&lab, second, &["relevo", "switchover", "web"]);
    wait_until("it is back", || active(&lab).0 == first);
    thread::sleep(Duration::from_secs(3));
    let end = client.end();
    assert_eq!((&end["lost"], &end["wrong"]), (&0.into(), &0.into()), "{end}");
}

#[test]
fn lab_moves_a_stopped_director_finishes_and_leaves_nothing() {
    stop_one(&up());
}

/// The rules are set up by a program that a busy machine keeps waiting; the director has ended long before.
#[test]
fn lab_moves_a_stopped_director_finishes_where_the_rules_come_late() {
    let slow = SlowNft::new();
    let path = format!("{}:{}", slow.0.display(), std::env::var("PATH").unwrap());
    stop_one(&up_among(&[("PATH", &path)]));
}

fn stop_one(lab: &Lab) {
    let client = Client::new(lab, V4);
    let (first, second) = active(lab);
    lab.relevo(&["lab", "fault", "stop", first]);
    wait_until("the other one is active", || group(lab, second)["state"] == "active");
    wait_until("the stopped one drains", || has_silent(lab, first));
    thread::sleep(Duration::from_secs(5));
    assert!(has_silent(lab, first), "downloads run");
    let end = client.end();
    assert_eq!((&end["lost"], &end["wrong"]), (&0.into(), &0.into()), "{end}");
    wait_until("it has ended", || !has_silent(lab, first) && tables(lab, first).trim().is_empty());
    wait_until("the other one has heard of it", || kind(lab, second) == "ready");
}

#[test]
fn lab_moves_whoever_dies_while_it_drains_leaves_nothing_and_its_clients_are_told() {
    let lab = up();
    let client = Client::new(&lab, V4);
    let (first, second) = active(&lab);
    on(&lab, first, &["relevo", "switchover", "web"]);
    wait_until("the former owner drains", || kind(&lab, first) == "draining");
    lab.relevo(&["lab", "fault", "kill", first]);
    wait_until("the new owner does not forward any more", || kind(&lab, second) == "ready");
    wait_until("the lease has ended", || !has_silent(&lab, first));
    lab.relevo(&["lab", "fault", "start", first]);
    wait_until("it is backup", || group(&lab, first)["state"] == "backup");
    assert!(!tables(&lab, first).contains("table arp relevo_moves"));
    let end = client.end();
    assert!(end["lost"].as_u64().unwrap() >= 1, "downloads died: {end}");
}

/// Unplugs the first director; the second one tells all clients.
fn unplug(lab: &Lab, client: Client, first: &str, second: &str) {
    lab.relevo(&["lab", "fault", "unplug", first, "lan"]);
    wait_until("the other one is active", || group(lab, second)["state"] == "active");
    let established = || on(lab, "user", &["ss", "-Htn", "state", "established"]);
    wait_until("all clients know", || established().trim().is_empty());
    let end = client.end();
    // A download that waits for its next piece at the end does not look any more.
    assert!(end["lost"].as_u64().unwrap() >= 10, "{end}");
    assert_eq!(end["lost"], end["reset"], "{end}");
}

#[test]
fn lab_moves_clients_that_only_wait_are_told_when_their_director_is_unplugged() {
    let lab = up();
    for target in [V4, V6] {
        let client = Client::new(&lab, target);
        // The other director has heard of them.
        thread::sleep(Duration::from_secs(3));
        let (first, second) = active(&lab);
        unplug(&lab, client, first, second);
        lab.relevo(&["lab", "fault", "plug", first, "lan"]);
        wait_until("it is backup", || group(&lab, first)["state"] == "backup");
    }
}
