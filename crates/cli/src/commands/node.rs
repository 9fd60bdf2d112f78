//! `relevo node`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use relevo_node::logging::Format;
use relevo_node::{Options, RunError};

use crate::commands::check;
use crate::failure::Failure;

/// Run this machine's part of the cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Run),
}

/// Run this machine's part of the cluster until SIGTERM or Ctrl-C.
///
/// That is the director, which holds virtual addresses; the balancer; and the control socket that `relevo status`
/// asks.
///
/// When it is stopped (SIGTERM, Ctrl-C) it first gives its addresses to the next director while it still
/// answers, then lets requests in progress end. A second signal stops it at once.
///
/// The log goes to stderr; the variable RELEVO_LOG chooses what is written (error, warn, info, debug).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  relevo node run --file /etc/relevo/cluster.toml --name lb1

Virtual addresses need root, or CAP_NET_ADMIN and CAP_NET_RAW. \
A cluster without virtual addresses runs as any user; give it folders of your own:
  relevo node run --file my.toml --name lb1 --run-dir ~/lb1/run --state-dir ~/lb1/state")]
struct Run {
    /// The cluster file.
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// The folder of the files that it names, where that is not its own: for labs.
    #[arg(long, value_name = "DIR", hide = true)]
    files_from: Option<PathBuf>,
    /// Which of its nodes this machine is; the host name unless said.
    #[arg(long, short, value_name = "NODE")]
    name: Option<String>,
    /// The folder of the control socket.
    #[arg(long, value_name = "DIR", env = "RELEVO_RUN_DIR", default_value = relevo_api::RUN_DIR)]
    run_dir: PathBuf,
    /// The folder of what is remembered over restarts.
    #[arg(long, value_name = "DIR", env = "RELEVO_STATE_DIR", default_value = "/var/lib/relevo")]
    state_dir: PathBuf,
    /// The key of the channel between directors, instead of the file that the cluster file names.
    #[arg(long, value_name = "FILE", env = "RELEVO_PEERS_KEY")]
    peers_key: Option<PathBuf>,
    /// How the log is written; json with --json.
    #[arg(long, value_name = "FORMAT")]
    log: Option<Log>,
    /// The balancer's threads; 0: one for each CPU.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_workers)]
    workers: usize,
    /// Seconds that requests in progress have when the node is stopped.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=3600))]
    grace: u32,
    /// Seconds that requests and connections in progress have when another process takes over (relevo upgrade).
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(0..=86400))]
    upgrade_grace: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Log {
    /// A line of words.
    Text,
    /// A JSON object on each line.
    Json,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let Command::Run(run) = args.command;
    let log = match run.log {
        Some(Log::Text) => Format::Text,
        Some(Log::Json) => Format::Json,
        None if json => Format::Json,
        None => Format::Text,
    };
    let options = Options {
        file: run.file,
        files_from: run.files_from,
        name: run.name,
        run_dir: run.run_dir,
        state_dir: run.state_dir,
        peers_key: run.peers_key,
        log,
        workers: run.workers,
        grace: Duration::from_secs(u64::from(run.grace)),
        upgrade_grace: Duration::from_secs(u64::from(run.upgrade_grace)),
    };
    match relevo_node::run(&options) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(RunError::Mistakes { path, text, diagnostics }) => {
            Err(check::mistakes(&path, &text, &diagnostics, json))
        }
        Err(error) => Err(Failure::Wrong(error.into())),
    }
}

fn parse_workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(workers) if workers <= 1024 => Ok(workers),
        _ => Err("a whole number from 0 to 1024".to_owned()),
    }
}
