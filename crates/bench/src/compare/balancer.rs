//! The balancers under test: how they start from the same scene, and the proof that they do the same.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use relevo_model::ClusterFile;
use relevo_model::cluster::Mode;

use super::Bench;
use super::features::Features;
use super::process::{Process, find, free_port};
use super::scene::{PASSWORD, Place};
use super::workload::Workload;
use crate::haproxy::{self, Options, Tuning};
use crate::load::{self, End, ask};

/// How long a balancer may take until it answers: its checks must have found the servers.
const READY: Duration = Duration::from_secs(15);

/// How long it may take until it does everything.
const SETTLED: Duration = Duration::from_secs(10);

/// Asked before anything is measured; a multiple of the number of servers.
const TRIAL_REQUESTS: usize = 30;

/// Whom to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Our own.
    Relevo,
    /// HAProxy as it comes, or tuned.
    Haproxy(Tuning),
}

impl Kind {
    /// Its name in the table and in the summary.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Relevo => "relevo",
            Self::Haproxy(Tuning::Default) => "haproxy",
            Self::Haproxy(Tuning::Spliced) => "haproxy-spliced",
            Self::Haproxy(Tuning::LargeBuffers) => "haproxy-buffers",
            Self::Haproxy(Tuning::Deferred) => "haproxy-deferred",
        }
    }
}

/// A running balancer.
#[derive(Debug)]
pub(super) struct Balancer {
    pub(super) kind: Kind,
    /// Where the service listens.
    pub(super) at: SocketAddrV4,
    stats: SocketAddrV4,
    pub(super) process: Process,
    log: PathBuf,
}

/// What a balancer is started with: its name on the disk, and the scene for a place.
pub(super) type Scene<'a> = (&'a str, &'a dyn Fn(&Place) -> Result<String>);

impl Balancer {
    /// Writes its file and starts it alone on its CPU; it may not answer yet.
    pub(super) fn start(bench: &Bench<'_>, kind: Kind, scene: Scene<'_>, place: &Place) -> Result<Self> {
        let mut place = place.clone();
        (place.listen, place.stats) = (free_port()?, free_port()?);
        let folder = bench.folder.join(format!("{}-{}", scene.0, kind.name()));
        fs::create_dir_all(&folder)?;
        let text = scene.1(&place)?;
        let file = folder.join("cluster.toml");
        fs::write(&file, &text)?;
        let argv = match kind {
            Kind::Relevo => relevo(bench, &file, &folder),
            Kind::Haproxy(tuning) => {
                let config = haproxy::config(&read(&text)?, Options { threads: 1, tuning });
                let file = folder.join("haproxy.cfg");
                fs::write(&file, config.text)?;
                let program = find("haproxy").context("haproxy is gone")?;
                [&program.display().to_string(), "-db", "-f", &file.display().to_string()]
                    .map(str::to_owned)
                    .to_vec()
            }
        };
        let log = folder.join("log");
        let process = Process::start(kind.name(), bench.options.cpus[0], &argv, &log)?;
        Ok(Self { kind, at: place.listen, stats: place.stats, process, log })
    }

