//! `relevo bench compare`.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use relevo_bench::compare::{self, CHECKS, Features, IDLE, KERNEL_WORKLOADS, Options, ROUNDS, WORKLOADS};
use relevo_model::ClusterFile;

use super::load::{count, time};
use crate::commands::check;
use crate::failure::Failure;

/// Measure Relevo beside HAProxy: CPU time for each request, as a ratio within pairs of runs on this machine.
///
/// Both are run from the same cluster file on loopback, one worker each, alone on a CPU; the load and the servers are on another.
/// The workloads kernel-* are something else: services of mode tcp that the kernel carries, beside a director that only
/// forwards and beside programs, and the figure is the busy time of the whole machine. They need root.
///
/// Without FILE there are built-in workloads; with it one of its services is measured, before servers of our own.
///
/// The results are in the folder: summary.json, table.md, and both balancers' files. It needs haproxy and util-linux.
///
/// Exit code 0: every pair was measured. 1: not so. 2: wrong use; nothing was measured.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A cluster file; - is the standard input.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Which service of the file; not needed if it has one.
    #[arg(long, value_name = "NAME", requires = "file")]
    service: Option<String>,
    /// Beside which balancer.
    #[arg(long, value_name = "PEER", default_value = "haproxy")]
    with: Peer,
    /// Pairs of runs for each workload; 5, and 7 rounds of the workloads kernel-*.
    #[arg(long, value_name = "N", value_parser = count(100))]
    pairs: Option<u32>,
    /// How long each run is.
    #[arg(long, short, value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// Only this workload; may be given several times.
    #[arg(long, value_name = "NAME", conflicts_with = "file", value_parser = names())]
    workload: Vec<String>,
    /// One pair of one second each: does everything work?
    #[arg(long)]
    quick: bool,
    /// Without access log, rules and statistics page.
    #[arg(long)]
    plain: bool,
    /// HAProxy against itself: how far does a ratio of 1 move on this machine?
    #[arg(long, conflicts_with = "file")]
    self_test: bool,
    /// Only print HAProxy's file for the cluster file, and what it cannot say.
    #[arg(long, requires = "file")]
    show: bool,
    /// Another relevo to be measured.
    #[arg(long, value_name = "PROGRAM")]
    relevo: Option<PathBuf>,
    /// The balancer's CPU, and the one for everything else.
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1, default_value = "0,1")]
    cpus: Vec<usize>,
    /// Where files and results go.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Peer {
    /// HAProxy, as it comes and, where bodies are large, tuned for them.
    Haproxy,
}

fn names() -> clap::builder::PossibleValuesParser {
    let names = WORKLOADS.iter().chain(&KERNEL_WORKLOADS).map(|workload| workload.name);
    names.chain([IDLE, CHECKS]).collect::<Vec<&str>>().into()
}

/// Runs it.
pub(super) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let Peer::Haproxy = args.with;
    let file = match &args.file {
        None => None,
        Some(path) => {
            let (text, cluster) = read(path, json)?;
            if args.show {
                return show(&cluster, args.service.as_deref());
            }
            let service = which(&cluster, args.service.as_deref())?;
            Some((text, service))
        }
    };
    let cpus = args.cpus.as_slice().try_into().map_err(|_| anyhow!("--cpus: give two, as in 0,1"))?;
    let relevo = match args.relevo {
        Some(program) => program.canonicalize().with_context(|| program.display().to_string())?,
        None => std::env::current_exe().context("cannot find the running program")?,
    };
    alone(&args.workload, args.file.is_some() || args.self_test)?;
    let quick = |usual: u64| if args.quick { 1 } else { usual };
    let options = Options {
        pairs: args.pairs.map_or(quick(5) as usize, |pairs| pairs as usize),
        rounds: args.pairs.map_or(quick(ROUNDS as u64) as usize, |pairs| pairs as usize),
        duration: args.duration.unwrap_or(Duration::from_secs(quick(3))),
        warm_up: Duration::from_millis(if args.quick { 300 } else { 1000 }),
        workloads: args.workload,
        features: if args.plain { Features::NONE } else { Features::ALL },
        self_test: args.self_test,
        relevo,
        folder: args.folder,
        cpus,
        file,
        command: std::env::args().map(word).collect::<Vec<_>>().join(" "),
    };
    if cfg!(debug_assertions) && !options.self_test {
        anstream::eprintln!("relevo: this is a debug build: its figures say nothing (cargo build --release)");
    }
    let report = compare::run(&options, &|text| anstream::eprintln!("{text}")).map_err(Failure::Failed)?;
    if !options.self_test {
        report.write(&options.folder).map_err(Failure::Failed)?;
    }
    if json {
        println!("{:#}", report.json());
    } else {
        println!("{}", report.table().trim_end());
        if !options.self_test {
            println!("results   {}", options.folder.join("summary.json").display());
        }
    }
    Ok(ExitCode::from(u8::from(!report.is_whole(options.pairs, options.rounds))))
}

/// Network namespaces are made by root, or by the root of a user namespace: begins anew in one if there is need of it and the
/// system permits it. What it does not permit is told later, when the rest is measured.
fn alone(workloads: &[String], without: bool) -> Result<(), Failure> {
    let is_kernel = |name: &String| KERNEL_WORKLOADS.iter().any(|workload| workload.name == name);
    let wanted = !without && (workloads.is_empty() || workloads.iter().any(is_kernel));
    if !wanted || compare::is_root() {
        return Ok(());
    }
    let within = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]);
        command
    };
    let probe = within().args(["--net", "true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let program = std::env::current_exe().context("cannot find the running program")?;
    let error = within().arg("--").arg(program).args(std::env::args_os().skip(1)).exec();
    Err(Failure::Failed(anyhow!(error).context("cannot run unshare")))
}

/// A word as a shell wants it back.
fn word(text: String) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:,=@".contains(&byte));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The file's text, and what it says.
fn read(path: &Path, json: bool) -> Result<(String, ClusterFile), Failure> {
    let text = relevo_node::file::read(path).map_err(anyhow::Error::from)?;
    let reading = relevo_model::read(&text);
    match reading.cluster {
        Some(cluster) => Ok((text, cluster)),
        None => Err(check::mistakes(path, &text, &reading.diagnostics, json)),
    }
}

/// The service to measure: the one that was named, or the only one.
fn which(cluster: &ClusterFile, name: Option<&str>) -> Result<String, Failure> {
    let names: Vec<&str> = cluster.services.iter().map(|service| service.name.as_str()).collect();
    match (name, names.as_slice()) {
        (Some(name), names) if names.contains(&name) => Ok(name.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (_, []) => Err(Failure::Wrong(anyhow!("the file has no service"))),
        _ => Err(Failure::Wrong(anyhow!("say which service: --service {}", names.join(" or ")))),
    }
}

/// Prints HAProxy's file.
fn show(cluster: &ClusterFile, service: Option<&str>) -> Result<ExitCode, Failure> {
    let config = compare::show(cluster, service)?;
    print!("{}", config.text);
    for what in config.left_out {
        anstream::eprintln!("left out: {what}");
    }
    Ok(ExitCode::SUCCESS)
}
