//! `relevo reference`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use relevo_model::reference;
use serde_json::json;

use crate::failure::Failure;

/// Print every key of the cluster file: type, range, default, meaning.
///
/// In Markdown, or as data with --json.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo reference | less
  relevo reference --json")]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(Args {}: Args, json: bool) -> Result<ExitCode, Failure> {
    let text = if json {
        format!("{}\n", json!({ "tables": reference::document() }))
    } else {
        reference::markdown()
    };
    crate::printer::finish(std::io::stdout().write_all(text.as_bytes())).context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}
