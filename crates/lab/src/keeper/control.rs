//! The keeper's days: it waits for wishes on its control socket and for processes that ended.

mod part;
mod tune;

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use relevo_model::cluster::Role;
use serde::{Deserialize, Serialize};

use super::build::{self, Built};
use crate::faults::Damage;
use crate::processes::processes_of;
use crate::registry::Registry;
use crate::status::ProcessStatus;
use crate::topology::{CableUse, SpaceKind};
use crate::{Fault, LabError, Result};

/// Longest wish, bytes.
const WISH_MAX: u64 = 64 * 1024;
/// Longest silence of somebody who has connected.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a start waits for the process before it to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
/// How long it waits for children of that process.
const ORPHANS_WITHIN: Duration = Duration::from_secs(1);

/// Longest wait for killed processes to be dead.
const DEAD_WITHIN: Duration = Duration::from_millis(500);

/// What somebody asks of the keeper: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wish {
    /// What do you know?
    Inventory,
    /// Make a fault.
    Fault(Fault),
    /// End the lab.
    Down,
}

/// What the keeper answers: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// What it knows.
    Inventory(Inventory),
    /// The wish was wrong; nothing was changed.
    Wrong(String),
    /// It did not succeed.
    Failed(String),
}

/// What only the keeper knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inventory {
    /// The processes that nodes are for.
    pub(crate) mains: Vec<MainReport>,
    /// The damage done to the network.
    pub(crate) damage: Damage,
}

/// A process that a node is for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MainReport {
    /// The node.
    pub(crate) node: String,
    /// Its process id inside, while it runs.
    pub(crate) pid: Option<i32>,
    /// How it ended last.
    pub(crate) how: String,
}

