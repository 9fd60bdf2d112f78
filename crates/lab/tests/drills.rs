//! Every drill, played once on real labs: the web cluster S4 with Apache and PHP, and one whose address comes back.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests only")]

mod support;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use relevo_lab::drill::{Facts, RunOptions, catalogue, find, run};
use relevo_lab::report::{DrillReport, Run, render, timeline};
use relevo_lab::{Lab, UpOptions};
use support::{Guard, Machine, example, need_root, program};

/// Plays a drill once and shows its report, so that a failure can be understood.
fn play(lab: &Lab, name: &str) -> DrillReport {
    let options = RunOptions::new(program());
    let outcome =
        run(lab, find(name).unwrap(), &options, &AtomicBool::new(false), |_, run| println!("{run:?}"));
    let outcome = outcome.unwrap();
    println!("{}", render(&outcome.report));
    if let Some(record) = &outcome.worst {
        println!("{}", timeline(record));
    }
    outcome.report
}

/// How often a drill is played before it counts as failed: its limits are times, and a machine that does other things at
/// that moment may be late once. What is broken fails each time.
const TRIES: usize = 3;

fn passes(lab: &Lab, name: &str) -> Run {
    let mut report = play(lab, name);
    for _ in 1..TRIES {
        if report.passed {
            break;
        }
        println!("{name} did not keep its limits: once more");
        report = play(lab, name);
    }
    assert!(report.passed, "{name}, {TRIES} times: {:#?}", report.findings);
    assert_eq!(report.skipped, None, "{name}");
    report.runs.into_iter().next().unwrap()
}

/// The lab of `tests/apache/s4-apache.toml` with a name and addresses of its own.
fn s4_with_apache() -> Guard {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let folder = sources.join("tests/apache");
    let text = std::fs::read_to_string(folder.join("s4-apache.toml")).unwrap();
    let text =
        text.replace("name = \"s4-apache\"", "name = \"test-drills\"").replace("172.16.1.", "172.31.77.");
    let options = UpOptions { program: Some(program()), folder: Some(folder), ..UpOptions::default() };
    Guard::of(Lab::up(&text, options).unwrap())
}

#[test]
fn lab_drills_pass_on_s4_with_apache_and_php() {
    need_root();
    let machine = Machine::look();
    let lab = s4_with_apache();
    for drill in catalogue() {
        // What this cluster does not have.
        if ["cookie-stays", "gateway-moves", "heartbeat-cut", "switchover-flows"].contains(&drill.name)
            || drill.name.starts_with("flows-")
        {
            assert!(play(&lab, drill.name).skipped.is_some(), "{}", drill.name);
            continue;
        }
        if drill.rounds(lab.cluster(), &Facts::new(lab.cluster()).unwrap()) > 1 {
            // They take minutes, and have tests of their own.
            continue;
        }
        if drill.name == "load-peak" {
            // Three Apaches of 64 workers are not for 200 clients; the test on S2 plays it with servers that are.
            continue;
        }
        let run = passes(&lab, drill.name);
        assert!(run.answers > 50, "{}: {run:?}", drill.name);
        let moves =
            ["switchover", "switch-dies"].contains(&drill.name) || drill.name.starts_with("director-");
        // A spanning tree that is calculated anew may part the directors for a moment.
        if !["root-change", "cost-change", "split"].contains(&drill.name) {
            assert_eq!(run.takeover_ms.is_some(), moves, "{}: {run:?}", drill.name);
        }
        assert_ne!(run.from, run.to, "{}: {run:?}", drill.name);
        match drill.name {
            // Kept connections live in one director's memory.
            "director-crash" => assert!(run.cut >= 4, "{run:?}"),
            "server-crash" | "server-process" | "load-peak" => assert_eq!(run.servers.len(), 3, "{run:?}"),
            "servers-all-down" => assert!(run.errors > 100, "{run:?}"),
            _ => {}
        }
    }
    lab.down();
    machine.assert_unchanged();
}

/// S4 with addresses of its own.
fn s4(name: &str, public: &str) -> Guard {
    let text = example("s4", name).replace("172.31.76.", public).replace("10.0.0.", "10.68.0.");
    Guard::up(&text)
}

