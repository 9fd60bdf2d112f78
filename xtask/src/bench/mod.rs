//! CPU time of the balancer for each request, beside HAProxy's, in the same run.
//!
//! ```text
//! CPU 1: wrk ──► CPU 0: relevo or haproxy ──► CPU 1: three origins
//! ```
//!
//! The balancers take turns: one pair is a run of each, and the ratio is taken within the pair, so that a machine that
//! others use too disturbs both alike. CPU time comes from the scheduler's own count (nanoseconds), not from samples.

mod balancer;
mod load;
mod options;
mod process;
mod report;
mod workload;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::balancer::{Balancer, Kind};
use self::options::{Options, USAGE};
use self::process::{LOAD_CPU, Process};
use self::report::{Comparison, Run, Versions};
use self::workload::Workload;

/// Servers behind the balancer.
const ORIGINS: usize = 3;

/// Pairs with errors that a workload may have before we give up on it.
const INVALID_MAX: usize = 2;

/// Runs the bench; true if every workload has all its pairs.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let Some(options) = Options::parse(arguments)? else {
        println!("{USAGE}");
        return Ok(true);
    };
    process::check_machine()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder)?;
    let relevo = match &options.relevo {
        Some(path) => path.canonicalize().with_context(|| format!("{}", path.display()))?,
        None => build(root)?,
    };
    let versions = Versions::of(&relevo)?;
    let (names, servers, _origins) = start_origins(&relevo, &folder)?;

    let started = Instant::now();
    let mut comparisons = Vec::new();
    for workload in &options.workloads {
        let bench = Bench {
            workload,
            options: &options,
            servers: &servers,
            names: &names,
            relevo: &relevo,
            folder: &folder,
        };
        comparisons.extend(bench.run().with_context(|| format!("workload {}", workload.name))?);
    }
    let us = if options.self_test { "haproxy" } else { "relevo" };
    println!("{}", report::table(&comparisons, us, &versions, &options.command));
    if !options.self_test {
        let summary = folder.join("summary.json");
        report::write(&summary, &comparisons, &versions, &options.command)?;
        println!("summary   {} ({} s)", summary.display(), started.elapsed().as_secs());
    }
    Ok(comparisons.iter().all(|comparison| comparison.pairs.len() == options.pairs))
}

/// The release binary, built if need be.
fn build(root: &Path) -> Result<PathBuf> {
    eprintln!("building relevo (release)");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package=relevo", "--message-format=json-render-diagnostics"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("relevo does not build");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let executable = messages
        .filter(|message| message["target"]["name"] == "relevo")
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    executable.context("cargo does not say where it put relevo")
}

/// Starts the servers; they end when the returned processes are dropped.
fn start_origins(relevo: &Path, folder: &Path) -> Result<(Vec<String>, Vec<SocketAddrV4>, Vec<Process>)> {
    let (mut names, mut servers, mut processes) = (Vec::new(), Vec::new(), Vec::new());
    for index in 1..=ORIGINS {
        let (name, at) = (format!("serv{index}"), process::free_port()?);
        let log = folder.join(format!("{name}.log"));
        let argv = [
            relevo.display().to_string(),
            "origin".to_owned(),
            format!("--name={name}"),
            format!("--listen={at}"),
        ];
        let mut origin = Process::start(&name, LOAD_CPU, &argv, &log)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !load::answers(at) {
            origin.must_run(&log)?;
            if Instant::now() > deadline {
                bail!("{name} does not answer on {at}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        names.push(name);
        servers.push(at);
        processes.push(origin);
    }
    Ok((names, servers, processes))
}

/// One workload and what it needs.
struct Bench<'a> {
    workload: &'static Workload,
    options: &'a Options,
    servers: &'a [SocketAddrV4],
    names: &'a [String],
    relevo: &'a Path,
    folder: &'a Path,
}

impl Bench<'_> {
    /// Measures all pairs with every peer.
    fn run(&self) -> Result<Vec<Comparison>> {
        let us = if self.options.self_test { Kind::Haproxy } else { Kind::Relevo };
        let mut peers = vec![Kind::Haproxy];
        if self.workload.tuned_peer {
            peers.push(Kind::HaproxyTuned);
        }
        let ours = self.start(us)?;
        let others = peers.iter().map(|kind| self.start(*kind)).collect::<Result<Vec<_>>>()?;
        let mut comparisons: Vec<Comparison> = peers
            .iter()
            .map(|kind| Comparison {
                workload: self.workload.name,
                peer: kind.name(),
                pairs: Vec::new(),
                invalid: 0,
            })
            .collect();
        for round in 0..self.options.pairs + INVALID_MAX {
            let missing = |comparison: &Comparison| comparison.pairs.len() < self.options.pairs;
            if !comparisons.iter().any(missing) {
                break;
            }
            // Every other round runs backwards: who comes first has no advantage.
            let mut order: Vec<&Balancer> = std::iter::once(&ours).chain(&others).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            let mut runs = BTreeMap::new();
            for balancer in order {
                runs.insert(balancer.at, self.measure(balancer)?);
            }
            let mine = &runs[&ours.at];
            for (other, comparison) in
                others.iter().zip(&mut comparisons).filter(|(_, comparison)| missing(comparison))
            {
                match (mine, &runs[&other.at]) {
                    (Ok(mine), Ok(theirs)) => comparison.pairs.push((*mine, *theirs)),
                    (Err(fault), _) => self.discard(comparison, ours.kind, fault),
                    (_, Err(fault)) => self.discard(comparison, other.kind, fault),
                }
            }
        }
        Ok(comparisons)
    }

    /// Starts a balancer and makes sure that it does its work.
    fn start(&self, kind: Kind) -> Result<Balancer> {
        let started = Balancer::start(kind, self.workload, self.servers, self.relevo, self.folder)?;
        // A balancer may answer when the first server has been found; the trial wants all of them.
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = load::trial(started.at, self.workload, self.names) {
            if Instant::now() > deadline {
                return Err(error.context(kind.name()));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(started)
    }

    /// One run; the inner error is a run with failed requests.
    fn measure(&self, balancer: &Balancer) -> Result<Result<Run, String>> {
        load::run(balancer.at, self.workload, self.options.warm_up, self.folder)?;
        let before = balancer.process.cpu_time()?;
        let seen = load::run(balancer.at, self.workload, self.options.duration, self.folder)?;
        let used = balancer.process.cpu_time()?.saturating_sub(before);
        let run = Run {
            cpu_us: used.as_secs_f64() * 1e6 / seen.requests.max(1) as f64,
            per_second: seen.per_second(),
            p50_us: seen.p50_us as f64,
            p99_us: seen.p99_us as f64,
        };
        eprintln!(
            "{:<28} {:<14} {:>7.2} us/request {:>7.0} requests/s",
            self.workload.name,
            balancer.kind.name(),
            run.cpu_us,
            run.per_second
        );
        Ok(match seen.fault() {
            Some(fault) => Err(fault),
            None => Ok(run),
        })
    }

    fn discard(&self, comparison: &mut Comparison, who: Kind, fault: &str) {
        comparison.invalid += 1;
        eprintln!(
            "{}: pair with {} thrown away: {}: {fault}",
            self.workload.name,
            comparison.peer,
            who.name()
        );
    }
}
