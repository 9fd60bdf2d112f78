//! What passes an interface, read by tshark.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Process, World, wait_for};

/// What passes an interface, in a file.
pub(crate) struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    pub(crate) fn start(world: &World, node: &str) -> Self {
        let file = std::env::temp_dir().join(format!("{}.pcap", world.netns(node)));
        let words = ["tcpdump", "-U", "-Z", "root", "-i", "public", "-w", file.to_str().unwrap()];
        let mut command = world.command(node, &words);
        let child = command.process_group(0).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the capture runs", || file.metadata().is_ok_and(|data| data.len() >= 24));
        Self { process: Process { child }, file }
    }

    /// What tshark says of the packets that pass a filter.
    pub(crate) fn read(&self, filter: &str) -> String {
        std::thread::sleep(Duration::from_millis(300));
        let read = Command::new("tshark")
            .args(["-r", self.file.to_str().unwrap(), "-o", "vrrp.v3_checksum_as_in_v2:FALSE", "-Y", filter])
            .output()
            .expect("tshark can be run: apt-get install tshark");
        let complaint = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success(), "tshark: {filter}: {complaint}");
        String::from_utf8_lossy(&read.stdout).into_owned()
    }

    pub(crate) fn count(&self, filter: &str) -> usize {
        self.read(filter).lines().count()
    }

    /// tshark has nothing to complain about.
    pub(crate) fn assert_clean(&self) {
        let complaints = self
            .read("(vrrp || icmpv6.type == 136 || arp) && !arp.duplicate-address-detected && (_ws.malformed || _ws.expert.severity >= 4194304)");
        assert_eq!(complaints, "", "tshark complains");
        let checksums = self.read("vrrp.checksum.status == 0 || icmpv6.checksum.status == 0");
        assert_eq!(checksums, "", "wrong checksums");
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGKILL);
        if std::thread::panicking() {
            let fields = ["frame.time_relative", "eth.src", "eth.dst", "_ws.col.Info"];
            let fields = fields.iter().flat_map(|field| ["-e", field]);
            let shown = Command::new("tshark")
                .args(["-r", self.file.to_str().unwrap_or_default(), "-T", "fields"])
                .args(fields)
                .output();
            let text =
                shown.map(|shown| String::from_utf8_lossy(&shown.stdout).into_owned()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("what passed:\n{}", lines[lines.len().saturating_sub(150)..].join("\n"));
        }
        let _ = std::fs::remove_file(&self.file);
    }
}
