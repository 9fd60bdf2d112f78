//! `relevo key`.

use std::process::ExitCode;

use anyhow::Context;

use crate::failure::Failure;

/// Print a new random key for the channel between directors.
///
/// Put the same one on all directors, where `[peers]` says, readable by its owner alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  (umask 077 && relevo key > /etc/relevo/peers.key)")]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(_args: Args, json: bool) -> Result<ExitCode, Failure> {
    let key = relevo_node::new_key().context("the system has no random numbers")?;
    if json {
        println!("{}", serde_json::json!({ "key": key }));
    } else {
        println!("{key}");
    }
    Ok(ExitCode::SUCCESS)
}
