//! Enters the namespaces of a lab and of one of its nodes, then becomes the wanted command.
//!
//! From inside the lab (the keeper's own children) one step is enough: `enter`. From outside there are two: `join`
//! enters the lab's user and PID namespaces, which only a child can be in, and starts `enter` as that child.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use super::{report, stage, stage_of};

/// Where programs are searched if nobody says.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a command that enters a node is started from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EnterFrom<'a> {
    /// From the keeper.
    Keeper,
    /// From outside: the program and the keeper's process id.
    Outside(&'a Path, i32),
}

/// A command that runs what is appended to it inside the namespaces that `holder` holds; `holder` is a process id
/// inside the lab. With `whole`, in all its namespaces; else in its network only, with the keeper's files.
pub(crate) fn enter_command(from: EnterFrom<'_>, holder: i32, whole: bool) -> Command {
    let mut command = match from {
        EnterFrom::Keeper => stage("enter"),
        EnterFrom::Outside(program, keeper) => {
            let mut command = stage_of(program, "join");
            command.arg(keeper.to_string());
            command
        }
    };
    command.arg(holder.to_string()).arg(if whole { "whole" } else { "network" });
    command
}

/// The PATH under which a node's commands also find `program`, by its own name and after all others; `None`: it stays
/// as it is.
pub(crate) fn path_with(path: Option<OsString>, program: &Path) -> Option<(&'static str, OsString)> {
    let folder = program.parent().filter(|folder| folder.is_absolute())?;
    let path = path.unwrap_or_else(|| OsString::from(USUAL_PATH));
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    if folders.iter().any(|one| one == folder) {
        return None;
    }
    folders.push(folder.to_owned());
    Some(("PATH", std::env::join_paths(folders).ok()?))
}

/// `join KEEPER HOLDER HOW ARGV...`
pub(super) fn join(arguments: &[OsString]) -> ExitCode {
    let Some((keeper, rest)) = arguments.split_first() else { return report("join: whose lab?") };
    let keeper = keeper.to_string_lossy();
    if !is_process(&keeper) {
        return report("join: whose lab?");
    }
    if let Err(error) = join_lab(&keeper) {
        return report(&format!("cannot enter the lab: {error}"));
    }
    // The terminal's signals reach the child too; it decides, and this process tells how it ended.
    let mut ignored = SigSet::empty();
    ignored.add(Signal::SIGINT);
    ignored.add(Signal::SIGQUIT);
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&ignored), None);
    match stage("enter").args(rest).status() {
        Ok(status) => exit_code(status),
        Err(error) => report(&format!("cannot enter the lab: {error}")),
    }
}

fn join_lab(keeper: &str) -> io::Result<()> {
    let open = |name: &str| File::open(format!("/proc/{keeper}/ns/{name}"));
    let same_user =
        std::fs::read_link(format!("/proc/{keeper}/ns/user"))? == std::fs::read_link("/proc/self/ns/user")?;
    let (user, pid, mount) = (open("user")?, open("pid")?, open("mnt")?);
    let folder = std::env::current_dir();
    if !same_user {
        setns(user, CloneFlags::CLONE_NEWUSER)?;
    }
    setns(pid, CloneFlags::CLONE_NEWPID)?;
    setns(mount, CloneFlags::CLONE_NEWNS)?;
    if let Ok(folder) = folder {
        let _ = std::env::set_current_dir(folder);
    }
    Ok(())
}

/// `enter HOLDER whole|network ARGV...`
pub(super) fn enter(arguments: &[OsString]) -> ExitCode {
    let [holder, how, program, rest @ ..] = arguments else {
        return report("enter: where, and what to run?");
    };
    let holder = holder.to_string_lossy();
    if !is_process(&holder) {
        return report("enter: where?");
    }
    if let Err(error) = enter_node(&holder, how.to_str() == Some("whole")) {
        return report(&format!("cannot enter the node: {error}"));
    }
    // The keeper holds signals back and reads them itself; what runs in a node begins with none held back, as after a login.
    let _ = SigSet::empty().thread_set_mask();
    let error = Command::new(program).args(rest).exec();
    let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    let _ = report(&format!("cannot run {}: {error}", program.to_string_lossy()));
    ExitCode::from(code)
}

fn enter_node(holder: &str, whole: bool) -> io::Result<()> {
    // Whoever started this wants it gone when it goes itself: a killed `relevo lab exec` leaves nothing running.
    set_pdeathsig(Signal::SIGKILL)?;
    let open = |name: &str| File::open(format!("/proc/{holder}/ns/{name}"));
    let (network, mount, host_name) = (open("net")?, open("mnt")?, open("uts")?);
    let folder = std::env::current_dir();
    setns(network, CloneFlags::CLONE_NEWNET)?;
    if whole {
        setns(host_name, CloneFlags::CLONE_NEWUTS)?;
        setns(mount, CloneFlags::CLONE_NEWNS)?;
        // A folder that exists in the node too stays the current one.
        if let Ok(folder) = folder {
            let _ = std::env::set_current_dir(folder);
        }
    }
    Ok(())
}

/// Whether this can be a process id: it becomes part of a path.
fn is_process(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|pid| pid > 0)
}

fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labs_program_is_found_after_all_others() {
        let path = |path: Option<&str>, program: &str| {
            let found = path_with(path.map(OsString::from), Path::new(program));
            found.map(|(_, path)| path.into_string().unwrap())
        };
        let added = path(Some("/usr/bin:/bin"), "/build/debug/relevo");
        assert_eq!(added.as_deref(), Some("/usr/bin:/bin:/build/debug"));
        assert_eq!(path(Some("/usr/bin:/bin"), "/usr/bin/relevo"), None);
        assert!(path(None, "/build/relevo").unwrap().ends_with("/bin:/build"));
        assert_eq!(path(Some("/bin"), "/a:b/relevo"), None, "a folder that cannot stand in PATH");
        assert_eq!(path(Some("/bin"), "relevo"), None);
    }

    #[test]
    fn only_process_ids_name_processes() {
        assert!(is_process("1") && is_process("4194304"));
        for text in ["", "self", "0", "-1", "../1", "1/../2"] {
            assert!(!is_process(text), "{text}");
        }
    }
}
