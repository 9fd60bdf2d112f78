//! A real keepalived as the other router.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::{Process, VIP, World};

/// What a test chooses.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) priority: u8,
    pub(crate) preempt: bool,
    pub(crate) version: u8,
    pub(crate) advert: &'static str,
    pub(crate) password: Option<&'static str>,
}

impl Settings {
    fn text(&self) -> String {
        let preempt = if self.preempt { "" } else { "nopreempt" };
        let password = self.password.map_or(String::new(), |password| {
            format!("authentication {{\n auth_type PASS\n auth_pass {password}\n }}")
        });
        let Self { priority, version, advert, .. } = self;
        format!(
            "global_defs {{\n router_id test\n vrrp_check_unicast_src\n }}\n\
             vrrp_instance web {{\n version {version}\n state BACKUP\n interface public\n virtual_router_id 51\n \
             priority {priority}\n advert_int {advert}\n {preempt}\n {password}\n \
             virtual_ipaddress {{\n {VIP}/32\n }}\n}}\n"
        )
    }
}

/// A running keepalived.
pub(crate) struct Keepalived {
    pub(crate) process: Process,
    log: Arc<Mutex<String>>,
    folder: PathBuf,
}

impl Keepalived {
    /// Starts one in a node's namespace.
    pub(crate) fn start(world: &World, node: &str, settings: &Settings) -> Self {
        Self::start_with(world, node, &settings.text())
    }

    /// Starts one with a configuration.
    pub(crate) fn start_with(world: &World, node: &str, text: &str) -> Self {
        let present = Command::new("keepalived").arg("--version").output();
        assert!(present.is_ok(), "keepalived is not installed: apt-get install keepalived");
        let folder = std::env::temp_dir().join(world.netns(&format!("keepalived-{node}")));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("keepalived.conf");
        std::fs::write(&file, text).unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let words = [
            "keepalived",
            "-n",
            "-l",
            "-D",
            "-P",
            "-f",
            &path("keepalived.conf"),
            "-p",
            &path("pid"),
            "-r",
            &path("vrrp"),
        ];
        let mut child = world
            .command(node, &words)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let node = node.to_owned();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers: [Box<dyn BufRead + Send>; 2] =
            [Box::new(BufReader::new(out)), Box::new(BufReader::new(err))];
        for reader in readers {
            let (node, kept) = (node.clone(), Arc::clone(&log));
            std::thread::spawn(move || {
                for line in reader.lines().map_while(Result::ok) {
                    eprintln!("keepalived {node}: {line}");
                    *kept.lock().unwrap() += &(line + "\n");
                }
            });
        }
        Self { process: Process { child }, log, folder }
    }

    /// Ends it cleanly: it says good-bye by priority 0.
    pub(crate) fn stop(mut self) -> String {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.process.join();
        self.log()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Fails if it found anything wrong with a packet.
    pub(crate) fn assert_content(&self) {
        assert_content(&self.log());
    }
}

/// Fails if keepalived's log finds anything wrong with a packet.
pub(crate) fn assert_content(log: &str) {
    let complaints = [
        "checksum",
        "cksum",
        "invalid",
        "mismatch",
        "expected",
        "wrong",
        "incorrect",
        "drop",
        "bogus",
        "ignor",
        "less than",
        "not in",
        "associated",
        "differ",
    ];
    for line in log.lines() {
        let lower = line.to_lowercase();
        assert!(!complaints.iter().any(|word| lower.contains(word)), "keepalived complains: {line}");
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        self.process.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
