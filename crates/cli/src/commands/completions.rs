//! `relevo completions`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};

use crate::failure::Failure;

/// The variable by which a shell's function asks.
const VARIABLE: &str = "RELEVO_COMPLETE";

/// Print what a shell needs to complete relevo's words and the names of the running cluster.
///
/// What is printed asks relevo itself at each TAB, so that names are those of this moment. Load it when the shell starts rather than
/// from a file, so that it fits the program that is installed.
///
/// zsh must have its `compinit` before that line: `autoload -U compinit; compinit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo 'source <(relevo completions bash)' >> ~/.bashrc
  echo 'source <(relevo completions zsh)' >> ~/.zshrc
  echo 'relevo completions fish | source' > ~/.config/fish/completions/relevo.fish")]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let shell = args.shell.to_string();
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell).with_context(|| format!("{shell} cannot be taught"))?;
    completer
        .write_registration(VARIABLE, "relevo", "relevo", "relevo", &mut script)
        .context("cannot write")?;
    if json {
        let text = String::from_utf8_lossy(&script);
        println!("{}", serde_json::json!({ "shell": shell, "script": text }));
    } else {
        crate::printer::finish(std::io::stdout().write_all(&script)).context("cannot print")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers a shell's function, and ends the process, if it is one that asks.
pub(crate) fn answer() {
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(crate::command).var(VARIABLE).bin("relevo").complete();
    }
}
