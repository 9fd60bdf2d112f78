//! `relevo key`.

use std::process::ExitCode;

use anyhow::Context;

use crate::failure::Failure;

/// Print a new random key: for the channel between directors, with `--id` for the signatures of adverts.
///
/// Put the same one on all directors, where `[peers]` or `hmac` says, readable by its owner alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  (umask 077 && relevo key > /etc/relevo/peers.key)
  (umask 077 && relevo key --id 1 > /etc/relevo/vrrp.key)")]
pub(crate) struct Args {
    /// The key's number in a file for `hmac` of a group; without it the key is for `[peers]`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=255))]
    id: Option<u8>,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let key = relevo_node::new_key().context("the system has no random numbers")?;
    match (args.id, json) {
        (Some(id), true) => println!("{}", serde_json::json!({ "id": id, "key": key })),
        (None, true) => println!("{}", serde_json::json!({ "key": key })),
        (Some(id), false) => println!("{id} {key}"),
        (None, false) => println!("{key}"),
    }
    Ok(ExitCode::SUCCESS)
}
