//! `relevo bench sweep`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use relevo_bench::stats::time_words;
use relevo_bench::sweep::{self, Step};
use serde_json::{Value, json};

use super::load::{How, count};
use crate::failure::Failure;
use crate::printer::{BAD, TITLE, cell, paint, styled, table};
use crate::progress::Progress;

/// Ask with more and more connections at a time; print requests per second and time per request, and plot both.
///
/// Exit code 0: every request was answered with a status below 400. 1: not so. 2: wrong use.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    how: How,
    /// Requests of a run; several numbers make several lines in the plots.
    #[arg(long, short = 'n', value_name = "LIST", value_delimiter = ',', default_value = "1000,20000", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Vec<u64>,
    /// Connections at a time.
    #[arg(long, short, value_name = "LIST", value_delimiter = ',', default_value = "1,3,5,10,20", value_parser = count(60_000))]
    connections: Vec<u32>,
    /// Write the two plots here.
    #[arg(long, value_name = "FILE", default_value = "sweep.svg")]
    svg: PathBuf,
}

/// Runs it.
pub(super) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let most = args.connections.iter().copied().max().unwrap_or(1);
    let plan = args.how.plan(most)?;
    let connections: Vec<usize> = args.connections.iter().map(|connections| *connections as usize).collect();
    let mut progress = Progress::new();
    let said = |step: &Step| {
        let per_second = step.outcome.per_second();
        progress.show(&format!(
            "{} requests, {} connections: {per_second:.0}/s",
            step.requests, step.connections
        ));
    };
    let steps = sweep::run(&plan, &args.requests, &connections, said)?;
    progress.clear();
    let title = format!("{}{}", plan.target.host, plan.target.path);
    std::fs::write(&args.svg, sweep::svg(&title, &steps))
        .with_context(|| format!("cannot write {}", args.svg.display()))
        .map_err(Failure::Failed)?;
    if json {
        let list: Vec<Value> = steps.iter().map(Step::json).collect();
        let mut value = json!({ "steps": list, "svg": args.svg });
        if let (Some(fields), Some(how)) = (value.as_object_mut(), args.how.json(&plan).as_object_mut()) {
            fields.append(how);
        }
        println!("{value:#}");
    } else {
        anstream::println!("{}", paint(TITLE, &args.how.words(&plan)));
        let titles = ["REQUESTS", "CONNECTIONS", "REQUESTS/S", "TIME PER REQUEST", "P50", "P99", "FAILED"];
        anstream::print!("{}", table(2, &titles, &steps.iter().map(row).collect::<Vec<_>>()));
        println!("  plots: {}", args.svg.display());
    }
    Ok(ExitCode::from(u8::from(steps.iter().any(|step| step.outcome.fault().is_some()))))
}

fn row(step: &Step) -> Vec<crate::printer::Cell> {
    let outcome = &step.outcome;
    vec![
        cell(step.requests),
        cell(step.connections),
        cell(format!("{:.1}", outcome.per_second())),
        cell(format!("{:.3} ms", step.time_per_request_ms())),
        cell(time_words(outcome.latency.p50)),
        cell(time_words(outcome.latency.p99)),
        outcome.fault().map_or_else(|| cell("none"), |fault| styled(BAD, fault)),
    ]
}
