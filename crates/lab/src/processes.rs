//! The processes of a lab's nodes, read from its `/proc`: the keeper's own from inside, or through the keeper's root
//! from outside.

use std::fs;
use std::path::{Path, PathBuf};

use crate::status::{ProcessState, ProcessStatus};

/// Where the lab's `/proc` is seen from outside.
pub(crate) fn proc_of_keeper(keeper: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{keeper}/root/proc"))
}

/// All processes in the namespaces that `holder` holds, without the holder itself.
pub(crate) fn processes_of(proc: &Path, holder: i32) -> Vec<ProcessStatus> {
    let namespace = |pid: i32| fs::read_link(proc.join(pid.to_string()).join("ns/net")).ok();
    let Some(wanted) = namespace(holder) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<_> = pids
        .filter(|&pid| pid != holder && namespace(pid).as_ref() == Some(&wanted))
        .filter_map(|pid| process(proc, pid))
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// One process; `None`: it is gone.
pub(crate) fn process(proc: &Path, pid: i32) -> Option<ProcessStatus> {
    let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let name = stat.get(open + 1..close)?.to_owned();
    let state = match stat.get(close + 1..)?.trim_start().chars().next()? {
        'T' | 't' => ProcessState::Stopped,
        'Z' | 'X' => ProcessState::Dead,
        _ => ProcessState::Running,
    };
    Some(ProcessStatus { pid, name, state })
}
