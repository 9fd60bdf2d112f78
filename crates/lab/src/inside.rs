//! The stages of a lab that run as processes of their own: this program starts itself again for each, so that every
//! namespace is entered by a process that has one thread.

mod enter;
mod hold;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use nix::sys::signal::SigSet;

use crate::keeper;

pub(crate) use enter::{EnterFrom, enter_command, path_with};
pub(crate) use hold::{CLUSTER_FILE, NOTIFY_SOCKET, PEERS_KEY, PEERS_KEY_FILE, STATE_FOLDER};

/// What comes before a stage's own arguments on the command line.
const STAGE_ARGUMENTS: [&str; 2] = ["lab", "inside"];

/// The running program, by a path that works in every namespace with a `/proc` of its own.
const SELF: &str = "/proc/self/exe";

/// A command that starts this program again for a stage.
pub(crate) fn stage(name: &str) -> Command {
    let mut command = Command::new(SELF);
    command.arg0("relevo").args(STAGE_ARGUMENTS).arg(name);
    command
}

/// The same, started from a program that may be another one (a test).
pub(crate) fn stage_of(program: &std::path::Path, name: &str) -> Command {
    let mut command = Command::new(program);
    command.args(STAGE_ARGUMENTS).arg(name);
    command
}

/// Runs a stage: what the hidden command `relevo lab inside` does. Not for people.
pub fn run_stage(arguments: &[OsString]) -> ExitCode {
    let Some((name, rest)) = arguments.split_first() else { return unknown() };
    // Whoever started this may hold signals back, and what it starts would inherit that.
    let _ = SigSet::empty().thread_set_mask();
    let folder = || rest.first().map(PathBuf::from).unwrap_or_default();
    match name.to_str() {
        Some("keeper") => keeper::start(folder()),
        Some("init") => keeper::run(folder()),
        Some("hold") => hold::run(rest),
        Some("join") => enter::join(rest),
        Some("enter") => enter::enter(rest),
        _ => unknown(),
    }
}

fn unknown() -> ExitCode {
    report("this command is for the lab's own use; see relevo lab --help")
}

/// Prints to stderr, which is a log or the user's terminal, and gives exit code 125 as `env` and `nice` do when they
/// themselves fail.
fn report(message: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "relevo: {message}");
    ExitCode::from(125)
}
