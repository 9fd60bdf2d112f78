//! `relevo drill`.

mod eyes;
mod list;
mod run;

use std::process::ExitCode;

use crate::failure::Failure;
pub(crate) use run::{bring_up, failure};

/// Rehearses failures on a running lab and reports what a client noticed: the longest gap in the service, requests
/// lost, connections cut, and how long the address took to move.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo drill list
  relevo drill run director-crash
  relevo drill run switchover director-stop --repeat 20
  relevo drill run --all --file cluster.toml --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the drills that there are, and what each allows.
    List(list::Args),
    Run(run::Args),
    /// Ask a service without pause and print what happens; runs inside a client.
    #[command(hide = true)]
    Probe(eyes::ProbeArgs),
    /// Ask a service as one visitor with a cookie; runs inside a client.
    #[command(hide = true)]
    Visit(eyes::VisitArgs),
    /// Keep connections busy for long and say how they fared; runs inside a client.
    #[command(hide = true)]
    Flows(eyes::FlowsArgs),
    /// Print the arrivals and departures of addresses; runs inside a director.
    #[command(hide = true)]
    Watch(eyes::WatchArgs),
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    match args.command {
        Command::List(args) => list::run(args, json),
        Command::Run(args) => run::run(args, json),
        Command::Probe(args) => eyes::probe(args),
        Command::Visit(args) => eyes::visit(args),
        Command::Flows(args) => eyes::flows(args),
        Command::Watch(args) => eyes::watch(args),
    }
}
