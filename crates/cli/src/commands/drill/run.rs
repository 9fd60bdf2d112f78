//! `relevo drill run`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, anyhow};
use relevo_lab::drill::{self, Drill, Outcome, RunOptions, Stop, catalogue};
use relevo_lab::report::{DrillReport, Run, Summary, long_connections, render, render_summary, timeline};
use relevo_lab::{Lab, LabError, UpOptions};

use crate::commands::lab_names::{self, Kind};
use crate::commands::{check, example};
use crate::failure::Failure;
use crate::printer::{BAD, GOOD, TITLE, paint};
use crate::progress::Progress;

/// Run drills on a running lab, or on one that is brought up for them and taken down again.
///
/// Ctrl-C undoes the fault and takes down what was brought up.
///
/// Exit code 0: every drill passed. 1: one failed. 2: wrong use.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which ones; `relevo drill list` shows them.
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all", add = lab_names::of(Kind::Drill))]
    names: Vec<String>,
    /// All of them.
    #[arg(long)]
    all: bool,
    /// How often each is run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// New connections that the client opens in a second. More are for planned moves: while nobody answers, each waits
    /// for two seconds.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// Connections that drills with `flows` in their name keep open: a quarter downloads, a quarter uploads, half that ask
    /// now and then.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(2..=2000))]
    flows: u32,
    /// The service that is asked. Without it: the first in clear at a virtual address for which a drill means something, one with
    /// a cookie first, then HTTP, then TCP.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The running lab; not needed if there is one.
    #[arg(long, value_name = "NAME", conflicts_with = "file", add = lab_names::of(Kind::Lab))]
    lab: Option<String>,
    /// Bring up this cluster file for the drills; without a running lab, the example s4.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs it.
pub(super) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let drills = chosen(&args)?;
    let mut progress = Progress::new();
    let (lab, borrowed) = match (&args.file, &args.lab) {
        (Some(file), _) => (bring_up(&read(file, json)?)?, false),
        (None, None) if Lab::running().map_err(failure)?.is_empty() => (bring_up(example::S4)?, false),
        (None, name) => (Lab::open(name.as_deref()).map_err(failure)?, true),
    };
    let played = play(&lab, &drills, &args, json, &mut progress);
    if !borrowed {
        progress.show("taking the lab down");
        lab.down().map_err(failure)?;
    }
    progress.clear();
    let reports = played?;
    let summary = Summary::new(reports);
    let passed = summary.passed;
    if json {
        let value = match summary.drills.as_slice() {
            [one] => serde_json::to_string_pretty(one),
            _ => serde_json::to_string_pretty(&summary),
        };
        println!("{}", value.context("cannot write JSON")?);
    } else if summary.drills.len() > 1 {
        anstream::print!("{}", colour(&render_summary(&summary)));
    }
    Ok(ExitCode::from(u8::from(!passed)))
}

fn chosen(args: &Args) -> Result<Vec<&'static Drill>, Failure> {
    if args.all {
        return Ok(catalogue().iter().collect());
    }
    args.names
        .iter()
        .map(|name| {
            let names: Vec<&str> = catalogue().iter().map(|drill| drill.name).collect();
            let none = || anyhow!("there is no drill {name:?}; there are {}", names.join(", "));
            Ok(drill::find(name).ok_or_else(none)?)
        })
        .collect()
}

fn play(
    lab: &Lab,
    drills: &[&Drill],
    args: &Args,
    json: bool,
    progress: &mut Progress,
) -> Result<Vec<DrillReport>, Failure> {
    let program = std::env::current_exe().context("cannot find the running program")?;
    let repeat = args.repeat;
    let service = args.service.clone();
    let options =
        RunOptions { repeat, rate: args.rate, flows: args.flows, service, ..RunOptions::new(program) };
    let stopped = crate::interrupt::flag()?;
    let mut reports = Vec::new();
    for drill in drills {
        progress.show(&format!("{}: run 1", drill.name));
        let outcome = one(lab, drill, &options, &stopped, progress)?;
        progress.clear();
        if !json {
            anstream::println!("{}", colour(&render(&outcome.report)));
            let telling = outcome.report.gap_ms.is_some_and(|gap| gap.max >= 100);
            if let Some(record) = outcome.worst.filter(|_| telling) {
                println!("{}", timeline(&record));
            }
        }
        reports.push(outcome.report);
    }
    Ok(reports)
}

fn one(
    lab: &Lab,
    drill: &Drill,
    options: &RunOptions,
    stopped: &AtomicBool,
    progress: &mut Progress,
) -> Result<Outcome, Failure> {
    let said = |(number, count): (u32, u32), run: &Run| {
        progress.keep(&format!("{}: run {number} of {count}: {}", drill.name, in_short(run)));
        if number < count {
            progress.show(&format!("{}: run {} of {count}", drill.name, number + 1));
        }
    };
    drill::run(lab, drill, options, stopped, said).map_err(|stop| match stop {
        Stop::Interrupted => Failure::Failed(anyhow!("interrupted; the fault was undone")),
        Stop::Problem(problem) => Failure::Wrong(anyhow!(problem)),
    })
}

fn in_short(run: &Run) -> String {
    let mut words = format!("gap {} ms, lost {}, cut {}", run.gap_ms, run.lost, run.cut);
    if let Some(takeover) = run.takeover_ms {
        words.push_str(&format!(", takeover {takeover} ms"));
    }
    if let Some(flows) = &run.flows {
        words.push_str(&format!("; {}", long_connections(flows)));
    }
    if let Some(problem) = &run.problem {
        words.push_str(&format!(": {}", paint(BAD, problem)));
    }
    words
}

fn read(path: &Path, json: bool) -> Result<String, Failure> {
    let text = relevo_node::file::read(path).map_err(anyhow::Error::from)?;
    let reading = relevo_model::read(&text);
    if reading.cluster.is_none() {
        return Err(check::mistakes(path, &text, &reading.diagnostics, json));
    }
    Ok(text)
}

/// Brings a lab up with its progress shown.
pub(crate) fn bring_up(text: &str) -> Result<Lab, Failure> {
    let mut line = Progress::new();
    let progress = Box::new(move |text: &str| line.show(&format!("bringing the lab up: {text}")));
    Lab::up(text, UpOptions { progress, ..UpOptions::default() }).map_err(failure)
}

/// A lab's refusal as the command's.
pub(crate) fn failure(error: LabError) -> Failure {
    match error {
        LabError::Wrong(_) => Failure::Wrong(error.into()),
        LabError::Interrupted | LabError::Failed(_) => Failure::Failed(error.into()),
    }
}

fn colour(text: &str) -> String {
    let paint_line = |line: &str| {
        let trimmed = line.trim_start();
        let indent = &line[..line.len() - trimmed.len()];
        if let Some(rest) = trimmed.strip_prefix("PASS") {
            format!("{indent}{}{rest}", paint(GOOD, "PASS"))
        } else if let Some(rest) = trimmed.strip_prefix("FAIL") {
            format!("{indent}{}{rest}", paint(BAD, "FAIL"))
        } else if indent.is_empty() {
            paint(TITLE, line)
        } else {
            line.to_owned()
        }
    };
    text.lines().map(|line| paint_line(line) + "\n").collect()
}
