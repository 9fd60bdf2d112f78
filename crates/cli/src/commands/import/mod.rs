//! `relevo import`.

mod files;
mod report;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use relevo_import::{Entry, Options};
use serde_json::json;

use crate::commands::check;
use crate::failure::Failure;

/// Make a cluster file of other programs' files, with an account of every line.
///
/// Known are `interfaces` of ifupdown, keepalived.conf, haproxy.cfg, ldirectord.cf and dnsmasq.conf, by their names or by what is in
/// them. Give the files of all directors where they differ: NAME=FILE says whose a file is; without it, several of a kind are
/// called after their folders. The report tells of every line what became of it: carried over, only about (how), dropped (why).
///
/// Exit code 0: a cluster file was made, and it passes the check. 1: what the files say is no cluster. 2: a file could not be
/// read, or the cluster file is there already.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo import haproxy.cfg
  relevo import haproxy.cfg lb1/keepalived.conf lb2/keepalived.conf -o cluster.toml
  relevo import main=shared.conf spare=shared.conf --report report.txt -o cluster.toml")]
pub(crate) struct Args {
    /// The files; NAME=FILE: that of the node NAME.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Where the cluster file goes; otherwise to standard output, and the report to standard error.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The cluster's name.
    #[arg(long, default_value = "imported")]
    name: String,
    /// Where the report goes, instead of being printed.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write over files that are there.
    #[arg(long)]
    force: bool,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    for path in [&args.output, &args.report].into_iter().flatten() {
        if !args.force && path.exists() {
            return Err(anyhow!("{} is there already: --force writes over it", path.display()).into());
        }
    }
    let inputs = files::inputs(&args.files)?;
    let options = Options { name: args.name.clone(), include: &files::include };
    let imported = match relevo_import::import(&inputs, &options) {
        Ok(imported) => imported,
        Err(refused) => {
            show(&args, &refused.entries, json)?;
            return Err(Failure::Failed(anyhow!("{refused}")));
        }
    };
    let shown = args.output.clone().unwrap_or_else(|| PathBuf::from("cluster.toml"));
    let reading = relevo_model::read(&imported.text);
    if let Some(path) = &args.output {
        write(path, &imported.text, args.force)?;
    }
    if json {
        if let Some(path) = &args.report {
            write(path, &report::plain(&imported.entries), args.force)?;
        }
        println!(
            "{}",
            json!({
                "file": args.output.as_ref().map(|path| path.to_string_lossy()),
                "text": imported.text,
                "lines": imported.entries,
                "summary": report::Tally::of(&imported.entries),
                "diagnostics": reading.diagnostics,
            })
        );
        return Ok(ExitCode::SUCCESS);
    }
    if args.output.is_none() {
        crate::printer::finish(std::io::stdout().write_all(imported.text.as_bytes()))
            .context("cannot print")?;
    }
    show(&args, &imported.entries, json)?;
    if let Some(words) = check::told(&shown, &imported.text) {
        if args.output.is_some() {
            anstream::println!("{words}");
        } else {
            anstream::eprintln!("{words}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The report: to its file, or printed where the cluster file is not.
fn show(args: &Args, entries: &[Entry], json: bool) -> Result<(), Failure> {
    if let Some(path) = &args.report {
        write(path, &report::plain(entries), args.force)?;
    }
    if json {
        return Ok(());
    }
    let text = match &args.report {
        Some(_) => format!("{}\n", report::Tally::of(entries).words()),
        None => report::table(entries),
    };
    if args.output.is_some() {
        anstream::print!("{text}");
    } else {
        anstream::eprint!("{text}");
    }
    Ok(())
}

/// Writes a file; not over one that is there, unless told so.
fn write(path: &std::path::Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    // There may be passwords in it.
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
