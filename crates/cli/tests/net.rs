//! `relevo net` in a network namespace of the test's own: a change stays when it is confirmed, and goes when it is not, even
//! when whoever made it is gone.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests: a failure is a panic"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

const FILE: &str = r#"
name = "l2"
[network.public]
subnet = "172.16.1.0/24"
[network.internal]
subnet = "10.0.0.0/24"
[node.bal1]
roles = ["director"]
address.public = "172.16.1.250"
address.internal = { ip = "10.0.0.250", interface = "br-int" }
[node.bal2]
roles = ["director"]
address.public = "172.16.1.251"
address.internal = { ip = "10.0.0.251", interface = "br-int" }
[address.front]
network = "public"
ip = "172.16.1.254"
[interface.br-int]
kind = "bridge"
ports = ["eth1", "vx100"]
stp = true
[interface.vx100]
kind = "vxlan"
id = 100
over = "public"
"#;

/// A folder of this test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("relevo-net-test-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("cluster.toml"), FILE).unwrap();
        Self(path)
    }

    fn relevo(&self, action: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relevo"));
        command.args(["net", action]);
        if ["plan", "apply", "verify"].contains(&action) {
            command.arg(self.0.join("cluster.toml")).args(["--name", "bal1"]);
        }
        if !["plan", "verify"].contains(&action) {
            command.arg("--state-dir").arg(self.0.join("state"));
        }
        command.args(more).output().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn alone(work: impl FnOnce() + Send + 'static) {
    assert!(nix::unistd::geteuid().is_root(), "lab tests make network namespaces: run them as root");
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of our own");
        for number in 0..2 {
            ip(&format!("link add eth{number} type veth peer name far{number}"));
            ip(&format!("link set eth{number} up"));
            ip(&format!("link set far{number} up"));
        }
        ip("address add 172.16.1.250/24 dev eth0");
        work();
    };
    std::thread::spawn(inside).join().unwrap();
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether there is such an interface in this thread's network namespace.
fn is_there(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process that ends with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pending(scratch: &Path) -> PathBuf {
    scratch.join("state/net-pending.json")
}

#[test]
fn lab_a_change_stays_when_it_is_confirmed() {
    alone(|| {
        let scratch = Scratch::new("confirmed");
        let planned = scratch.relevo("plan", &[]);
        assert!(
            planned.status.success() && text(&planned).contains("make the vxlan vx100 with an MTU of 1450"),
            "{planned:?}"
        );
        assert!(!is_there("br-int"), "a plan changes nothing");
        assert_eq!(scratch.relevo("verify", &[]).status.code(), Some(1));
        assert_eq!(scratch.relevo("confirm", &[]).status.code(), Some(2), "nothing waits");

        let applied = scratch.relevo("apply", &["--confirm-within", "600s"]);
        assert!(applied.status.success() && text(&applied).contains("relevo net confirm"), "{applied:?}");
        assert!(is_there("br-int") && is_there("vx100"));
        assert_eq!(scratch.relevo("apply", &[]).status.code(), Some(2), "one change at a time");
        assert!(scratch.relevo("confirm", &[]).status.success());
        assert!(!pending(&scratch.0).exists());
        let verified = scratch.relevo("verify", &[]);
        assert!(verified.status.success() && text(&verified).contains("STP root"), "{verified:?}");

        // As after a reboot: what was confirmed is made again.
        ip("link delete br-int");
        ip("link delete vx100");
        let again = scratch.relevo("apply", &["--confirmed"]);
        assert!(again.status.success(), "{again:?}");
        assert!(scratch.relevo("verify", &[]).status.success());
    });
}

#[test]
fn lab_a_change_that_nobody_confirms_undoes_itself() {
    alone(|| {
        let scratch = Scratch::new("unconfirmed");
        let applied = scratch.relevo("apply", &["--confirm-within", "1s"]);
        assert!(applied.status.success(), "{applied:?}");
        assert!(is_there("br-int"));
        wait_for("it is undone", || !is_there("br-int") && !is_there("vx100"));
        wait_for("nothing waits", || !pending(&scratch.0).exists());
        assert_eq!(scratch.relevo("confirm", &[]).status.code(), Some(2), "too late");

        // And at once, when the operator says so.
        assert!(scratch.relevo("apply", &["--confirm-within", "600s"]).status.success());
        let back = scratch.relevo("rollback", &[]);
        assert!(back.status.success(), "{back:?}");
        assert!(!is_there("br-int"));
    });
}

#[test]
fn lab_a_vxlan_travels_in_ipv6() {
    alone(|| {
        let scratch = Scratch::new("ipv6");
        ip("-6 address add 2001:db8:1::250/64 dev eth0 nodad");
        let file = FILE
            .replace("subnet = \"172.16.1.0/24\"", "subnet = [\"172.16.1.0/24\", \"2001:db8:1::/64\"]")
            .replace("public = \"172.16.1.250\"", "public = [\"172.16.1.250\", \"2001:db8:1::250\"]")
            .replace("public = \"172.16.1.251\"", "public = [\"172.16.1.251\", \"2001:db8:1::251\"]")
            + "peers = [\"2001:db8:1::250\", \"2001:db8:1::251\"]\n";
        for over in ["over = \"public\"", "over = \"eth0\""] {
            std::fs::write(scratch.0.join("cluster.toml"), file.replace("over = \"public\"", over)).unwrap();
            let applied = scratch.relevo("apply", &["--confirm-within", "600s"]);
            assert!(applied.status.success(), "{over}: {applied:?}");
            let shown = Command::new("ip").args(["-d", "link", "show", "vx100"]).output().unwrap();
            let shown = text(&shown);
            assert!(shown.contains("local 2001:db8:1::250") && shown.contains("mtu 1430"), "{over}: {shown}");
            let table = Command::new("bridge").args(["fdb", "show", "dev", "vx100"]).output().unwrap();
            let table = text(&table);
            assert!(
                table.contains("dst 2001:db8:1::251") && !table.contains("dst 2001:db8:1::250"),
                "{table}"
            );
            assert!(scratch.relevo("verify", &[]).status.success(), "{over}");
            assert!(scratch.relevo("rollback", &[]).status.success(), "{over}");
        }
    });
}

#[test]
fn lab_the_node_stands_in_for_a_guard_that_was_killed() {
    alone(|| {
        let scratch = Scratch::new("guardless");
        ip("link set lo up");
        let node = Command::new(env!("CARGO_BIN_EXE_relevo"))
            .args(["node", "run", "--name", "bal1", "--file"])
            .arg(scratch.0.join("cluster.toml"))
            .arg("--state-dir")
            .arg(scratch.0.join("state"))
            .arg("--run-dir")
            .arg(scratch.0.join("run"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let _node = Running(node);
        wait_for("the node runs", || scratch.0.join("run/control.sock").exists());
        assert!(scratch.relevo("apply", &["--confirm-within", "3s"]).status.success());
        assert!(is_there("br-int"));
        // The guard is the process whose arguments name this test's folder.
        let state = scratch.0.join("state");
        let is_guard = |pid: &i32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).into_owned();
            words.contains("\0guard\0") && words.contains(state.to_str().unwrap())
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let guards: Vec<i32> = pids.filter(is_guard).collect();
        let [guard] = guards[..] else { panic!("not one guard: {guards:?}") };
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(guard), nix::sys::signal::Signal::SIGKILL).unwrap();
        wait_for("it is undone all the same", || !is_there("br-int") && !is_there("vx100"));
        wait_for("nothing waits", || !pending(&scratch.0).exists());
        let incidents = || std::fs::read_to_string(state.join("incidents.jsonl")).unwrap_or_default();
        wait_for("it is an incident", || incidents().contains("was not confirmed in time"));
    });
}

#[test]
fn lab_what_the_kernel_refuses_leaves_all_as_it_was() {
    alone(|| {
        let scratch = Scratch::new("refused");
        // Two VXLANs with one identifier cannot be: the plan does not know, the kernel does.
        ip("link add other type vxlan id 100 local 172.16.1.250 dev eth0 dstport 4789");
        let applied = scratch.relevo("apply", &[]);
        assert_eq!(applied.status.code(), Some(1), "{applied:?}");
        assert!(text(&applied).contains("all is as it was before"), "{applied:?}");
        assert!(!is_there("br-int") && !is_there("vx100") && !pending(&scratch.0).exists());
    });
}
