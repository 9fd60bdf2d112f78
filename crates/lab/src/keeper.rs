//! The keeper: one process under which everything of a lab runs. PID 1 of its own PID namespace, so that the kernel
//! ends the lab with it, whatever happens.
//!
//! ```text
//!  relevo lab up ──► start (user, network, PID namespaces) ──► run (PID 1: mounts, builds, starts, then waits)
//!        ▲                                                      │
//!        └───────────── lines on a pipe: progress, failed, built ┘
//! ```

mod build;
mod control;
mod jobs;
mod notify;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{dup2_stdout, setsid};

use crate::inside::stage;
use crate::registry::Registry;
use crate::{Result, forward, rootless};

pub(crate) use control::{Answer, Inventory, MainReport, Wish};

/// A line of the pipe to `relevo lab up`: what is being done.
pub(crate) const PROGRESS: &str = "progress ";
/// A line of the pipe: what went wrong; the lab is gone then. `wrong` is for what the user can put right.
pub(crate) const FAILED: &str = "failed ";
/// As `FAILED`, where nothing was even tried.
pub(crate) const WRONG: &str = "wrong ";
/// The line of the pipe after which the lab stands.
pub(crate) const BUILT: &str = "built";

/// The stage `keeper`: leaves the caller's session and namespaces, and starts `init` as PID 1.
pub(crate) fn start(folder: PathBuf) -> ExitCode {
    match enter_namespaces(&Registry::at(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn enter_namespaces(registry: &Registry) -> Result<()> {
    setsid().context("cannot leave the session")?;
    let settings = registry.settings()?;
    if settings.rootless {
        rootless::enter()?;
    }
    unshare(CloneFlags::CLONE_NEWPID).map_err(|errno| rootless::refused("make a PID namespace", errno))?;
    let mut child = stage("init").arg(registry.folder()).spawn().context("cannot start the keeper")?;
    let pid = i32::try_from(child.id()).context("a process id that is none")?;
    let written = registry.write_keeper(pid);
    if written.is_err() {
        // Nobody would find it any more.
        let _ = child.kill();
        let _ = child.wait();
    }
    written
}

/// The stage `init`: the keeper itself.
pub(crate) fn run(folder: PathBuf) -> ExitCode {
    let registry = Registry::at(folder);
    match keep(&registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_failure(&error);
            let _ = writeln!(io::stderr(), "keeper: {error:#}", error = anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}

fn keep(registry: &Registry) -> Result<()> {
    let signals = SigSet::from_iter([Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().context("cannot hold signals back")?;
    own_mounts()?;
    let settings = registry.settings()?;
    let lab = build::build(registry, &settings)?;
    let listener = control::listen(registry)?;
    if settings.rootless {
        forward::start(&lab.cluster).context("cannot forward to the virtual address")?;
    }
    say(BUILT)?;
    let null = OpenOptions::new().write(true).open("/dev/null").context("cannot open /dev/null")?;
    dup2_stdout(null.as_fd()).context("cannot let go of the pipe")?;
    control::serve(lab, &listener, &signals)
}

fn own_mounts() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| rootless::refused("make a mount namespace", errno))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|errno| rootless::refused("make mounts private", errno))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .map_err(|errno| rootless::refused("mount /proc", errno))
}

/// Tells `relevo lab up` something. An error means that it is gone: then the lab must not come up.
fn say(line: &str) -> Result<()> {
    let mut out = io::stdout();
    let told = writeln!(out, "{line}").and_then(|()| out.flush());
    Ok(told.context("whoever brought the lab up is gone")?)
}

fn say_failure(error: &crate::LabError) {
    let (kind, text) = match error {
        crate::LabError::Wrong(text) => (WRONG, text.clone()),
        crate::LabError::Interrupted => (FAILED, error.to_string()),
        crate::LabError::Failed(error) => (FAILED, format!("{error:#}")),
    };
    let _ = say(&format!("{kind}{}", text.replace('\n', " ")));
}
