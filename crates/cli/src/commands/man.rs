//! `relevo man`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use crate::failure::Failure;

/// Print a manual page, or write all of them into a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo man | man -l -
  relevo man node-run | man -l -
  relevo man --dir /usr/local/share/man/man1")]
pub(crate) struct Args {
    /// Which page, such as `node-run`; the main one unless said.
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    page: Option<String>,
    /// Write the pages of all commands into this folder.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let pages = pages()?;
    if let Some(dir) = args.dir {
        let written = write_all(&pages, &dir)?;
        if json {
            println!(
                "{}",
                json!({ "written": written.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>() })
            );
        } else {
            println!("{} written to {}", crate::printer::count(written.len(), "page"), dir.display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = args.page.map_or_else(|| "relevo".to_owned(), |page| format!("relevo-{page}"));
    let Some(page) = pages.iter().find(|page| page.name == wanted) else {
        let names: Vec<&str> = pages.iter().filter_map(|page| page.name.strip_prefix("relevo-")).collect();
        let error = anyhow::anyhow!("there is no page {:?}; there are {}", &wanted[7..], names.join(", "));
        return Err(Failure::Wrong(error));
    };
    if json {
        println!("{}", json!({ "name": page.name, "text": String::from_utf8_lossy(&page.text) }));
    } else {
        crate::printer::finish(std::io::stdout().write_all(&page.text)).context("cannot print")?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Page {
    name: String,
    text: Vec<u8>,
}

fn pages() -> Result<Vec<Page>, Failure> {
    let mut command = crate::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, &mut pages).context("cannot make the manual pages")?;
    Ok(pages)
}

fn collect(command: &clap::Command, pages: &mut Vec<Page>) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    let version = format!("relevo {}", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(command.clone()).source(version).render(&mut text)?;
    pages.push(Page { name, text });
    let mut shown = command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set());
    shown.try_for_each(|sub| collect(sub, pages))
}

fn write_all(pages: &[Page], dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut written = Vec::new();
    for page in pages {
        let path = dir.join(format!("{}.1", page.name));
        std::fs::write(&path, &page.text).with_context(|| format!("cannot write {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}
