//! What tests of real labs share: the built program, cluster files of their own, waiting, and a look at what is left
//! behind. Other rooms' tests use it by `#[path]`.

#![allow(dead_code, reason = "not every test uses all of it")]
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, unreachable_pub, reason = "tests only")]

mod caretaker;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

pub use caretaker::Caretaker;
use relevo_lab::{Lab, LabStatus, UpOptions};

/// Longest wait for anything.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Ends the test with a clear message where labs cannot be made.
pub fn need_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test makes a lab as root: run it as root (make test does)"
    );
}

/// The built `relevo`: the one named in `RELEVO_BIN`, or the one beside this test, built if need be.
pub fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(built_program).clone()
}

fn built_program() -> PathBuf {
    if let Some(path) = env::var_os("RELEVO_BIN") {
        return PathBuf::from(path);
    }
    let own = env::current_exe().unwrap();
    let folder = own.parent().and_then(Path::parent).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "relevo"]).arg("--target-dir").arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "cannot build relevo");
    folder.join("relevo")
}

/// An example's text with a name and addresses of its own, so that it can run beside the example itself.
pub fn example(name: &str, own_name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(format!("{name}.toml"));
    let text = fs::read_to_string(path).unwrap();
    text.replace(&format!("name = \"{name}\""), &format!("name = \"{own_name}\""))
        .replace("172.16.1.", "172.31.76.")
        .replace("192.168.1.", "192.168.176.")
}

/// A lab that is taken down whatever happens, the end of this process included.
#[derive(Debug)]
pub struct Guard(Option<Lab>, Caretaker);

/// Takes a lab down if this test is ended before it has.
fn caretaker(name: &str) -> Caretaker {
    let program = program();
    Caretaker::new("exec \"$1\" lab down \"$2\"", &[program.to_str().unwrap(), name])
}

impl Guard {
    /// Brings it up.
    pub fn up(text: &str) -> Self {
        let options = UpOptions {
            program: Some(program()),
            progress: Box::new(|line| println!("{line}")),
            ..UpOptions::default()
        };
        let name = relevo_model::read(text).cluster.unwrap().name;
        let caretaker = caretaker(&name);
        // What a run that was killed together with its caretaker left.
        let _ = Lab::down_by_name(Some(&name));
        Self(Some(Lab::up(text, options).unwrap()), caretaker)
    }

    /// Takes care of one that is up.
    pub fn of(lab: Lab) -> Self {
        let caretaker = caretaker(&lab.cluster().name);
        Self(Some(lab), caretaker)
    }

    /// Takes it down as a user would.
    pub fn down(mut self) {
        self.0.take().unwrap().down().unwrap();
    }
}

impl From<Lab> for Guard {
    fn from(lab: Lab) -> Self {
        Self::of(lab)
    }
}

impl std::ops::Deref for Guard {
    type Target = Lab;
    fn deref(&self) -> &Lab {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(lab) = self.0.take() {
            let _ = lab.down();
        }
    }
}

/// A lab by its name, of this user, that is taken down whatever happens. For those that the program itself brings up.
#[derive(Debug)]
pub struct DownGuard<'a>(pub &'a str);

impl Drop for DownGuard<'_> {
    fn drop(&mut self) {
        let _ = Lab::down_by_name(Some(self.0));
    }
}

/// Waits until what is seen of a lab satisfies a condition.
pub fn wait_for(lab: &Lab, what: &str, condition: impl Fn(&LabStatus) -> bool) -> LabStatus {
    let begun = Instant::now();
    loop {
        let seen = lab.status().unwrap();
        if condition(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}\n{seen:#?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a condition holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command in a node and gives what it printed.
pub fn run_in(lab: &Lab, node: &str, argv: &[&str]) -> Output {
    let argv: Vec<String> = argv.iter().map(|&argument| argument.to_owned()).collect();
    lab.command(node, &argv).unwrap().output().unwrap()
}

/// What it printed on stdout.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it printed on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a lab could leave on the machine: interfaces, named namespaces, mounts, processes, the registry's folder.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine(BTreeSet<String>);

impl Machine {
    /// Looks. Of the processes only those of the built program count, and of named namespaces none that belong to other
    /// tests: others come and go on a machine.
    pub fn look() -> Self {
        let mut found = lab_processes();
        let interfaces = fs::read_dir("/sys/class/net").unwrap().flatten();
        let interfaces = interfaces.map(|entry| entry.file_name().to_string_lossy().into_owned());
        found.extend(
            interfaces.filter(|name| !name.starts_with("rvt")).map(|name| format!("interface {name}")),
        );
        let named = Command::new("ip").arg("netns").output().unwrap();
        let named = stdout(&named);
        found.extend(
            named.lines().filter(|line| !line.starts_with("rvt")).map(|line| format!("namespace {line}")),
        );
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mounts = mounts.lines().filter(|line| !line.contains("/run/netns"));
        found.extend(mounts.map(|line| format!("mount {line}")));
        if Path::new("/run/relevo-lab").exists() {
            found.insert(String::from("folder /run/relevo-lab"));
        }
        Self(found)
    }

    /// Looks again: nothing may be there that was not there before. What the kernel takes away in its own time gets a
    /// few seconds.
    pub fn assert_unchanged(&self) {
        let begun = Instant::now();
        loop {
            let after = Self::look();
            let left: Vec<_> = after.0.difference(&self.0).collect();
            if left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "left behind: {left:#?}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn lab_processes() -> BTreeSet<String> {
    let own_space = fs::read_link("/proc/self/ns/pid").unwrap();
    let program = program();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let elsewhere = fs::read_link(path.join("ns/pid")).is_ok_and(|space| space != own_space);
        if elsewhere && fs::read_link(path.join("exe")).is_ok_and(|exe| exe == program) {
            let words = fs::read(path.join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            found.insert(format!("process {} {words}", entry.file_name().to_string_lossy()));
        }
    }
    found
}
