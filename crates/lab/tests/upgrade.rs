//! `relevo upgrade` of both directors of a real lab while clients ask: nobody notices.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests only")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use relevo_api::types::GroupState;
use relevo_lab::report::ProbeEvent;
use relevo_lab::{Fault, Lab, MainState};
use support::{Guard, example, need_root, run_in, stdout, wait_for};

fn pid(lab: &Lab, node: &str) -> i32 {
    match &lab.status().unwrap().node(node).unwrap().main {
        MainState::Running { pid } => *pid,
        other @ (MainState::None | MainState::Frozen { .. } | MainState::Dead { .. }) => {
            panic!("{node}: {other:?}")
        }
    }
}

fn state(lab: &Lab, node: &str) -> Option<GroupState> {
    lab.node_status(node).ok().map(|status| status.groups[0].state)
}

#[test]
fn lab_directors_are_upgraded_under_load_and_nobody_notices() {
    need_root();
    let lab = Guard::up(&example("minimal", "test-upgrade").replace("192.168.176.", "192.168.179."));
    let active = || ["lb1", "lb2"].into_iter().find(|node| state(&lab, node) == Some(GroupState::Active));
    wait_for(&lab, "one is active", |_| active().is_some());
    let first = active().unwrap();
    let second = if first == "lb1" { "lb2" } else { "lb1" };
    let front = lab.cluster().addresses[0].ip;
    let argv = ["relevo", "drill", "probe", "--target", &format!("{front}:80")].map(str::to_owned);
    let mut probe = lab.command("client", &argv).unwrap();
    let mut probe = probe.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(probe.stdout.take().unwrap()).lines();
    let events = std::thread::spawn(move || {
        let events = lines.map_while(Result::ok);
        events.map(|line| serde_json::from_str::<ProbeEvent>(&line).unwrap()).collect::<Vec<_>>()
    });
    std::thread::sleep(Duration::from_millis(500));
    // As the guide says: the backup first, then the active one; twice, to see a next one hand over too.
    for node in [second, first, second, first] {
        let before = pid(&lab, node);
        // Where the other director was active for a moment when the lab came up, connections are still on their way, and it says so.
        let deadline = Instant::now() + Duration::from_secs(20);
        let ran = loop {
            let ran = run_in(&lab, node, &["relevo", "upgrade", "--json"]);
            if ran.status.success() || !stdout(&ran).contains("on their way") || Instant::now() > deadline {
                break ran;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        assert!(ran.status.success(), "{ran:?}");
        let upgraded: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
        assert_eq!(upgraded["from"], before);
        assert_eq!(upgraded["to"], pid(&lab, node), "the keeper follows {node}");
        // Longer than a backup waits before it takes the addresses.
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(state(&lab, first), Some(GroupState::Active), "after the upgrade of {node}");
        assert_eq!(state(&lab, second), Some(GroupState::Backup), "after the upgrade of {node}");
    }
    let transitions = lab.node_status(first).unwrap().groups[0].transitions;
    let stopped = relevo_net::clock::now();
    // A fault means the process that runs now, and a planned end is one.
    lab.fault(Fault::Stop { node: first.to_owned() }).unwrap();
    wait_for(&lab, "it has ended", |seen| {
        seen.node(first).unwrap().main == MainState::Dead { how: "exit code 0".to_owned() }
    });
    wait_for(&lab, "the other one has the address", |_| state(&lab, second) == Some(GroupState::Active));
    lab.fault(Fault::Start { node: first.to_owned() }).unwrap();
    wait_for(&lab, "it is back", |_| state(&lab, first) == Some(GroupState::Backup));
    drop(probe.stdin.take());
    probe.wait().unwrap();
    let events = events.join().unwrap();
    let answers = events.iter().filter(|event| matches!(event, ProbeEvent::Answer { .. })).count();
    let lost: Vec<_> = events.iter().filter(|event| matches!(event, ProbeEvent::Lost { .. })).collect();
    assert!(answers > 300, "{answers}");
    assert!(lost.is_empty(), "{lost:?} of {answers}");
    // The end of a director breaks kept connections, an upgrade does not.
    let is_cut = |event: &&ProbeEvent| matches!(event, ProbeEvent::Cut { at, .. } if *at < stopped);
    let cut: Vec<_> = events.iter().filter(is_cut).collect();
    assert!(cut.is_empty(), "{cut:?}");
    assert!(transitions <= 1, "an upgrade is no change of state: {transitions}");
    lab.down();
}
