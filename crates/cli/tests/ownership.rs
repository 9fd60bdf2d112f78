//! Directors that know who owns an address: one network cut, all cut, a crash, with BFD and without, on the wire.
//!
//! Needs root, and the Debian packages nftables, tcpdump and tshark.

#[path = "support/apache_lab.rs"]
#[allow(dead_code, reason = "this test asks nobody with curl")]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;
#[path = "support/wait.rs"]
mod wait;

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apache_lab::Lab;
use serde_json::Value;
use wait::wait_until;

fn up(more: &str) -> Lab {
    let node = |number: u8| {
        format!(
            "[node.bal{number}]\nroles = [\"director\"]\naddress.lan = \"10.173.1.{number}\"\naddress.heart = \"10.173.2.{number}\"\n"
        )
    };
    let text = format!(
        "name = \"ownership\"\n[network.lan]\nsubnet = \"10.173.1.0/24\"\n[network.heart]\nsubnet = \"10.173.2.0/24\"\n{}{}{}\
         [group.web]\nvrid = 51\nheartbeat = \"heart\"\npreempt = true\n{more}\n\
         [address.front]\nnetwork = \"lan\"\nip = \"10.173.1.200\"\n[peers]\nkey = \"/etc/relevo/peers.key\"\n",
        node(1),
        node(2),
        node(3)
    );
    let file = std::env::temp_dir().join(format!("relevo-ownership-{}.toml", std::process::id()));
    std::fs::write(&file, text).expect("what the lab and relevo gave");
    let lab = Lab::up(file.to_str().expect("what the lab and relevo gave"));
    std::fs::remove_file(file).expect("what the lab and relevo gave");
    lab
}

fn on(lab: &Lab, node: &str, command: &[&str]) -> String {
    let mut arguments = vec!["lab", "exec", node, "--"];
    arguments.extend(command);
    lab.relevo(&arguments)
}

fn status(lab: &Lab, node: &str) -> Value {
    serde_json::from_str(&on(lab, node, &["relevo", "status", "--json"]))
        .expect("what the lab and relevo gave")
}

fn state(lab: &Lab, node: &str) -> String {
    status(lab, node)["groups"][0]["state"].as_str().expect("what the lab and relevo gave").to_owned()
}

fn incidents(lab: &Lab, node: &str) -> Vec<Value> {
    let text = on(
        lab,
        node,
        &["relevo", "incidents", "--json", "--last", "1000", "--state-dir", "/run/relevo/state"],
    );
    serde_json::from_str(&text).expect("what the lab and relevo gave")
}

fn happened(lab: &Lab, node: &str, kind: &str, words: &str) -> bool {
    let is = |one: &Value| {
        one["kind"] == kind && one["text"].as_str().expect("what the lab and relevo gave").contains(words)
    };
    incidents(lab, node).iter().any(is)
}

/// All three agree, and all ways work both ways.
fn wait_for_peace(lab: &Lab, owner: &str) {
    wait_until("all agree", || {
        ["bal1", "bal2", "bal3"].iter().all(|node| {
            let status = status(lab, node);
            let group = &status["groups"][0];
            let opinions = group["opinions"].as_array().expect("what the lab and relevo gave");
            let paths = status["paths"].as_array().expect("what the lab and relevo gave");
            group["active"] == owner
                && opinions.len() == 2
                && opinions.iter().all(|one| one["agrees"] == true)
                && paths.len() == 4
                && paths.iter().all(|path| path["hears"] == true && path["heard"] == true)
        })
    });
}

/// Drops everything that a node sends on some networks, and what comes to it too if it is cut.
fn cut(lab: &Lab, node: &str, networks: &[&str], both: bool) {
    on(lab, node, &["nft", "add", "table", "netdev", "cut"]);
    for network in networks {
        for hook in if both { &["ingress", "egress"][..] } else { &["egress"][..] } {
            let chain = format!(
                "add chain netdev cut {hook}{network} {{ type filter hook {hook} device {network} priority 0; policy drop; }}"
            );
            on(lab, node, &["nft", &chain]);
        }
    }
}

fn mend(lab: &Lab, node: &str) {
    on(lab, node, &["nft", "delete", "table", "netdev", "cut"]);
}

