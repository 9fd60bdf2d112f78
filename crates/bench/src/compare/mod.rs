//! Relevo beside HAProxy: CPU time for each request, as a ratio within pairs of runs.
//!
//! ```text
//! CPU b: load ──► CPU a: relevo or haproxy, one worker ──► CPU b: three servers (origin), the log's reader (drain)
//! ```
//! Both balancers are run from one cluster file (scene): Relevo reads it, HAProxy gets what [`crate::haproxy`] makes of it. They
//! take turns: one pair is a run of each, and the ratio is taken within the pair, so that a machine that others use too
//! disturbs both alike. CPU time comes from the scheduler's own count (nanoseconds), not from samples.
//!
//! What is on in one is on in the other, and is seen to be on before anything is measured; what this Relevo does not do is off
//! in both, and that is said.

mod balancer;
mod drain;
mod features;
mod figures;
mod file;
mod kernel;
mod machine;
mod origin;
mod pairs;
mod process;
mod report;
mod scene;
mod still;
mod workload;

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use relevo_model::cluster::Mode;

pub use features::Features;
pub use figures::{Checks, Comparison, Idle, Run};
pub use kernel::{KERNEL_WORKLOADS, KernelReport, Line, ROUNDS, is_root};
pub use report::Report;
pub use workload::{CHECKS, IDLE, WORKLOADS, Workload};

use self::balancer::{Balancer, Kind};
use self::drain::Drain;
use self::origin::Origins;
use self::pairs::Pairs;
use self::scene::Place;

/// Servers behind the balancers.
const SERVERS: usize = 3;

/// Client connections that a service bears beyond those of the load.
const SPARE: usize = 1000;

/// What to compare, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pairs of runs for each workload.
    pub pairs: usize,
    /// Rounds for each workload of the kernel's path.
    pub rounds: usize,
    /// How long each run is measured.
    pub duration: Duration,
    /// How long each run warms up.
    pub warm_up: Duration,
    /// Names of workloads; empty: all.
    pub workloads: Vec<String>,
    /// What is to be on.
    pub features: Features,
    /// HAProxy in Relevo's place: shows how far a ratio of 1 moves on this machine.
    pub self_test: bool,
    /// Relevo's program.
    pub relevo: PathBuf,
    /// Where files and results go.
    pub folder: PathBuf,
    /// The balancer's CPU, and the one for everything else.
    pub cpus: [usize; 2],
    /// A cluster file's text and the service to measure, instead of the built-in workloads.
    pub file: Option<(String, String)>,
    /// The command that repeats it.
    pub command: String,
}

/// What all workloads of a comparison share.
struct Bench<'a> {
    options: &'a Options,
    folder: PathBuf,
    servers: Origins,
    drain: Drain,
    certificate: PathBuf,
    said: &'a dyn Fn(&str),
}

impl Bench<'_> {
    /// A place for a balancer; its own ports are chosen when it starts.
    fn place(&self, connections: usize) -> Place {
        let nowhere = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        Place {
            listen: nowhere,
            servers: self.servers.at.clone(),
            stats: nowhere,
            log: self.drain.path.clone(),
            certificate: self.certificate.clone(),
            connections: connections + SPARE,
        }
    }
}

/// Compares; `said` hears of each run. Everything that was started has ended when it returns. Results are not written.
///
/// # Errors
///
/// A machine on which nothing can be measured, a wrong cluster file, a balancer that does not do its work.
pub fn run(options: &Options, said: &dyn Fn(&str)) -> Result<Report> {
    process::check_machine(options.cpus)?;
    fs::create_dir_all(&options.folder)
        .with_context(|| format!("cannot write to {}", options.folder.display()))?;
    let folder = options.folder.canonicalize()?;
    let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let bench = Bench {
        options,
        servers: Origins::start(&[any; SERVERS], options.cpus[1])?,
        drain: Drain::start(&folder.join("log.sock"), options.cpus[1])?,
        certificate: certificate(&folder)?,
        folder,
        said,
    };
    let mut report = Report {
        versions: machine::versions(&options.relevo)?,
        machine: machine::line(),
        command: options.command.clone(),
        us: if options.self_test { "haproxy" } else { "relevo" },
        ..Report::default()
    };
    if let Some((text, service)) = &options.file {
        return one_service(&bench, report, text, service);
    }
    let features = if options.self_test { options.features } else { bench.possible(&mut report)? };
    report.features = features.words();
    for workload in WORKLOADS.iter().filter(|workload| options.wants(workload.name)) {
        if let Some(why) = bench.cannot(workload, features)? {
            said(&format!("{}: skipped: {why}", workload.name));
            report.skipped.push(format!("{}: {why}", workload.name));
            continue;
        }
        let write = |place: &Place| Ok(scene::text(workload, features, place));
        let pairs = Pairs { bench: &bench, workload, scene: (workload.name, &write), features };
        let measured = pairs.run().with_context(|| format!("workload {}", workload.name))?;
        report.comparisons.extend(measured);
    }
    if options.wants(IDLE) {
        report.idle = Some(still::idle(&bench, features).context(IDLE)?);
    }
    if options.wants(CHECKS) {
        report.checks = Some(still::checks(&bench).context(CHECKS)?);
    }
    if !options.self_test {
        bench.kernel(&mut report)?;
    }
    Ok(report)
}