#[test]
fn lab_each_switch_of_s4_may_die() {
    need_root();
    let lab = s4("test-switches", "172.31.78.");
    let run = passes(&lab, "each-switch");
    assert!(run.notes.iter().any(|note| note.starts_with("without swout1, asked by user2")), "{run:?}");
    assert_eq!(rounds(&lab, "each-switch"), 6, "four outside, two inside");
    lab.down();
}

#[test]
fn lab_each_link_of_s4_may_be_cut() {
    need_root();
    let lab = s4("test-links", "172.31.79.");
    let run = passes(&lab, "each-link");
    assert!(run.notes.iter().any(|note| note.starts_with("after: root swout2")), "{run:?}");
    assert_eq!(rounds(&lab, "each-link"), 5);
    lab.down();
}

/// How many runs make one round.
fn rounds(lab: &Lab, name: &str) -> u32 {
    find(name).unwrap().rounds(lab.cluster(), &Facts::new(lab.cluster()).unwrap())
}

#[test]
fn lab_drills_of_servers_pass_on_s2_with_three_servers_on_each_host() {
    need_root();
    let text =
        example("s2", "test-s2").replace("10.0.100.", "10.66.100.").replace("192.168.176.", "192.168.178.");
    let lab = Guard::up(&text);
    for name in ["server-process", "host-unplug", "load-peak", "cookie-stays"] {
        let run = passes(&lab, name);
        assert_eq!(run.servers.len(), 9, "each server is a process of its own: {run:?}");
        assert_eq!((run.takeover_ms, run.undo_moves), (None, 0), "{name}: {run:?}");
    }
    lab.down();
}

#[test]
fn lab_servers_of_s1_reach_clients_through_whoever_is_active() {
    need_root();
    let text =
        example("s1", "test-s1").replace("10.0.10.", "10.66.10.").replace("192.168.176.", "192.168.180.");
    let lab = Guard::up(&text);
    let run = passes(&lab, "gateway-moves");
    assert!(run.takeover_ms.is_some() && run.cut == 0, "{run:?}");
    assert_eq!(run.servers.len(), 1, "the client's machine answered: {run:?}");
    // Its service takes the kernel's path.
    for drill in catalogue().iter().filter(|drill| drill.name.starts_with("flows-")) {
        // Times are the drill's, which is for a quiet machine.
        let report = play(&lab, drill.name);
        let run = report.runs.first().unwrap();
        let living = run.flows.as_ref().unwrap().living();
        assert!(run.takeover_ms.is_some() && run.problem.is_none(), "{}: {run:?}", drill.name);
        assert!(living.flows > 50 && living.lost == 0, "{}: {run:?}", drill.name);
    }
    lab.down();
}

#[test]
fn lab_directors_of_s2_that_are_split_agree_again_and_the_hosts_keep_their_way_out() {
    need_root();
    let text = example("s2", "test-split")
        .replace("10.0.100.", "10.67.100.")
        .replace("10.0.50.", "10.67.50.")
        .replace("192.168.176.", "192.168.182.");
    let lab = Guard::up(&text);
    let run = passes(&lab, "split");
    let told = |words: &str| run.notes.iter().filter(|note| note.contains(words)).count();
    assert_eq!(told("stays active alone"), 3, "by one way, by the other, and when all is mended: {run:?}");
    assert!(told("is backup now") >= 2 && told("is active here and on") >= 1, "{run:?}");
    let run = passes(&lab, "gateway-moves");
    assert!(run.takeover_ms.is_some() && run.cut == 0, "{run:?}");
    // The first service that is asked has a cookie and is no flow of the kernel's path; another one is.
    let run = passes(&lab, "flows-survive");
    assert!(run.notes.iter().any(|note| note.contains("asks service replica-tcp")), "{run:?}");
    lab.down();
}

#[test]
fn lab_drills_of_a_preempting_group_move_the_address_back() {
    need_root();
    let text = example("minimal", "test-return").replace("192.168.176.", "192.168.177.");
    let lab = Guard::up(&format!("{text}\n[group.main]\npreempt = true\n"));
    let run = passes(&lab, "return");
    assert!(run.takeover_ms.is_some(), "it moved back: {run:?}");
    let crash = passes(&lab, "director-crash");
    assert_eq!(crash.undo_moves, 1, "it moved back: {crash:?}");
    for name in ["link-cut", "switch-dies"] {
        let report = play(&lab, name);
        assert!(report.passed && report.runs.is_empty());
        assert!(report.skipped.unwrap().contains("one switch"));
    }
    lab.down();
}
