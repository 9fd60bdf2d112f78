//! Labs come up, can be used, and leave nothing behind, however they end.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests only")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relevo_lab::{Lab, LabError, MainState, NodeKind, UpOptions};
use support::{DownGuard, Guard, Machine, example, need_root, program, run_in, stderr, stdout, wait_until};

#[test]
fn lab_minimal_comes_up_can_be_used_and_goes() {
    need_root();
    let before = Machine::look();
    let lab = Guard::up(&example("minimal", "test-minimal"));

    let seen = lab.status().unwrap();
    let directors: Vec<_> = seen.nodes.iter().filter(|node| node.kind == NodeKind::Director).collect();
    assert!(!directors.is_empty());
    for node in &seen.nodes {
        let runs = matches!(node.main, MainState::Running { .. });
        assert_eq!(runs, node.kind != NodeKind::Client, "{node:?}");
    }
    let front = lab.cluster().addresses[0].ip;
    assert_eq!(seen.holders(front).len(), 1, "exactly one node holds the virtual address");

    let name = run_in(&lab, "web1", &["hostname"]);
    assert_eq!(stdout(&name), "web1\n");
    let found = run_in(&lab, "lb1", &["getent", "hosts", "web2"]);
    assert!(stdout(&found).contains("192.168.176."), "{found:?}");
    let page = run_in(&lab, "lb1", &["curl", "-s", "-m", "5", "http://web1/"]);
    assert!(stdout(&page).contains("web1"), "{page:?}");
    assert_eq!(run_in(&lab, "client", &["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(run_in(&lab, "client", &["no-such-program"]).status.code(), Some(127));
    assert!(matches!(lab.command("web9", &[]), Err(LabError::Wrong(text)) if text.contains("web1")));
    // /run is the node's own: nothing of it is seen by others, and nothing of the machine's is touched.
    run_in(&lab, "web1", &["touch", "/run/mine"]);
    assert!(!run_in(&lab, "web2", &["test", "-e", "/run/mine"]).status.success());
    assert!(!Path::new("/run/mine").exists());

    lab.down();
    before.assert_unchanged();
}

#[test]
fn lab_runs_given_commands_with_their_environment() {
    need_root();
    let text = example("minimal", "test-run")
        + "\n[lab.run]\nweb1 = \"echo $RELEVO_NODE at $RELEVO_ADDRESS in $PWD; echo over $RELEVO_ADDRESS_LAN; sleep 1000\"\n";
    // Nobody waits: checks would miss what this command does not do.
    let options = UpOptions {
        program: Some(program()),
        folder: Some("/tmp".into()),
        ready_within: std::time::Duration::ZERO,
        ..UpOptions::default()
    };
    let lab = Guard::from(Lab::up(&text, options).unwrap());
    let log = lab.log_folder().join("web1.log");
    let expected = "web1 at 192.168.176.21 in /tmp\nover 192.168.176.21\n";
    wait_until("the command's words are in the log", || {
        fs::read_to_string(&log).is_ok_and(|text| text == expected)
    });
}

#[test]
fn lab_whose_server_ends_is_undone_and_says_why() {
    need_root();
    let before = Machine::look();
    let text = example("minimal", "test-ends") + "\n[lab.run]\nweb2 = \"echo no such page >&2; exit 3\"\n";
    let options = UpOptions { program: Some(program()), ..UpOptions::default() };
    let Err(LabError::Failed(error)) = Lab::up(&text, options) else { panic!("it cannot be ready") };
    let error = format!("{error:#}");
    assert!(error.contains("what runs on web2 ended (exit code 3)"), "{error}");
    assert!(error.contains("no such page"), "{error}");
    before.assert_unchanged();
}

#[test]
fn lab_goes_after_its_keeper_was_killed() {
    need_root();
    let before = Machine::look();
    let lab = Guard::up(&example("minimal", "test-killed"));
    let _guard = DownGuard("test-killed");
    let keeper = lab.status().unwrap().keeper;
    kill(Pid::from_raw(keeper), Signal::SIGKILL).unwrap();
    wait_until("the keeper is seen as gone", || !lab.is_alive());
    assert!(lab.status().is_err());
    assert!(matches!(Lab::open(Some("test-killed")), Err(LabError::Wrong(_))));
    assert_eq!(Lab::down_by_name(Some("test-killed")).unwrap(), "test-killed");
    before.assert_unchanged();
}

#[test]
fn lab_comes_up_where_a_killed_one_was() {
    need_root();
    let before = Machine::look();
    let text = example("minimal", "test-again");
    let lab = Guard::up(&text);
    kill(Pid::from_raw(lab.status().unwrap().keeper), Signal::SIGKILL).unwrap();
    wait_until("the keeper is seen as gone", || !lab.is_alive());
    let again = Guard::up(&text);
    assert!(again.status().is_ok());
    again.down();
    before.assert_unchanged();
}

#[test]
fn lab_interrupted_while_it_comes_up_is_undone() {
    need_root();
    let before = Machine::look();
    for (line, signal) in
        [("making", Signal::SIGINT), ("starting", Signal::SIGINT), ("switches", Signal::SIGTERM)]
    {
        let _guard = DownGuard("test-break");
        let file = write_file("test-break", &example("s4", "test-break"));
        let mut up = Command::new(program())
            .args(["lab", "up"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(up.stderr.take().unwrap());
        let mut heard = String::new();
        while !heard.contains(line) {
            assert!(said.read_line(&mut heard).unwrap() > 0, "`{line}` was not said: {heard}");
        }
        kill(Pid::from_raw(up.id().try_into().unwrap()), signal).unwrap();
        let _ = said.read_to_string(&mut heard);
        let status = up.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(1), None), "{heard}");
        assert!(heard.contains("interrupted"), "{heard}");
        fs::remove_file(file).unwrap();
        before.assert_unchanged();
    }
}

#[test]
fn lab_in_the_foreground_ends_with_ctrl_c() {
    need_root();
    let before = Machine::look();
    let _guard = DownGuard("test-front");
    let file = write_file("test-front", &example("minimal", "test-front"));
    let mut up = Command::new(program())
        .args(["lab", "up", "--foreground"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(up.stdout.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("Ctrl-C") {
        assert!(said.read_line(&mut heard).unwrap() > 0, "{heard}");
    }
    kill(Pid::from_raw(up.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(0), "{heard}");
    fs::remove_file(file).unwrap();
    before.assert_unchanged();
}

#[test]
fn lab_that_cannot_be_changes_nothing() {
    need_root();
    let text = example("minimal", "test-twice");
    let lab = Guard::up(&text);
    let during = Machine::look();
    let refused = |name: &str, text: &str, expected: &str| {
        let file = write_file(name, text);
        let output = Command::new(program()).args(["lab", "up"]).arg(&file).output().unwrap();
        fs::remove_file(file).unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains(expected), "{output:?}");
    };
    refused("test-twice", &text, "is running already");
    refused("test-other", &example("minimal", "test-other"), "this machine has 192.168.176.");
    refused("test-wrong", "name = \"x\"\nnonsense = 1\n", "nonsense");
    let missing = Command::new(program()).args(["lab", "up", "/no/such/file"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    for arguments in [&["down", "no-such"][..], &["status", "no-such"], &["fault", "kill", "web9"]] {
        let output = Command::new(program()).arg("lab").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    during.assert_unchanged();
    assert!(lab.status().is_ok());
    lab.down();
}

#[test]
fn lab_without_root() {
    need_root();
    let before = Machine::look();
    let file = write_file("test-rootless", &example("s4", "test-rootless"));
    let registry = std::env::temp_dir().join(format!("relevo-lab-test-{}", std::process::id()));
    let relevo = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program()).arg("lab");
        command.args(arguments).current_dir("/").env("RELEVO_LAB_DIR", &registry);
        command.output().unwrap()
    };
    struct Gone<'a>(&'a dyn Fn(&[&str]) -> std::process::Output);
    impl Drop for Gone<'_> {
        fn drop(&mut self) {
            let _ = (self.0)(&["down"]);
        }
    }
    let guard = Gone(&relevo);
    let up = relevo(&["up", file.to_str().unwrap()]);
    assert!(up.status.success(), "{}", stderr(&up));
    assert!(stdout(&up).contains("http://127.0.0.1:"), "{}", stdout(&up));
    let seen: serde_json::Value = serde_json::from_slice(&relevo(&["status", "--json"]).stdout).unwrap();
    assert_eq!(seen["rootless"], true);
    let page = relevo(&["exec", "bal2", "--", "curl", "-s", "-m", "5", "http://serv1/"]);
    assert!(stdout(&page).contains("serv1"), "{page:?}");
    // The forwarder on this machine's own 127.0.0.1 leads to the virtual address, whoever holds it.
    let url = seen["url"].as_str().unwrap();
    let asked = || stdout(&Command::new("curl").args(["-s", "-m", "5", url]).output().unwrap());
    wait_until("the forwarder carries", || asked().contains("serv"));
    let fault = relevo(&["fault", "kill", "bal1"]);
    assert!(fault.status.success(), "{fault:?}");
    wait_until("bal2 takes over", || {
        let held = relevo(&["exec", "bal2", "--", "ip", "-br", "address"]);
        stdout(&held).contains("172.31.76.254")
    });
    wait_until("the forwarder carries to the other director", || asked().contains("serv"));
    drop(guard);
    fs::remove_file(file).unwrap();
    assert!(!registry.exists());
    before.assert_unchanged();
}

fn write_file(name: &str, text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::temp_dir().join(format!("relevo-{name}-{}.toml", std::process::id()));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}
