//! `relevo reload`.

use std::process::ExitCode;

use relevo_api::client::ClientError;

use crate::commands::{ask, check};
use crate::failure::Failure;

/// Make the node read its cluster file again and follow it.
///
/// Services, pools, servers, rules and the like change without a break: no connection is refused, what runs may finish,
/// and what stays keeps its state. A file with mistakes, or with changes that need a restart (nodes, groups, addresses,
/// networks), is refused as a whole.
///
/// SIGHUP does the same, and tells in the log what came of it. Directors do not tell each other: reload each of them.
///
/// Exit code 0: the node follows the file. 1: it does not answer. 2: the file cannot be followed; nothing was changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  relevo check /etc/relevo/cluster.toml && relevo reload")]
pub(crate) struct Args {
    #[command(flatten)]
    node: ask::Node,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let reloaded = match args.node.client().reload() {
        Err(ClientError::Refused { error, details, .. }) if !details.is_empty() => {
            if json {
                println!("{}", serde_json::json!({ "error": error, "details": details }));
            } else {
                check::show_plain(&details);
                eprintln!("{error}; nothing was changed");
            }
            return Err(Failure::Shown);
        }
        answer => answer?,
    };
    if json {
        println!("{}", serde_json::json!(reloaded));
        return Ok(ExitCode::SUCCESS);
    }
    if !reloaded.details.is_empty() {
        check::show_plain(&reloaded.details);
    }
    if reloaded.changes.is_empty() {
        println!("nothing in {} has changed", reloaded.file.path.display());
    }
    for change in &reloaded.changes {
        println!("{change}");
    }
    Ok(ExitCode::SUCCESS)
}
