//! `relevo incidents`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};

use crate::failure::Failure;
use crate::printer::{self, ago, table};

/// Show what happened to this node: takeovers, two active directors, ways between directors that failed, runs that did not end in
/// order.
///
/// It reads the state folder, and so works when the node does not run.
///
/// Exit code 0: they were read, be they none. 2: there is no such folder, or no permission.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo incidents
  relevo incidents --last 100
  relevo incidents --json | jq '.[] | select(.kind == \"active\")'")]
pub(crate) struct Args {
    /// How many, the latest.
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// The folder of what the node remembers over restarts.
    #[arg(long, value_name = "DIR", env = "RELEVO_STATE_DIR", default_value = "/var/lib/relevo")]
    state_dir: PathBuf,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    // A wrong folder must not look like a quiet night.
    if !args.state_dir.is_dir() {
        let folder = args.state_dir.display();
        return Err(Failure::Wrong(anyhow!(
            "there is no state folder {folder}: no node has run on this machine, or its folder is another one (--state-dir)"
        )));
    }
    let all = relevo_node::incidents::read(&args.state_dir)
        .with_context(|| format!("cannot read the incidents in {}", args.state_dir.display()))?;
    let list = &all[all.len().saturating_sub(args.last)..];
    if json {
        println!("{}", serde_json::json!(list));
    } else if list.is_empty() {
        println!("nothing has happened yet, as far as {} knows", args.state_dir.display());
    } else {
        let now = printer::now_ms();
        let rows: Vec<_> = list
            .iter()
            .map(|one| {
                let when = format!("{} ago", ago(now, one.at));
                vec![printer::cell(when), printer::cell(&one.kind), printer::cell(&one.text)]
            })
            .collect();
        anstream::print!("{}", table(0, &["WHEN", "KIND", "WHAT"], &rows));
    }
    Ok(ExitCode::SUCCESS)
}
