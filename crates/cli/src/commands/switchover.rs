//! `relevo switchover`.

use std::process::ExitCode;

use relevo_api::types::Switchover;
use relevo_model::NodeName;

use crate::commands::ask;
use crate::commands::names::{self, Kind};
use crate::failure::Failure;

/// Move a group of virtual addresses to another director.
///
/// Everything goes on serving meanwhile.
///
/// Run it on the active director to give the group to the next one, or on any director with `--to` and its own
/// name to take the group. It returns when the group has moved.
///
/// Exit code 0: moved. 1: it did not move, or the node does not answer. 2: the wish cannot be done; nothing was changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo switchover web
  relevo switchover web --to lb2")]
pub(crate) struct Args {
    /// The group, as `relevo status` shows it.
    #[arg(add = names::of(Kind::Group))]
    group: String,
    /// Who shall become active; whoever is next unless said.
    #[arg(long, value_name = "NODE", add = names::of(Kind::Director))]
    to: Option<String>,
    #[command(flatten)]
    node: ask::Node,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let wish = Switchover { to: args.to.as_deref().map(NodeName::new) };
    let switched = args.node.client().switchover(&args.group, &wish)?;
    if json {
        println!("{}", serde_json::json!(switched));
        return Ok(ExitCode::SUCCESS);
    }
    let (group, to, took) = (&args.group, &switched.to, switched.took_ms);
    match &switched.from {
        Some(from) if from == to => println!("{group} was with {to} already"),
        Some(from) => println!("{group} moved from {from} to {to} in {took} ms"),
        None => println!("{group} moved to {to} in {took} ms"),
    }
    Ok(ExitCode::SUCCESS)
}
