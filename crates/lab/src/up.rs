//! Brings a lab up: looks whether it can be, starts the keeper, waits until everything is ready, or undoes it all.

use std::fs;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use relevo_model::ClusterFile;

use crate::inside::stage_of;
use crate::interrupts::Interrupts;
use crate::keeper::{BUILT, FAILED, PROGRESS, WRONG};
use crate::ready::{Readiness, readiness};
use crate::registry::{Registry, Settings};
use crate::topology::Topology;
use crate::{Lab, LabError, Result, UpOptions, forward, host, rootless, take_down};

/// Longest time for the keeper to build the topology.
const BUILT_WITHIN: Duration = Duration::from_secs(60);
/// Time between two looks at what is ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Brings a lab up.
pub(crate) fn up(text: &str, mut options: UpOptions) -> Result<Lab> {
    let reading = relevo_model::read(text);
    let Some(cluster) = reading.cluster else {
        let shown = relevo_model::diagnostic::render("cluster file", text, &reading.diagnostics);
        return Err(LabError::wrong(format!("the cluster file has mistakes\n{shown}")));
    };
    let topology = Topology::plan(&cluster)?;
    let program = match options.program.take() {
        Some(program) => fs::canonicalize(&program)
            .map_err(|error| LabError::wrong(format!("cannot find {}: {error}", program.display())))?,
        None => std::env::current_exe().context("cannot find the running program")?,
    };
    let folder = match options.folder.take() {
        Some(folder) => folder,
        None => std::env::current_dir().unwrap_or_else(|_| "/".into()),
    };
    let _lock = Registry::lock()?;
    let registry = Registry::of(&cluster.name)?;
    if registry.keeper().is_some() {
        return Err(LabError::wrong(format!(
            "the lab {name} is running already; see relevo lab status {name}, or end it: relevo lab down {name}",
            name = cluster.name
        )));
    }
    if registry.exists() {
        (options.progress)("cleaning up after a lab that was killed");
        take_down::remove(&registry)?;
    }
    let rootless = rootless::is_needed();
    if rootless {
        rootless::check()?;
    } else {
        host::check(&cluster, &topology)?;
    }
    let listener =
        if rootless { forward::listen(&cluster).context("cannot listen on 127.0.0.1")? } else { None };
    let forward_port = match &listener {
        Some(listener) => Some(listener.local_addr().context("a listener without an address")?.port()),
        None => None,
    };
    let signals = Interrupts::hold_back()?;
    registry.create(text, &Settings { program, folder, rootless, forward_port })?;
    let made = make(&registry, &cluster, listener.map(OwnedFd::from), &signals, &mut options);
    if made.is_err() {
        (options.progress)("undoing everything");
        take_down::remove(&registry)?;
    }
    made
}

/// Where the first service opens in a browser of this machine.
pub(crate) fn url(cluster: &ClusterFile, settings: &Settings) -> Option<String> {
    let target = forward::target(cluster)?;
    match (settings.rootless, settings.forward_port) {
        (true, Some(port)) => Some(format!("http://127.0.0.1:{port}/")),
        (true, None) => None,
        (false, _) => Some(format!("http://{target}/")),
    }
}

fn make(
    registry: &Registry,
    cluster: &ClusterFile,
    listener: Option<OwnedFd>,
    signals: &Interrupts,
    options: &mut UpOptions,
) -> Result<Lab> {
    let settings = registry.settings()?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(registry.keeper_log())
        .context("cannot write the keeper's log")?;
    let mut command: Command = stage_of(&settings.program, "keeper");
    command.arg(registry.folder()).stdout(Stdio::piped()).stderr(log);
    command.stdin(listener.map_or_else(Stdio::null, Stdio::from));
    let mut keeper = command
        .spawn()
        .map_err(|error| LabError::wrong(format!("cannot run {}: {error}", settings.program.display())))?;
    let pipe = keeper.stdout.take();
    let heard = match pipe {
        Some(pipe) => hear(pipe, signals, options),
        None => Err(anyhow!("no pipe to the keeper").into()),
    };
    let _ = keeper.wait();
    heard.map_err(|error| with_log(error, registry, "keeper"))?;
    let lab = Lab::at(&cluster.name, registry.clone())?;
    wait_ready(&lab, signals, options)?;
    Ok(lab)
}

/// Hears the keeper until the lab stands.
fn hear(mut pipe: ChildStdout, signals: &Interrupts, options: &mut UpOptions) -> Result<()> {
    fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("cannot listen to the keeper")?;
    let begun = Instant::now();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        signals.wait_or_read(Some(pipe.as_fd()), LOOK_EVERY)?;
        match pipe.read(&mut buffer) {
            Ok(0) => return Err(anyhow!("the lab's keeper ended before the lab stood").into()),
            Ok(count) => text.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default())),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(anyhow!(error).context("cannot hear the lab's keeper").into()),
        }
        while let Some(end) = text.find('\n') {
            let line: String = text.drain(..=end).collect();
            let line = line.trim_end();
            if line == BUILT {
                return Ok(());
            } else if let Some(progress) = line.strip_prefix(PROGRESS) {
                (options.progress)(progress);
            } else if let Some(problem) = line.strip_prefix(WRONG) {
                return Err(LabError::wrong(problem));
            } else if let Some(problem) = line.strip_prefix(FAILED) {
                return Err(anyhow!("{problem}").into());
            }
        }
        if begun.elapsed() > BUILT_WITHIN {
            return Err(anyhow!("the lab did not stand within {} s", BUILT_WITHIN.as_secs()).into());
        }
    }
}

fn wait_ready(lab: &Lab, signals: &Interrupts, options: &mut UpOptions) -> Result<()> {
    if options.ready_within.is_zero() {
        return Ok(());
    }
    let begun = Instant::now();
    let mut said = String::new();
    loop {
        match readiness(lab.cluster(), &lab.status()?) {
            Readiness::Ready => return Ok(()),
            Readiness::Hopeless { node, reason } => {
                return Err(with_log(anyhow!("{reason}").into(), &lab.registry, &node));
            }
            Readiness::Waiting { progress, missing } => {
                if begun.elapsed() > options.ready_within {
                    let seconds = options.ready_within.as_secs();
                    return Err(anyhow!("not ready within {seconds} s: {}", missing.join("; ")).into());
                }
                if progress != said {
                    (options.progress)(&progress);
                    said = progress;
                }
            }
        }
        signals.wait(LOOK_EVERY)?;
    }
}

/// Adds what somebody wrote last in the log: the log itself is about to go.
fn with_log(error: LabError, registry: &Registry, node: &str) -> LabError {
    let LabError::Failed(error) = error else { return error };
    let log = fs::read_to_string(registry.log_file(node)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(10).collect();
    if lines.is_empty() {
        return LabError::Failed(error);
    }
    let tail: Vec<String> = lines.iter().rev().map(|line| format!("    {line}")).collect();
    LabError::Failed(anyhow!("{error:#}\nthe end of the log of {node}:\n{}", tail.join("\n")))
}
