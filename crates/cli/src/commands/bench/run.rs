//! `relevo bench run`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use relevo_bench::load::{self, End, Outcome};
use relevo_bench::stats::{size_words, time_words};

use super::load::{How, count, time};
use crate::failure::Failure;
use crate::printer::{BAD, GOOD, TITLE, cell, paint, styled, table};

/// Ask again and again, and print how many answers came, how fast, and what went wrong.
///
/// Closed loop: each connection asks again as soon as it has an answer. Open loop (--rate): requests are due at a fixed
/// rate whatever the answers do, and latencies count from when they were due.
///
/// Exit code 0: every request was answered with a status below 400. 1: not so. 2: wrong use.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    how: How,
    /// Connections at a time.
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = count(60_000))]
    connections: u32,
    /// For how long; 10s unless --requests is given.
    #[arg(long, short, value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// How many requests.
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
}

/// Runs it.
pub(super) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let mut plan = args.how.plan(args.connections)?;
    plan.end = match (args.duration, args.requests) {
        (None, None) => plan.end,
        (after, requests) => End { after, requests },
    };
    let outcome = load::run(&plan)?;
    if json {
        let (mut value, mut how) = (outcome.json(), args.how.json(&plan));
        if let (Some(fields), Some(how)) = (value.as_object_mut(), how.as_object_mut()) {
            fields.append(how);
            if let Some(fault) = outcome.fault() {
                fields.insert("error".to_owned(), fault.into());
            }
        }
        println!("{value:#}");
    } else {
        anstream::println!("{}", paint(TITLE, &args.how.words(&plan)));
        anstream::print!("{}", words(&outcome));
    }
    match outcome.fault() {
        None => Ok(ExitCode::SUCCESS),
        // With --json the value has said it.
        Some(_) if outcome.answers > 0 || json => Ok(ExitCode::FAILURE),
        Some(fault) => Err(Failure::Failed(anyhow!(fault))),
    }
}

/// What came of it, in lines.
fn words(outcome: &Outcome) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "  {} answers in {:.2} s: {:.1} requests/s, {}/s received, {} connection{}",
        outcome.answers,
        outcome.took.as_secs_f64(),
        outcome.per_second(),
        size_words(outcome.received as f64 / outcome.took.as_secs_f64().max(1e-9)),
        outcome.connects,
        if outcome.connects == 1 { "" } else { "s" }
    );
    if outcome.answers > 0 {
        out.push_str(&times(outcome));
    }
    let mut rows = Vec::new();
    for (class, count) in
        outcome.statuses.iter().enumerate().filter(|(class, count)| *class > 0 && **count > 0)
    {
        let style = if class < 4 { GOOD } else { BAD };
        rows.push(vec![cell(*count), styled(style, format!("answers with status {class}xx"))]);
    }
    rows.extend(outcome.failures.iter().map(|(kind, count)| vec![cell(*count), styled(BAD, kind.words())]));
    if outcome.unsent > 0 {
        rows.push(vec![
            cell(outcome.unsent),
            styled(BAD, "were due and not sent: all connections waited for answers"),
        ]);
    }
    if !rows.is_empty() {
        out.push_str(&table(2, &["COUNT", "WHAT"], &rows));
    }
    out
}

fn times(outcome: &Outcome) -> String {
    let latency = outcome.latency;
    let times = [latency.mean, latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
    let row = times.iter().map(|us| cell(time_words(*us))).collect();
    table(2, &["MEAN", "P50", "P90", "P99", "P99.9", "MAX"], &[row])
}
