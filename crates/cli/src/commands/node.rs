//! `relevo node`.

use std::process::ExitCode;

use crate::failure::Failure;

/// Arguments of `relevo node`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(_args: Args, _json: bool) -> Result<ExitCode, Failure> {
    Err(Failure::Wrong(anyhow::anyhow!("`relevo node` is not there yet")))
}
