//! The one binary. Arguments become commands, commands become words or JSON; nothing is decided here.
//!
//! Exit codes: 0, it was done; 1, it was tried and the answer is no (a drill failed, a node does not answer);
//! 2, the wish was wrong and nothing was changed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this room's purpose is to print")]

mod commands;
#[cfg(test)]
mod documents;
mod failure;
mod interrupt;
mod printer;
mod progress;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::failure::Failure;

/// A highly available web cluster from one cluster file.
#[derive(Debug, Parser)]
#[command(name = "relevo", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
Exit code 0: it was done. 1: it was tried, and the answer is no. 2: the wish was wrong; nothing was changed.

Examples:
  relevo example minimal > cluster.toml
  relevo check cluster.toml
  relevo lab up cluster.toml
  relevo node run --file cluster.toml --name lb1
  relevo status")]
struct Arguments {
    /// Print one JSON value instead of words.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// What can be done; a command without words here has them where its arguments are.
#[derive(Debug, Subcommand)]
enum Command {
    Check(commands::check::Args),
    Example(commands::example::Args),
    Import(commands::import::Args),
    Reference(commands::reference::Args),
    Node(commands::node::Args),
    Status(commands::status::Args),
    Flows(commands::flows::Args),
    /// Say what would happen, and why.
    #[command(subcommand)]
    Explain(commands::explain::Args),
    Incidents(commands::incidents::Args),
    Doctor(commands::doctor::Args),
    Switchover(commands::switchover::Args),
    Server(commands::server::Args),
    Affinity(commands::affinity::Args),
    Leases(commands::leases::Args),
    Reload(commands::reload::Args),
    Upgrade(commands::upgrade::Args),
    /// Make the bridges, tunnels, bonds and VLANs that the cluster file wants on this machine.
    Net(commands::net::Args),
    /// Build the whole cluster out of network namespaces on this machine.
    Lab(commands::lab::Args),
    /// Rehearse a failure and report what a client noticed.
    Drill(commands::drill::Args),
    /// Show it all on this machine: a cluster comes up, loses its active director, and goes on serving.
    Demo(commands::demo::Args),
    /// A small web server that says who it is, when, and who asked.
    Origin(commands::origin::Args),
    Key(commands::key::Args),
    Bench(commands::bench::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let json = arguments.json;
    match arguments.command {
        Command::Check(args) => commands::check::run(args, json),
        Command::Example(args) => commands::example::run(args, json),
        Command::Import(args) => commands::import::run(args, json),
        Command::Reference(args) => commands::reference::run(args, json),
        Command::Node(args) => commands::node::run(args, json),
        Command::Explain(args) => commands::explain::run(args, json),
        Command::Status(args) => commands::status::run(args, json),
        Command::Flows(args) => commands::flows::run(args, json),
        Command::Incidents(args) => commands::incidents::run(args, json),
        Command::Doctor(args) => commands::doctor::run(args, json),
        Command::Switchover(args) => commands::switchover::run(args, json),
        Command::Affinity(args) => commands::affinity::run(args, json),
        Command::Leases(args) => commands::leases::run(args, json),
        Command::Reload(args) => commands::reload::run(args, json),
        Command::Upgrade(args) => commands::upgrade::run(args, json),
        Command::Server(args) => commands::server::run(args, json),
        Command::Net(args) => commands::net::run(args, json),
        Command::Lab(args) => commands::lab::run(args, json),
        Command::Drill(args) => commands::drill::run(args, json),
        Command::Demo(args) => commands::demo::run(args, json),
        Command::Origin(args) => commands::origin::run(args, json),
        Command::Key(args) => commands::key::run(args, json),
        Command::Bench(args) => commands::bench::run(args, json),
        Command::Completions(args) => commands::completions::run(args, json),
        Command::Man(args) => commands::man::run(args, json),
    }
}

/// The whole command line, for completions and manual pages.
fn command() -> clap::Command {
    Arguments::command()
}

fn main() -> ExitCode {
    end_quietly_without_a_reader();
    commands::completions::answer();
    let arguments = Arguments::parse();
    let json = arguments.json;
    match run(arguments) {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}

/// Printing panics when nobody reads any more, as in `relevo example s4 | head -1`, which is no failure, or when the
/// disk is full, which is one, but not a bug.
fn end_quietly_without_a_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let words = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if !words.starts_with("failed printing to std") {
            usual(info);
        } else if words.contains("Broken pipe") {
            std::process::exit(0);
        } else {
            let _ = writeln!(std::io::stderr(), "relevo: {words}");
            std::process::exit(1);
        }
    }));
}
