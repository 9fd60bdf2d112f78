//! `relevo demo`.

use std::process::ExitCode;

use crate::failure::Failure;

/// Arguments of `relevo demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the cluster up at the end and say how to go on.
    #[arg(long)]
    keep: bool,
}

/// Runs it.
pub(crate) fn run(args: Args, _json: bool) -> Result<ExitCode, Failure> {
    let _ = args.keep;
    Err(Failure::Wrong(anyhow::anyhow!("`relevo demo` is not there yet")))
}
