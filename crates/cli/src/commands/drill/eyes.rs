//! `relevo drill probe` and `relevo drill watch`: what drills run inside the lab. One JSON line for each event, at once;
//! they end when their standard input ends, so that nothing of them outlives the drill.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use relevo_lab::{monitor, probe};
use relevo_model::NodeName;
use serde::Serialize;

use crate::failure::Failure;

/// Arguments of `relevo drill probe`.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeArgs {
    /// Whom to ask.
    #[arg(long, value_name = "IP:PORT")]
    target: SocketAddr,
    /// From one new connection to the next, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    interval_ms: u64,
    /// How many new connections come at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    at_once: u32,
    /// Longest wait for an answer, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    deadline_ms: u64,
    /// How many connections are kept.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=1000))]
    keepalive: u32,
    /// From one question on a kept connection to the next, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    keepalive_interval_ms: u64,
    /// What is asked for.
    #[arg(long, default_value = "/")]
    path: String,
}

/// Arguments of `relevo drill visit`.
#[derive(Debug, clap::Args)]
pub(super) struct VisitArgs {
    /// Whom to ask.
    #[arg(long, value_name = "IP:PORT")]
    target: SocketAddr,
    /// The cookie's name.
    #[arg(long, value_name = "NAME")]
    cookie: String,
    /// Its value at first; none: a new visitor.
    #[arg(long)]
    value: Option<String>,
    /// How often to ask.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    times: u32,
}

/// Arguments of `relevo drill flows`.
#[derive(Debug, clap::Args)]
pub(super) struct FlowsArgs {
    /// Whom to ask.
    #[arg(long, value_name = "IP:PORT")]
    target: SocketAddr,
    /// Downloads.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=1000))]
    downloads: u32,
    /// Uploads.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    uploads: u32,
    /// Connections that ask now and then.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=1000))]
    kept: u32,
    /// How long a download or upload waits after each 16 KiB, at least.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pause_ms: u64,
    /// The service is of mode http: each answer may come from another server, and may be its connection's last.
    #[arg(long)]
    web: bool,
}

/// Arguments of `relevo drill watch`.
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// What the node is called in the events.
    #[arg(long)]
    node: String,
    /// An address of interest; may be given again.
    #[arg(long, required = true, value_name = "IP")]
    address: Vec<IpAddr>,
    /// Stay a process of the node: for trying it by hand.
    #[arg(long)]
    stay: bool,
}

/// Runs the probe.
pub(super) fn probe(args: ProbeArgs) -> Result<ExitCode, Failure> {
    let options = probe::Options {
        target: args.target,
        interval: Duration::from_millis(args.interval_ms),
        at_once: args.at_once,
        deadline: Duration::from_millis(args.deadline_ms),
        keep_alive: args.keepalive,
        keep_interval: Duration::from_millis(args.keepalive_interval_ms),
        path: args.path,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the probe")
        .map_err(Failure::Failed)?;
    let (ended, end) = tokio::sync::oneshot::channel();
    at_end_of_input(move || drop(ended));
    runtime.block_on(probe::run(options, print, async {
        let _: Result<(), _> = end.await;
    }));
    Ok(ExitCode::SUCCESS)
}

/// Runs the visitor.
pub(super) fn visit(args: VisitArgs) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the visitor")
        .map_err(Failure::Failed)?;
    runtime.block_on(probe::visit(args.target, &args.cookie, args.value, args.times, print));
    Ok(ExitCode::SUCCESS)
}

/// Runs the client with long connections.
pub(super) fn flows(args: FlowsArgs) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the client")
        .map_err(Failure::Failed)?;
    let (ended, end) = tokio::sync::oneshot::channel();
    at_end_of_input(move || drop(ended));
    let counts = probe::Counts {
        downloads: args.downloads,
        uploads: args.uploads,
        kept: args.kept,
        pause: Duration::from_millis(args.pause_ms),
        web: args.web,
    };
    runtime.block_on(probe::flows(args.target, counts, print, async {
        let _: Result<(), _> = end.await;
    }));
    Ok(ExitCode::SUCCESS)
}

/// Runs the watch.
pub(super) fn watch(args: WatchArgs) -> Result<ExitCode, Failure> {
    let options =
        monitor::Options { node: NodeName::new(&args.node), addresses: args.address, leave: !args.stay };
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    // The input is looked at from a thread of its own, begun when the node's namespaces have been left.
    let mut listening = false;
    monitor::watch(&options, print, move || {
        if !listening {
            listening = true;
            let end = Arc::clone(&end);
            at_end_of_input(move || end.store(true, Ordering::Relaxed));
        }
        ended.load(Ordering::Relaxed)
    })
    .map_err(Failure::Failed)?;
    Ok(ExitCode::SUCCESS)
}

fn print<T: Serialize>(event: &T) {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the end of the input is near.
    let _ = out.write_all(&line).and_then(|()| out.flush());
}

fn at_end_of_input(then: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while matches!(std::io::stdin().read(&mut buffer), Ok(count) if count > 0) {}
        then();
    });
}
