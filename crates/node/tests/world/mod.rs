//! A world for tests: network namespaces `a`, `b` and an observer `c`, joined by a bridge, and what runs in them.
//!
//! Everything is named after this process and goes away with [`World`]; what a killed test left is removed by the next.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod capture;
#[path = "../../../lab/tests/support/caretaker.rs"]
mod caretaker;
pub(crate) mod director;
pub(crate) mod keepalived;
pub(crate) mod watch;

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use caretaker::Caretaker;
use nix::sched::{CloneFlags, setns};

/// The virtual address.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// The virtual address of the other family.
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0xfe);

/// The virtual address on the network `internal`.
pub(crate) const SECOND_VIP: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);

/// The network namespaces of one test.
pub(crate) struct World {
    prefix: String,
    _caretaker: Caretaker,
}

/// The nodes with the last byte of their addresses.
const NODES: [(&str, u8); 3] = [("a", 1), ("b", 2), ("c", 3)];

impl World {
    /// Builds it: 10.77.0.1 to .3 on the interface `public` of `a`, `b` and `c`.
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "lab tests make network namespaces: run them as root");
        remove_stale();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("rvt-{}-{count}", std::process::id());
        let cleanup = "for node in a b c switch; do ip netns del \"$1-$node\"; done";
        let world = Self { _caretaker: Caretaker::new(cleanup, &[&prefix]), prefix };
        for (node, _) in NODES {
            world.ip(&format!("netns add {}", world.netns(node)));
        }
        world.ip(&format!("netns add {}", world.netns("switch")));
        world.inside("switch", "ip link add bridge type bridge mcast_snooping 0");
        world.inside("switch", "ip link set bridge up");
        for (node, _) in NODES {
            world.plug(node);
        }
        world
    }

    /// The same, and IPv6 too: fd77::1 to ::3. Returns when link-local addresses are in use.
    pub(crate) fn of_both_families() -> Self {
        let world = Self::new();
        for (node, last) in NODES {
            world.inside(node, &format!("ip address add fd77::{last}/64 dev public nodad"));
        }
        wait_for("link-local addresses are in use", || {
            NODES.iter().all(|(node, _)| {
                let text = world.inside(node, "ip -6 address show dev public scope link");
                text.contains("fe80::") && !text.contains("tentative")
            })
        });
        world
    }

    /// Connects a node's interface `public`; it must not exist.
    pub(crate) fn plug(&self, node: &str) {
        let (_, last) = NODES.iter().find(|(name, _)| *name == node).expect("a node");
        let (own, switch) = (self.netns(node), self.netns("switch"));
        self.ip(&format!("link add public netns {own} type veth peer name port-{node} netns {switch}"));
        self.inside("switch", &format!("ip link set port-{node} master bridge up"));
        self.inside(node, "ip link set lo up");
        self.inside(node, "ip link set public up");
        self.inside(node, &format!("ip address add 10.77.0.{last}/24 dev public"));
    }

    /// A second network: `a` and `b` are joined by a cable, 10.78.0.1 and .2 on the interface `internal`.
    pub(crate) fn plug_second(&self) {
        let (a, b) = (self.netns("a"), self.netns("b"));
        self.ip(&format!("link add internal netns {a} type veth peer name internal netns {b}"));
        for (node, last) in [("a", 1), ("b", 2)] {
            self.inside(node, &format!("ip address add 10.78.0.{last}/24 dev internal"));
            self.inside(node, "ip link set internal up");
        }
    }

    /// The name of a node's network namespace.
    pub(crate) fn netns(&self, node: &str) -> String {
        format!("{}-{node}", self.prefix)
    }

    /// A command in a node's namespace. It dies with this thread.
    pub(crate) fn command(&self, node: &str, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.netns(node), "setpriv", "--pdeathsig", "KILL", "--"])
            .args(words);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn output(&self, node: &str, line: &str) -> Output {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.command(node, &words).stdin(Stdio::null()).output().expect("ip can be run")
    }

    /// Runs a command that must succeed.
    pub(crate) fn inside(&self, node: &str, line: &str) -> String {
        let output = self.output(node, line);
        assert!(output.status.success(), "{node}: {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Does something in a thread that is inside a node's namespace; sockets opened there stay there.
    pub(crate) fn enter<T: Send + 'static>(
        &self,
        node: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let path = format!("/run/netns/{}", self.netns(node));
        let inside = move || {
            setns(File::open(path).expect("the namespace"), CloneFlags::CLONE_NEWNET).expect("entering it");
            work()
        };
        std::thread::spawn(inside).join().expect("no panic inside")
    }

    /// Whether a node has an address now.
    pub(crate) fn holds(&self, node: &str, ip: impl Into<IpAddr>) -> bool {
        let ip = ip.into();
        let addresses =
            self.enter(node, || relevo_net::route::Route::open().and_then(|mut route| route.addresses()));
        addresses.expect("addresses can be listed").iter().any(|address| address.ip == ip)
    }

    fn ip(&self, arguments: &str) {
        let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("ip can be run");
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for node in ["a", "b", "c", "switch"] {
            let _ = Command::new("ip").args(["netns", "del", &self.netns(node)]).output();
        }
    }
}

/// A child that is killed with its process group when it is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
}

impl Process {
    /// Sends a signal to the whole process group, which the child leads.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        let _ = nix::sys::signal::killpg(group, signal);
    }

    /// Kills the group at once and reaps the child.
    pub(crate) fn kill(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }

    /// Waits for the child to end by itself.
    pub(crate) fn join(&mut self) {
        wait_for("the process ends", || self.child.try_wait().expect("it can be waited for").is_some());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something is so; fails after half a minute.
pub(crate) fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < deadline, "after 30 s still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Removes namespaces of test processes that are gone.
fn remove_stale() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("rvt-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}