#[test]
fn lab_ownership_one_network_moves_nothing_and_of_two_actives_one_yields() {
    let lab = up("");
    wait_for_peace(&lab, "bal1");
    wait_until("the addresses answer right", || {
        let opinions = status(&lab, "bal1")["groups"][0]["opinions"].clone();
        opinions
            .as_array()
            .expect("what the lab and relevo gave")
            .iter()
            .all(|one| one["answers"][0]["answers"] == "right")
    });

    // The active one sends nothing on the network of the address, and hears: a one-way link.
    cut(&lab, "bal1", &["lan"], false);
    wait_until("the way is told to be one-way", || {
        happened(&lab, "bal2", "path", "bal1 hears this node on lan, but is not heard there")
            && happened(&lab, "bal1", "path", "bal2 is heard on lan, but does not hear this node there")
            && happened(&lab, "bal2", "held-back", "it says on heart that it holds web")
    });
    thread::sleep(Duration::from_secs(3));
    assert_eq!(
        [state(&lab, "bal1"), state(&lab, "bal2"), state(&lab, "bal3")],
        ["active", "backup", "backup"]
    );
    assert!(
        on(&lab, "bal2", &["relevo", "status"])
            .contains("no adverts of bal1 are heard, but it says on heart")
    );
    mend(&lab, "bal1");
    wait_for_peace(&lab, "bal1");

    // It is cut off on both: both sides are active. Then the heartbeat returns alone.
    cut(&lab, "bal1", &["lan", "heart"], true);
    wait_until("the other side has one too", || state(&lab, "bal2") == "active");
    assert_eq!(state(&lab, "bal1"), "active");
    for hook in ["ingressheart", "egressheart"] {
        on(&lab, "bal1", &["nft", "delete", "chain", "netdev", "cut", hook]);
    }
    wait_until("one yields", || state(&lab, "bal2") == "backup");
    assert_eq!([state(&lab, "bal1"), state(&lab, "bal3")], ["active", "backup"]);
    assert!(happened(&lab, "bal1", "two-actives", "web is active here and on bal2: bal1 shall stay active"));
    wait_until("it is told to be over", || happened(&lab, "bal1", "one-active", "bal2 has yielded"));
    mend(&lab, "bal1");
    wait_for_peace(&lab, "bal1");

    // A cable is pulled: the active one says so over the heartbeat, and nobody waits for three adverts.
    lab.relevo(&["lab", "fault", "unplug", "bal1", "lan"]);
    wait_until("the next one takes over", || state(&lab, "bal2") == "active");
    lab.relevo(&["lab", "fault", "plug", "bal1", "lan"]);
    wait_for_peace(&lab, "bal1");
}

#[test]
fn lab_ownership_a_crash_is_noticed_by_bfd_and_a_planned_end_is_none() {
    let lab = up("bfd = true");
    wait_for_peace(&lab, "bal1");
    let sessions = || status(&lab, "bal2")["bfd"].clone();
    wait_until("the sessions are up", || {
        let sessions = sessions();
        sessions.as_array().expect("what the lab and relevo gave").len() == 2
            && sessions
                .as_array()
                .expect("what the lab and relevo gave")
                .iter()
                .all(|one| one["state"] == "up")
    });
    // A new process takes over; the neighbours notice no loss.
    on(&lab, "bal1", &["relevo", "upgrade"]);
    wait_for_peace(&lab, "bal1");
    lab.relevo(&["lab", "fault", "stop", "bal1"]);
    wait_until("the next one has it", || state(&lab, "bal2") == "active");
    lab.relevo(&["lab", "fault", "start", "bal1"]);
    wait_for_peace(&lab, "bal1");
    assert!(!happened(&lab, "bal2", "bfd", ""), "{:?}", incidents(&lab, "bal2"));

    let mut took = Vec::new();
    for _ in 0..5 {
        lab.relevo(&["lab", "fault", "kill", "bal1"]);
        let killed =
            SystemTime::now().duration_since(UNIX_EPOCH).expect("what the lab and relevo gave").as_millis();
        wait_until("the next one has it", || state(&lab, "bal2") == "active");
        let last = incidents(&lab, "bal2")
            .into_iter()
            .rfind(|one| one["kind"] == "active")
            .expect("what the lab and relevo gave");
        took.push(
            u128::from(last["at"].as_u64().expect("what the lab and relevo gave")).saturating_sub(killed),
        );
        lab.relevo(&["lab", "fault", "start", "bal1"]);
        wait_for_peace(&lab, "bal1");
    }
    took.sort_unstable();
    println!("taken over after, ms: {took:?}");
    // Without BFD it is 0.3 s and more.
    assert!(took[2] < 250, "{took:?}");
    assert!(happened(&lab, "bal2", "bfd", "bal1 is silent on lan"));
}

#[test]
fn lab_ownership_tshark_finds_nothing_wrong_with_bfd() {
    let lab = up("bfd = { interval = \"20ms\", multiplier = 3 }");
    wait_for_peace(&lab, "bal1");
    let file = std::env::temp_dir().join(format!("relevo-bfd-{}.pcap", std::process::id()));
    let path = file.to_str().expect("what the lab and relevo gave");
    let capture = lab
        .command(&[
            "lab",
            "exec",
            "bal2",
            "--",
            "timeout",
            "20",
            "tcpdump",
            "-U",
            "-i",
            "lan",
            "-w",
            path,
            "udp port 3784",
        ])
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut capture = capture.expect("what the lab and relevo gave");
    // A whole life: Up, AdminDown, Down, Init, Poll and Final.
    thread::sleep(Duration::from_secs(1));
    lab.relevo(&["lab", "fault", "stop", "bal1"]);
    lab.relevo(&["lab", "fault", "start", "bal1"]);
    wait_for_peace(&lab, "bal1");
    capture.wait().expect("what the lab and relevo gave");
    let tshark = |filter: &str| {
        let output = std::process::Command::new("tshark")
            .args(["-r", path, "-Y", filter])
            .output()
            .expect("what the lab and relevo gave");
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    for state in [
        "bfd.sta == 0",
        "bfd.sta == 1",
        "bfd.sta == 2",
        "bfd.sta == 3",
        "bfd.flags.p == 1",
        "bfd.flags.f == 1",
    ] {
        assert!(tshark(state) > 0, "no packet with {state}");
    }
    let all = tshark("bfd");
    assert!(all > 50 && tshark("ip.ttl == 255 && bfd.detect_time_multiplier == 3") == all, "{all}");
    assert_eq!(tshark("_ws.expert || !bfd"), 0);
    std::fs::remove_file(file).expect("what the lab and relevo gave");
}
