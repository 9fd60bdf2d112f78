//! The figures of a drill that was played by a script on other software, in the same shape as `relevo drill run`.
//!
//! `peer_report now` prints the boot clock in nanoseconds, for marks.
//! `peer_report report NAME FOLDER...` measures one run for each folder, in which the script left `probe` (what
//! `relevo drill probe` printed), `watch-*` (what `relevo drill watch` printed), `address` (the asked one) and `marks` (start, fault and end, as
//! printed by `now`).

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use relevo_lab::report::{DrillReport, Limits, Marks, Record, Run, measure, render};
use relevo_model::Time;
use serde::de::DeserializeOwned;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((verb, [])) if verb == "now" => println!("{}", relevo_net::clock::now().as_nanos()),
        Some((verb, [name, folders @ ..])) if verb == "report" && !folders.is_empty() => {
            let runs = folders.iter().map(|folder| run(Path::new(folder))).collect::<Result<Vec<_>>>()?;
            let report = DrillReport::new(name, Limits::default(), runs);
            print!("{}", words(&report));
        }
        _ => bail!("usage: peer_report now | peer_report report NAME FOLDER..."),
    }
    Ok(())
}

/// The drill's own words, with median and worst in place of a verdict: nothing was promised.
fn words(report: &DrillReport) -> String {
    let mut text: String = render(report)
        .lines()
        .filter(|line| !line.starts_with("  PASS"))
        .map(|line| format!("{line}\n"))
        .collect();
    if let Some(gap) = report.gap_ms {
        text.push_str(&format!("  gap: median {} ms, worst {} ms\n", gap.median, gap.max));
    }
    text
}

fn run(folder: &Path) -> Result<Run> {
    let marks: Vec<u64> = fs::read_to_string(folder.join("marks"))
        .with_context(|| format!("{}: no marks", folder.display()))?
        .split_whitespace()
        .map(|word| word.parse().with_context(|| format!("{word:?} is no time")))
        .collect::<Result<_>>()?;
    let &[start, fault, end] = marks.as_slice() else {
        bail!("{}: marks are start, fault and end", folder.display());
    };
    let mut holdings = Vec::new();
    for path in files(folder, "watch-")? {
        holdings.extend(lines(&path)?);
    }
    let address = fs::read_to_string(folder.join("address"))?.trim().parse().context("address")?;
    let marks = Marks {
        start: Time::from_nanos(start),
        fault: Time::from_nanos(fault),
        undone: None,
        end: Time::from_nanos(end),
    };
    Ok(measure(&Record { address, marks, probes: lines(&folder.join("probe"))?, holdings }))
}

fn files(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display())))
        .collect()
}
