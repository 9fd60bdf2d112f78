//! `relevo upgrade`.

use std::process::ExitCode;

use crate::commands::ask;
use crate::failure::Failure;

/// Let the node go over to its program as it is on the disk now, without a break.
///
/// The node starts its own program anew, with the same arguments: a newer version, if the file was replaced since. The new
/// process gets all listening sockets, what is known of the servers, and the virtual addresses; no connection is refused.
/// The former one finishes its connections, at most `--upgrade-grace` seconds, and ends.
///
/// If the new process cannot start or is not ready within 10 s, the former one goes on as if nothing had happened, and what
/// the new one said is shown.
///
/// Exit code 0: the new process has taken over. 1: it has not, and the former one goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  install -m 755 relevo-new /usr/local/bin/relevo && relevo upgrade")]
pub(crate) struct Args {
    #[command(flatten)]
    node: ask::Node,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let upgraded = args.node.client().upgrade()?;
    if json {
        println!("{}", serde_json::json!(upgraded));
    } else {
        println!(
            "process {} goes on with {} {}, after {} ms; process {} finishes its connections",
            upgraded.to,
            upgraded.program.display(),
            upgraded.version,
            upgraded.took_ms,
            upgraded.from
        );
    }
    Ok(ExitCode::SUCCESS)
}