/// Measures a service of somebody's own file.
fn one_service(bench: &Bench<'_>, mut report: Report, text: &str, service: &str) -> Result<Report> {
    let (workload, features, notes) = file::workload(text, service)?;
    report.skipped.extend(notes);
    report.features = format!("what the file says of {service}");
    let write = |place: &Place| file::scene(text, service, place);
    let pairs = Pairs { bench, workload: &workload, scene: (service, &write), features };
    report.comparisons = pairs.run().with_context(|| format!("service {service}"))?;
    Ok(report)
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|wanted| wanted == name)
    }
}

impl Bench<'_> {
    /// Of the wanted features, those that this Relevo has: looked at in a trial, not believed.
    fn possible(&self, report: &mut Report) -> Result<Features> {
        let wanted = self.options.features;
        let [workload, ..] = &WORKLOADS;
        let write = |place: &Place| Ok(scene::text(workload, wanted, place));
        let mut relevo = Balancer::start(self, Kind::Relevo, ("trial", &write), &self.place(100))?;
        relevo.wait_until_ready(workload)?;
        let lines = self.drain.lines();
        relevo.settle(self, workload, Features::NONE).context("relevo")?;
        let seen = relevo.seen(self, workload, lines)?;
        let features = Features {
            log: wanted.log && seen.log,
            rules: wanted.rules && seen.rules,
            stats: wanted.stats && seen.stats,
        };
        for missing in wanted.without(features) {
            let what = format!("{missing}: this relevo does not do it yet; off in both");
            (self.said)(&what);
            report.skipped.push(what);
        }
        Ok(features)
    }

    /// The workloads of the kernel's path, where this machine allows it.
    fn kernel(&self, report: &mut Report) -> Result<()> {
        if !KERNEL_WORKLOADS.iter().any(|workload| self.options.wants(workload.name)) {
            return Ok(());
        }
        if let Err(error) = kernel::may() {
            let what =
                format!("kernel-*: {error:#}; it needs root or user namespaces, iproute2 and nftables");
            (self.said)(&what);
            report.skipped.push(what);
            return Ok(());
        }
        match kernel::run(self).context("the kernel's path") {
            Ok(measured) => report.kernel = measured,
            Err(error) if kernel::is_rootless() => {
                let what = format!(
                    "kernel-*: {error:#}; without root nft may send too little at once (net.core.wmem_max)"
                );
                (self.said)(&what);
                report.skipped.push(what);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Why a workload cannot be measured with this Relevo: it does not speak TLS, or HTTP/2 over it.
    fn cannot(&self, workload: &Workload, features: Features) -> Result<Option<String>> {
        if !workload.tls || self.options.self_test {
            return Ok(None);
        }
        let write = |place: &Place| Ok(scene::text(workload, features, place));
        let mut relevo = Balancer::start(self, Kind::Relevo, ("trial", &write), &self.place(100))?;
        if let Err(error) = relevo.wait_until_ready(workload) {
            let why = format!("{error:#}");
            let why = why.split(';').next().unwrap_or_default();
            return Ok(Some(format!("relevo does not speak TLS yet ({why})")));
        }
        if workload.http2
            && relevo
                .settle(self, workload, Features::NONE)
                .is_err_and(|error| error.to_string().contains("HTTP/2"))
        {
            return Ok(Some("relevo does not speak HTTP/2 over TLS yet".to_owned()));
        }
        Ok(None)
    }
}

/// A certificate for 127.0.0.1 with its key in one file, as HAProxy wants it: ECDSA P-256.
fn certificate(folder: &Path) -> Result<PathBuf> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
    let path = folder.join("bench.pem");
    fs::write(&path, format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The text of HAProxy's file for a service, or for all, and what it cannot say. Nothing is run.
///
/// # Errors
///
/// There is no such service.
pub fn show(cluster: &relevo_model::ClusterFile, service: Option<&str>) -> Result<crate::haproxy::Config> {
    let mut cluster = cluster.clone();
    if let Some(name) = service {
        cluster.services.retain(|one| one.name.as_str() == name);
        anyhow::ensure!(!cluster.services.is_empty(), "there is no service {name}");
    }
    let options = crate::haproxy::Options { threads: 0, tuning: crate::haproxy::Tuning::Default };
    Ok(crate::haproxy::config(&cluster, options))
}

/// Whether a service can be measured at all: UDP cannot.
fn measurable(mode: Mode) -> bool {
    match mode {
        Mode::Http | Mode::Tcp => true,
        Mode::Udp => false,
    }
}
