//! The figures of a drill that was played by a script on other software, in the same shape as `relevo drill run`.
//!
//! `peer_report now` prints the boot clock in nanoseconds, for marks.
//! `peer_report report NAME FOLDER...` measures one run for each folder, in which the script left `probe` (what
//! `relevo drill probe` printed), `watch-*` (what `relevo drill watch` printed), `address` (the asked one) and `marks` (start, fault and end, as
//! printed by `now`).
//! `peer_report table JSON NAME:GOAL:FOLDER...` measures all runs below each folder (`1`, `2`, ...), prints a table, and writes every
//! figure to the file JSON. The goal is that of the median gap in milliseconds, or `-`.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use relevo_lab::report::{DrillReport, Limits, Marks, Record, Run, measure, median, render};
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
        Some((verb, [json, contestants @ ..])) if verb == "table" && !contestants.is_empty() => {
            let all = contestants.iter().map(|text| contestant(text)).collect::<Result<Vec<_>>>()?;
            print!("{}", table(&all));
            fs::write(json, serde_json::to_string_pretty(&all)?).context(json.clone())?;
        }
        _ => bail!(
            "usage: peer_report now | peer_report report NAME FOLDER... | peer_report table JSON NAME:GOAL:FOLDER..."
        ),
    }
    Ok(())
}

/// All runs of one contestant.
#[derive(serde::Serialize)]
struct Contestant {
    name: String,
    /// What the median of the gaps is meant to be at most; `null`: nothing was promised.
    goal_ms: Option<u64>,
    gap_median_ms: u64,
    gap_worst_ms: u64,
    takeover_median_ms: Option<u64>,
    lost: u64,
    asked: u64,
    cut: u64,
    runs: Vec<Run>,
}

/// `NAME:GOAL:FOLDER`
fn contestant(text: &str) -> Result<Contestant> {
    let mut parts = text.splitn(3, ':');
    let (Some(name), Some(goal), Some(folder)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("{text:?} is not NAME:GOAL:FOLDER");
    };
    let goal_ms = if goal == "-" { None } else { Some(goal.parse().with_context(|| goal.to_owned())?) };
    let mut runs = Vec::new();
    for number in 1.. {
        let path = Path::new(folder).join(format!("{number}"));
        if !path.is_dir() {
            break;
        }
        runs.push(run(&path)?);
    }
    let gaps: Vec<u64> = runs.iter().map(|run| run.gap_ms).collect();
    let Some(gap_median_ms) = median(&gaps) else { bail!("{folder}: no runs") };
    let takeovers: Vec<u64> = runs.iter().filter_map(|run| run.takeover_ms).collect();
    let sum = |part: fn(&Run) -> u64| runs.iter().map(part).sum();
    Ok(Contestant {
        name: name.to_owned(),
        goal_ms,
        gap_median_ms,
        gap_worst_ms: gaps.iter().copied().max().unwrap_or(gap_median_ms),
        takeover_median_ms: median(&takeovers),
        lost: sum(|run| run.lost),
        asked: sum(|run| run.lost + run.answers),
        cut: sum(|run| run.cut),
        runs,
    })
}

fn table(all: &[Contestant]) -> String {
    let mut text = String::from(
        "| who | runs | gap, median | goal | gap, worst | address moved, median | new connections lost | of | kept ones cut |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for one in all {
        let ms = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value} ms"));
        text.push_str(&format!(
            "| {} | {} | {} ms | {} | {} ms | {} | {} | {} | {} |\n",
            one.name,
            one.runs.len(),
            one.gap_median_ms,
            ms(one.goal_ms),
            one.gap_worst_ms,
            ms(one.takeover_median_ms),
            one.lost,
            one.asked,
            one.cut
        ));
    }
    text
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
