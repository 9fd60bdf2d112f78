//! A program that looks at a server: good if it ends with code 0. It runs without a shell, in a process group of its own, which
//! is killed whole when its time is over or the check is given up.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use relevo_proto::health::{ProbeResult, excerpt};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use super::Target;

/// Where programs that a command starts are found.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of its output that are kept.
const KEPT: usize = 1024;

/// A command that runs; its group is killed when this is dropped before its end.
struct Group {
    child: Child,
    /// The group; `None`: its leader has ended.
    leader: Option<Pid>,
}

impl Group {
    fn kill(&mut self) {
        if let Some(leader) = self.leader.take() {
            // It may just have ended.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs it for a server.
pub(super) async fn run(argv: &[String], target: &Target<'_>, timeout: Duration) -> ProbeResult {
    let (ip, port) = (target.at.ip().to_string(), target.port.to_string());
    let about = [
        ("RELEVO_SERVER_ADDRESS", ip.as_str()),
        ("RELEVO_SERVER_PORT", port.as_str()),
        ("RELEVO_SERVER_NAME", target.name),
    ];
    run_with(argv, &about, timeout).await
}

/// Runs it with these variables in its environment and no others but `PATH`.
pub async fn run_with(argv: &[String], about: &[(&str, &str)], timeout: Duration) -> ProbeResult {
    let program = argv.first().map_or("", String::as_str);
    let (mut group, mut output) = match start(argv, about) {
        Ok(started) => started,
        Err(error) => {
            tracing::debug!(%program, %error, "no check: the command cannot be run");
            return ProbeResult::NotAsked(format!("not checked, {program} cannot be run: {error}"));
        }
    };
    let mut said = Vec::new();
    let ended = tokio::time::timeout(timeout, async {
        let mut piece = [0; KEPT];
        let mut open = true;
        loop {
            tokio::select! {
                // What it said last is still in the pipe when it has ended.
                biased;
                read = output.read(&mut piece), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(count) => keep(&mut said, piece.get(..count).unwrap_or_default()),
                },
                status = group.child.wait() => return status,
            }
        }
    })
    .await;
    let line = first_line(&said);
    match ended {
        Ok(status) => {
            group.leader = None;
            match status {
                Ok(status) if status.success() => {
                    ProbeResult::Good(format!("{program} says it is well{line}"))
                }
                Ok(status) => ProbeResult::Bad(format!("{program} {}{line}", how(status))),
                Err(error) => ProbeResult::NotAsked(format!("not checked, {program} got lost: {error}")),
            }
        }
        Err(_) => {
            group.kill();
            // Nothing stays behind, not even a zombie.
            let _ = group.child.wait().await;
            ProbeResult::Bad(format!("{program} did not end within {} ms{line}", timeout.as_millis()))
        }
    }
}

fn start(argv: &[String], about: &[(&str, &str)]) -> io::Result<(Group, Receiver)> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (reader, writer) = io::pipe()?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .envs(about.iter().copied())
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(writer.try_clone()?)
        .stdout(writer)
        .process_group(0)
        .spawn()?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let group = Group { child, leader };
    Ok((group, Receiver::from_owned_fd(reader.into())?))
}

fn keep(said: &mut Vec<u8>, bytes: &[u8]) {
    let space = KEPT.saturating_sub(said.len());
    said.extend_from_slice(bytes.get(..bytes.len().min(space)).unwrap_or_default());
}

/// `: what it said first`.
fn first_line(said: &[u8]) -> String {
    let line = said.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
    line.map_or_else(String::new, |line| format!(": {}", excerpt(line)))
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}
