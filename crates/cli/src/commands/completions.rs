//! `relevo completions`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap_complete::Shell;

use crate::failure::Failure;

/// Print what a shell needs to complete relevo's words.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo completions bash > /etc/bash_completion.d/relevo
  source <(relevo completions zsh)")]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(&crate::command()), "relevo", &mut script);
    if json {
        let text = String::from_utf8_lossy(&script);
        println!("{}", serde_json::json!({ "shell": args.shell.to_string(), "script": text }));
    } else {
        crate::printer::finish(std::io::stdout().write_all(&script)).context("cannot print")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The command without its hidden subcommands, which relevo starts itself: the generators offer those too.
fn visible(command: &clap::Command) -> clap::Command {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(visible);
    // clap takes only names that live as long as the process, which ends soon.
    let name: &'static str = command.get_name().to_owned().leak();
    clap::Command::new(name)
        .about(command.get_about().cloned().unwrap_or_default())
        .version(env!("CARGO_PKG_VERSION"))
        .args(command.get_arguments().cloned())
        .subcommands(shown)
}
