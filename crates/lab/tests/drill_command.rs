//! `relevo drill run` as a user meets it: what it prints, how it ends, and what it leaves behind.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests only")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{DownGuard, Guard, Machine, example, need_root, program, run_in, stderr, stdout};

/// A cluster file in a folder that goes when the test ends.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("relevo-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("cluster.toml"),
            example("minimal", name).replace("192.168.176.", "192.168.178."),
        )
        .unwrap();
        Self(folder)
    }

    fn path(&self) -> String {
        self.0.join("cluster.toml").to_string_lossy().into_owned()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn drill(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["drill", "run"]).args(arguments);
    command
}

#[test]
fn lab_drill_run_brings_a_lab_up_and_leaves_nothing() {
    need_root();
    let machine = Machine::look();
    let file = File::new("test-drill");
    let _down = DownGuard("test-drill");
    let output =
        drill(&["director-crash", "--repeat", "2", "--file", &file.path(), "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["drill"], "director-crash");
    assert_eq!(report["passed"], true);
    assert_eq!(report["limits"]["gap_ms"], 1000);
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        for figure in ["gap_ms", "lost", "cut", "takeover_ms", "two_holders_ms"] {
            assert!(run[figure].is_u64(), "{figure}: {run}");
        }
    }
    let gaps: Vec<_> = runs.iter().map(|run| run["gap_ms"].as_u64().unwrap()).collect();
    assert_eq!(report["gap_ms"]["max"].as_u64(), gaps.iter().copied().max());
    assert!(report["gap_ms"]["median"].is_u64());
    machine.assert_unchanged();
}

#[test]
fn lab_drill_run_that_is_interrupted_undoes_the_fault_and_takes_its_lab_down() {
    need_root();
    let machine = Machine::look();
    let file = File::new("test-stop");
    let _down = DownGuard("test-stop");
    let mut child = drill(&["director-crash", "--repeat", "100", "--file", &file.path()])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.find(|line| line.as_ref().unwrap().contains("run 1 of 100: gap")).unwrap();
    assert!(first.is_ok());
    // In the middle of the second run.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("interrupted")), "{rest:?}");
    machine.assert_unchanged();
}

#[test]
fn lab_drill_run_on_a_running_lab_fails_when_the_service_does_and_leaves_the_lab_up() {
    need_root();
    let lab = Guard::up(&example("minimal", "test-fails").replace("192.168.176.", "192.168.178."));
    let program = program().to_string_lossy().into_owned();
    for director in ["lb1", "lb2"] {
        for server in ["web1", "web2"] {
            let output = run_in(&lab, director, &[&program, "server", "stop", server]);
            assert!(output.status.success(), "{}", stderr(&output));
        }
    }
    let output = drill(&["server-crash", "--lab", "test-fails"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("FAIL"), "{}", stdout(&output));
    assert!(stdout(&output).contains("did not answer before the fault"), "{}", stdout(&output));
    assert!(lab.is_alive());
    lab.down();
}

#[test]
fn drill_run_refuses_what_is_not_there() {
    for (arguments, words) in [
        (&["no-such-drill"][..], "there is no drill \"no-such-drill\"; there are switchover"),
        (&["switchover", "--lab", "no-such-lab"], "no-such-lab"),
        (&["switchover", "--file", "/no/such/file.toml"], "/no/such/file.toml"),
        (&["switchover", "--repeat", "0"], "--repeat"),
        (&["switchover", "--all"], "--all"),
        (&[], "NAME"),
    ] {
        let output = drill(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}