    /// Waits until it answers.
    pub(super) fn wait_until_ready(&mut self, workload: &Workload) -> Result<()> {
        let deadline = Instant::now() + READY;
        let plan = workload.look(self.at, "/healthz")?;
        let mut last = None;
        while Instant::now() < deadline {
            self.process.must_run(&self.log)?;
            match ask(&plan) {
                Ok(answer) if answer.head.starts_with("HTTP/1.1 200 ") => return Ok(()),
                Ok(answer) => last = answer.head.lines().next().map(str::to_owned),
                Err(error) => last = Some(format!("{error:#}")),
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(10).collect();
        bail!(
            "{} does not answer on {} after {READY:?}: {}; the end of its log, last line first:\n{}",
            self.kind.name(),
            self.at,
            last.unwrap_or_default(),
            tail.join("\n")
        );
    }

    /// Tries until everything is as it should be: a balancer may answer when the first server has been found, and the trial
    /// wants all of them.
    pub(super) fn settle(&self, bench: &Bench<'_>, workload: &Workload, features: Features) -> Result<()> {
        let deadline = Instant::now() + SETTLED;
        while let Err(error) = self.trial(bench, workload, features) {
            if Instant::now() > deadline {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Makes sure of what a load does not look at: that every answer is a 200 of the right size, that all servers took
    /// part, that the client's address was passed on, that HTTP/2 is spoken, and that the features are on.
    fn trial(&self, bench: &Bench<'_>, workload: &Workload, features: Features) -> Result<()> {
        let mut by_server = BTreeMap::new();
        let plan = workload.look(self.at, &format!("/bytes/{}", workload.body_bytes))?;
        let lines = bench.drain.lines();
        for _ in 0..TRIAL_REQUESTS {
            let answer = ask(&plan)?;
            if !answer.head.starts_with("HTTP/1.1 200 ") || answer.body.len() != workload.body_bytes {
                bail!(
                    "asked for {}, expected 200 with {} bytes, got {} bytes and {:?}",
                    plan.target.path,
                    workload.body_bytes,
                    answer.body.len(),
                    answer.head.lines().next().unwrap_or_default()
                );
            }
            *by_server.entry(answer.field("server-name").unwrap_or("nobody").to_owned()).or_insert(0) += 1;
        }
        let servers = bench.servers.at.len();
        if by_server.values().filter(|count| **count >= TRIAL_REQUESTS / servers / 2).count() < servers {
            bail!("not all {servers} servers took part in {TRIAL_REQUESTS} requests: {by_server:?}");
        }
        if workload.mode == Mode::Http {
            let head = ask(&workload.look(self.at, "/head")?)?.body;
            if !String::from_utf8_lossy(&head).to_ascii_lowercase().contains("x-forwarded-for: 127.0.0.1") {
                bail!(
                    "the server was not told the client's address; it saw:\n{}",
                    String::from_utf8_lossy(&head)
                );
            }
        }
        if workload.http2 {
            let mut plan = workload.plan(self.at, Duration::from_secs(5), bench.options.cpus[1])?;
            plan.end = End { after: plan.end.after, requests: Some(32) };
            if let Some(fault) = load::run(&plan)?.fault() {
                bail!("HTTP/2: {fault}");
            }
        }
        let off = if features == Features::NONE {
            Vec::new()
        } else {
            features.without(self.seen(bench, workload, lines)?)
        };
        if !off.is_empty() {
            bail!("it does not do this though its file says so: {}", off.join(", "));
        }
        Ok(())
    }

    /// Which features are really on. `lines`: lines of the log before the last [`TRIAL_REQUESTS`] requests.
    pub(super) fn seen(&self, bench: &Bench<'_>, workload: &Workload, lines: u64) -> Result<Features> {
        let status =
            |plan| ask(&plan).map(|answer| answer.head.lines().next().unwrap_or_default().to_owned());
        // In mode `tcp` the rules' source is nobody here: that they are read is all that can be seen.
        let rules = workload.mode == Mode::Tcp || {
            let refused = status(workload.look(self.at, "/private/x")?)?.contains(" 403");
            refused && ask(&workload.look(self.at, "/")?)?.field("x-frame-options") == Some("DENY")
        };
        let plain = Workload { tls: false, http2: false, ..workload.clone() };
        let mut page = plain.look(self.stats, "/stats")?;
        page.fields
            .push(("Authorization".to_owned(), format!("Basic {}", base64(&format!("staff:{PASSWORD}")))));
        let stats = status(page).is_ok_and(|line| line.contains(" 200"));
        let deadline = Instant::now() + Duration::from_secs(3);
        let logged = || bench.drain.lines() >= lines + TRIAL_REQUESTS as u64;
        while !logged() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Features { log: logged(), rules, stats })
    }
}

/// How Relevo is run on a file, with one worker and everything else in a folder.
pub(super) fn relevo(bench: &Bench<'_>, file: &Path, folder: &Path) -> Vec<String> {
    vec![
        bench.options.relevo.display().to_string(),
        "node".to_owned(),
        "run".to_owned(),
        format!("--file={}", file.display()),
        "--name=bench".to_owned(),
        "--workers=1".to_owned(),
        format!("--run-dir={}", folder.join("run").display()),
        format!("--state-dir={}", folder.join("state").display()),
    ]
}

/// What the reader makes of a scene.
pub(super) fn read(text: &str) -> Result<ClusterFile> {
    let reading = relevo_model::read(text);
    let said = || relevo_model::diagnostic::render("cluster.toml", text, &reading.diagnostics);
    reading.cluster.with_context(said)
}

/// RFC 4648 section 4, for a password.
fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for piece in text.as_bytes().chunks(3) {
        let bits = piece
            .iter()
            .enumerate()
            .fold(0_u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
        for index in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * index)) as usize & 63]);
            out.push(if index <= piece.len() { letter } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_said_as_http_wants_it() {
        // RFC 7617 section 2.
        assert_eq!(base64("Aladdin:open sesame"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(base64("a"), "YQ==");
        assert_eq!(base64("abc"), "YWJj");
    }
}
