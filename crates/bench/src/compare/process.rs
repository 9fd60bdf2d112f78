//! Child processes on a CPU of their own, which end with us, and what they cost.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a process may take to end by itself.
const END: Duration = Duration::from_secs(5);

/// A process that ends when this value is dropped, and also if we are killed.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `argv` on one CPU. What it says goes to `log`.
    pub(super) fn start(name: &str, cpu: usize, argv: &[String], log: &Path) -> Result<Self> {
        let out = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = pinned(cpu, argv)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// CPU time that all its threads have used, user and system.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        let folder = format!("/proc/{}/task", self.child.id());
        let mut total = 0;
        for task in fs::read_dir(&folder).with_context(|| format!("{} is gone", self.name))? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            total += on_cpu(&text).with_context(|| format!("{folder}/*/schedstat says {text:?}"))?;
        }
        if total == 0 {
            bail!("{folder}/*/schedstat says nothing: this kernel does not count CPU time by nanoseconds");
        }
        Ok(Duration::from_nanos(total))
    }

    /// Its memory, bytes: the proportional set size, in which shared pages count in parts.
    pub(super) fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        pss(&text).with_context(|| format!("{path} does not say Pss"))
    }

    /// An error if it has ended.
    pub(super) fn must_run(&mut self, log: &Path) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let text = fs::read_to_string(log).unwrap_or_default();
        bail!("{} ended ({status}); it said:\n{}", self.name, text.trim_end());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM);
        }
        let end = Instant::now() + END;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command on one CPU that is killed if we die. Both tools replace themselves by the next: it stays one process.
fn pinned(cpu: usize, argv: &[String]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", &cpu.to_string()]).args(argv);
    command
}

/// The first number of `schedstat`: nanoseconds on a CPU (Linux, Documentation/scheduler/sched-stats.rst).
fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The line `Pss:` of `smaps_rollup`, in bytes (proc_pid_smaps(5)).
fn pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// A free port of 127.0.0.1. Somebody else may take it before it is used: the start then fails and says so.
pub(super) fn free_port() -> Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port()))
}

/// Refuses a machine on which nothing can be measured, and names what is missing.
pub(super) fn check_machine(cpus: [usize; 2]) -> Result<()> {
    let tools = [("haproxy", "haproxy"), ("taskset", "util-linux"), ("setpriv", "util-linux")];
    let mut packages: Vec<&str> =
        tools.iter().filter(|(tool, _)| find(tool).is_none()).map(|(_, package)| *package).collect();
    packages.dedup();
    if !packages.is_empty() {
        bail!("missing tools: install the Debian packages {0} (apt-get install {0})", packages.join(" "));
    }
    for cpu in cpus {
        if !pinned(cpu, &["true".to_owned()]).stderr(Stdio::null()).status()?.success() {
            bail!("CPU {cpu} cannot be used: the comparison needs two CPUs, {} and {}", cpus[0], cpus[1]);
        }
    }
    Ok(())
}

/// Where a tool is. Debian keeps haproxy out of an ordinary user's PATH.
pub(super) fn find(tool: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.find_map(|folder| Some(folder.join(tool)).filter(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_a_process_costs() {
        assert_eq!(on_cpu("179166883 8316053 418\n"), Some(179_166_883));
        assert_eq!(on_cpu(""), None);
        assert_eq!(pss("Rss:                5004 kB\nPss:                1020 kB\n"), Some(1020 * 1024));
        assert_eq!(pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn our_own_work_is_counted_and_ends_with_us() {
        let log = std::env::temp_dir().join(format!("relevo-bench-{}.log", std::process::id()));
        let argv = ["sh", "-c", "while :; do :; done"].map(str::to_owned);
        let process = Process::start("a loop", 0, &argv, &log).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let is_busy = || process.cpu_time().is_ok_and(|time| time >= Duration::from_millis(20));
        // It has replaced itself twice by then.
        while !(is_busy() && process.memory().is_ok_and(|bytes| bytes > 4096)) {
            assert!(Instant::now() < deadline, "a busy process uses CPU time and memory");
            thread::sleep(Duration::from_millis(10));
        }
        let folder = format!("/proc/{}", process.child.id());
        drop(process);
        assert!(!Path::new(&folder).exists(), "it ended with its owner");
        fs::remove_file(log).unwrap();
    }
}