/// Opens the control socket, for its owner alone.
pub(super) fn listen(registry: &Registry) -> Result<UnixListener> {
    let path = registry.socket();
    let open = || -> std::io::Result<UnixListener> {
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    Ok(open().with_context(|| format!("cannot listen at {}", path.display()))?)
}

/// Serves until somebody wishes the lab's end, or a signal does.
pub(super) fn serve(mut built: Built, listener: &UnixListener, signals: &SigSet) -> Result<()> {
    let signal_fd = SignalFd::with_flags(signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .context("cannot wait for signals")?;
    loop {
        let mut waiting = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(signal_fd.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waiting, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(anyhow!("cannot wait: {errno}").into()),
        }
        let mut ending = false;
        while let Ok(Some(signal)) = signal_fd.read_signal() {
            ending |= i32::try_from(signal.ssi_signo) != Ok(Signal::SIGCHLD as i32);
        }
        built.jobs.reap();
        loop {
            match listener.accept() {
                Ok((stream, _)) => ending |= answer(&mut built, stream),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if ending {
            build::remove_host_leg(&built);
            return Ok(());
        }
    }
}

/// Hears one wish and answers it; true if the lab shall end.
fn answer(built: &mut Built, stream: UnixStream) -> bool {
    let hear = || -> anyhow::Result<Wish> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new((&stream).take(WISH_MAX)).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    let (reply, ending) = match hear() {
        Ok(Wish::Down) => (Answer::Done, true),
        Ok(Wish::Inventory) => {
            built.jobs.reap();
            (Answer::Inventory(inventory(built)), false)
        }
        Ok(Wish::Fault(fault)) => match make(built, &fault) {
            Ok(()) => (Answer::Done, false),
            Err(LabError::Wrong(text)) => (Answer::Wrong(text), false),
            Err(error) => (Answer::Failed(format!("{:#}", anyhow::Error::from(error))), false),
        },
        Err(error) => (Answer::Wrong(format!("a wish that is none: {error}")), false),
    };
    if let Ok(mut text) = serde_json::to_string(&reply) {
        text.push('\n');
        let _ = (&stream).write_all(text.as_bytes());
    }
    ending
}

fn inventory(built: &Built) -> Inventory {
    let report =
        |job: &super::jobs::Job| MainReport { node: job.node.clone(), pid: job.pid, how: job.how.clone() };
    Inventory { mains: built.jobs.jobs.iter().map(report).collect(), damage: built.damage.clone() }
}

fn make(built: &mut Built, fault: &Fault) -> Result<()> {
    match fault {
        Fault::Kill { node } => {
            signal_all(built, node, Signal::SIGKILL)?;
            built.jobs.told_to_stop(node);
            wait_dead(built, node);
            Ok(())
        }
        Fault::Pause { node } => signal_all(built, node, Signal::SIGSTOP),
        Fault::Resume { node } => signal_all(built, node, Signal::SIGCONT),
        Fault::Stop { node } => {
            signal_jobs(built, node, Signal::SIGTERM)?;
            built.jobs.told_to_stop(node);
            Ok(())
        }
        Fault::Freeze { node } => signal_jobs(built, node, Signal::SIGSTOP),
        Fault::Thaw { node } => signal_jobs(built, node, Signal::SIGCONT),
        Fault::Start { node } => {
            jobs_exist(built, node)?;
            start(built, node)
        }
        Fault::ServerStop { node, port: Some(port) } => stop_one(built, node, *port),
        Fault::ServerStop { node, port: None } => {
            server_exists(built, node)?;
            signal_all(built, node, Signal::SIGTERM)?;
            built.jobs.told_to_stop(node);
            Ok(())
        }
        Fault::ServerStart { node } => {
            server_exists(built, node)?;
            start(built, node)
        }
        Fault::Unplug { node, network } => plug(built, node, network, false),
        Fault::Plug { node, network } => plug(built, node, network, true),
        Fault::CutLink { a, b } => link(built, a, b, false),
        Fault::RestoreLink { a, b } => link(built, a, b, true),
        Fault::SetPriority { switch, priority } => tune::priority(built, switch, Some(*priority)),
        Fault::ResetPriority { switch } => tune::priority(built, switch, None),
        Fault::SetCost { a, b, cost } => tune::cost(built, a, b, Some(*cost)),
        Fault::ResetCost { a, b } => tune::cost(built, a, b, None),
        Fault::CutVxlan { switch } => tune::vxlan(built, switch, false),
        Fault::RestoreVxlan { switch } => tune::vxlan(built, switch, true),
        Fault::Part { network, machines } => part::part(built, network, machines),
        Fault::Join { network } => part::join(built, network),
        Fault::SwitchOff { switch } => switch_power(built, switch, false),
        Fault::SwitchOn { switch } => switch_power(built, switch, true),
    }
}

/// All processes of a node, the holder excepted.
fn processes(built: &Built, node: &str) -> Result<Vec<ProcessStatus>> {
    let machines = built.topology.spaces.iter().filter(|space| space.kind != SpaceKind::Switch);
    one_of("machine", node, machines.map(|space| space.name.as_str()))?;
    let holder = built.pids.get(node).copied().unwrap_or_default();
    Ok(processes_of(Path::new("/proc"), holder))
}

fn signal_all(built: &Built, node: &str, signal: Signal) -> Result<()> {
    // A process may fork while the others are found: look again until nobody new is seen.
    let mut seen = Vec::new();
    loop {
        let found = processes(built, node)?;
        let new: Vec<i32> =
            found.iter().map(|process| process.pid).filter(|pid| !seen.contains(pid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for pid in &new {
            send(*pid, signal)?;
        }
        seen.extend(new);
    }
}

fn signal_jobs(built: &mut Built, node: &str, signal: Signal) -> Result<()> {
    jobs_exist(built, node)?;
    built.jobs.reap();
    let pids = built.jobs.of(node).flat_map(|job| job.pid.iter().chain(&job.formers));
    pids.copied().try_for_each(|pid| send(pid, signal))
}

/// Stops the server at one port of a node, and nothing else on it: its process group, which is its own.
fn stop_one(built: &mut Built, node: &str, port: u16) -> Result<()> {
    server_exists(built, node)?;
    built.jobs.reap();
    let ports: Vec<String> =
        built.jobs.of(node).filter_map(|job| job.port).map(|port| port.to_string()).collect();
    one_of("port of this server", &port.to_string(), ports.iter().map(String::as_str))?;
    let pid = built.jobs.of(node).find(|job| job.port == Some(port)).and_then(|job| job.pid);
    built.jobs.told_one_to_stop(node, port);
    pid.map_or(Ok(()), |pid| send(-pid, Signal::SIGTERM))
}

/// Waits until the killed are dead, so that whoever looks next sees them so. The kernel needs a moment for each.
fn wait_dead(built: &mut Built, node: &str) {
    let begun = Instant::now();
    while begun.elapsed() < DEAD_WITHIN {
        built.jobs.reap();
        let is_running = built.jobs.of(node).any(|job| job.pid.is_some());
        if !is_running && processes(built, node).is_ok_and(|left| left.is_empty()) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn send(pid: i32, signal: Signal) -> Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(anyhow!("cannot send {signal} to process {pid}: {errno}").into()),
    }
}

/// Starts what a node runs. Whatever of the run before is still ending gets its time; what does not end is a failure.
fn start(built: &mut Built, node: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        built.jobs.reap();
        let stopping = built.jobs.of(node).any(|job| job.is_stopping);
        // Children of a stopped server may outlive it for a moment and hold its port.
        let orphans =
            || processes(built, node).is_ok_and(|found| found.iter().any(|found| is_orphan(built, found)));
        if !stopping && (begun.elapsed() > ORPHANS_WITHIN || !orphans()) {
            return built.jobs.start(node);
        }
        if begun.elapsed() > STOPPED_WITHIN {
            return Err(anyhow!("{node} has not stopped within {} s", STOPPED_WITHIN.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether PID 1 inherited it from a job that ended. What `relevo lab exec` runs has its parent outside.
fn is_orphan(built: &Built, process: &ProcessStatus) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    let parent = stat.rfind(')').and_then(|end| stat.get(end + 1..)?.split_whitespace().nth(1)?.parse().ok());
    parent == Some(1) && !built.jobs.jobs.iter().any(|job| job.pid == Some(process.pid))
}

fn plug(built: &mut Built, node: &str, network: &str, plugged: bool) -> Result<()> {
    let mut cables = Vec::new();
    for cable in &built.topology.cables {
        if let (CableUse::Plug { network }, Some(machine), Some(switch)) =
            (&cable.purpose, &cable.a.space, &cable.b.space)
        {
            cables.push((machine.clone(), network.clone(), switch.clone()));
        }
    }
    one_of("machine", node, cables.iter().map(|(machine, ..)| machine.as_str()))?;
    let own = || cables.iter().filter(|(machine, ..)| machine == node);
    one_of("network of this machine", network, own().map(|(_, network, _)| network.as_str()))?;
    let key = (node.to_owned(), network.to_owned());
    match plugged {
        true => built.damage.unplugged.remove(&key),
        false => built.damage.unplugged.insert(key),
    };
    let switches: Vec<&str> = own().filter(|(_, on, _)| on == network).map(|(.., at)| at.as_str()).collect();
    build::apply_damage(built, &switches)
}

fn link(built: &mut Built, a: &str, b: &str, whole: bool) -> Result<()> {
    let wanted = link_exists(built, a, b)?;
    match whole {
        true => built.damage.cut.remove(&wanted),
        false => built.damage.cut.insert(wanted),
    };
    build::apply_damage(built, &[a, b])
}

/// A link's name, if there is such a link.
fn link_exists(built: &Built, a: &str, b: &str) -> Result<(String, String)> {
    let links: Vec<_> = built.cluster.lab.links.iter().map(|link| Damage::link(&link.a, &link.b)).collect();
    let wanted = Damage::link(a, b);
    if !links.contains(&wanted) {
        let names: Vec<String> = links.iter().map(|(a, b)| format!("{a} {b}")).collect();
        let known = if names.is_empty() { String::from("none") } else { names.join(", ") };
        return Err(LabError::wrong(format!("no link joins {a} and {b}; there are: {known}")));
    }
    Ok(wanted)
}

fn switch_power(built: &mut Built, switch: &str, on: bool) -> Result<()> {
    one_of("switch", switch, built.cluster.lab.switches.iter().map(|switch| switch.name.as_str()))?;
    match on {
        true => built.damage.switches_off.remove(switch),
        false => built.damage.switches_off.insert(switch.to_owned()),
    };
    build::apply_damage(built, &[switch])
}

fn jobs_exist(built: &Built, node: &str) -> Result<()> {
    one_of("node that runs something", node, built.jobs.jobs.iter().map(|job| job.node.as_str()))
}

fn server_exists(built: &Built, node: &str) -> Result<()> {
    let servers = built.jobs.jobs.iter().filter(|job| job.role == Role::Server);
    one_of("server", node, servers.map(|job| job.node.as_str()))
}

/// Says which names there are, if this is not one of them.
fn one_of<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut names: Vec<&str> = known.collect();
    names.dedup();
    if names.contains(&name) {
        return Ok(());
    }
    let list = if names.is_empty() { String::from("none") } else { names.join(", ") };
    Err(LabError::wrong(format!("no {what} is called {name}; there are: {list}")))
}
