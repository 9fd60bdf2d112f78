//! What came out: medians of ratios, a table for people, one for the documentation, a file for machines.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::kernel::{self, KernelReport};
use super::process::find;
use crate::load::Outcome;
use crate::stats::{Ratio, median, rounded, size_words, time_words};

/// One run of one balancer.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// CPU time of the balancer for each request, microseconds.
    pub cpu_us: f64,
    /// Requests in a second.
    pub per_second: f64,
    /// Latencies while each connection asks again at once.
    pub saturated: Times,
    /// Requests in a second of the run at a fixed rate.
    pub paced_per_second: f64,
    /// Latencies at that rate, counted from when each request was due.
    pub paced: Times,
    /// The balancer's memory after the run, bytes (PSS).
    pub memory: f64,
}

/// Latencies, microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Half of the answers came within this time.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// 99 of 100 in the median quarter of a second.
    pub p99_calm: f64,
}

impl Times {
    /// Not measured.
    pub(super) const NONE: Self = Self { p50: f64::NAN, p99: f64::NAN, p999: f64::NAN, p99_calm: f64::NAN };

    /// Those of a load.
    pub(super) fn of(outcome: &Outcome) -> Self {
        let latency = &outcome.latency;
        Self { p50: latency.p50, p99: latency.p99, p999: latency.p999, p99_calm: latency.p99_calm }
    }
}

/// All pairs of one workload with one peer.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The workload's name.
    pub workload: String,
    /// The peer's name.
    pub peer: &'static str,
    /// Ours and the peer's, one after the other in time.
    pub pairs: Vec<(Run, Run)>,
    /// Pairs that were thrown away because one of the two saw errors.
    pub invalid: usize,
}

/// Connections that do nothing.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How many.
    pub connections: usize,
    /// Memory of each, bytes.
    pub bytes_each: f64,
    /// CPU time in a second, milliseconds.
    pub cpu_ms_per_second: f64,
}

/// Servers that are checked.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// How many.
    pub servers: usize,
    /// Checks that the servers answered in a second.
    pub per_second: f64,
    /// CPU time in a second, milliseconds.
    pub cpu_ms_per_second: f64,
    /// The balancer's memory, bytes.
    pub memory: f64,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Workloads of requests.
    pub comparisons: Vec<Comparison>,
    /// Idle connections: ours, the peer's.
    pub idle: Option<[Idle; 2]>,
    /// Checks: ours, the peer's.
    pub checks: Option<[Checks; 2]>,
    /// What a request costs the whole machine.
    pub kernel: Option<KernelReport>,
    /// What was not measured, and why: sentences.
    pub skipped: Vec<String>,
    /// What was on in both balancers.
    pub features: String,
    /// Versions of everything that took part.
    pub versions: Vec<String>,
    /// The machine in a line.
    pub machine: String,
    /// The command that repeats it.
    pub command: String,
    /// How we are called: `haproxy` in a self-test.
    pub us: &'static str,
}

impl Checks {
    /// CPU time of one check, microseconds.
    fn us_each(&self) -> f64 {
        if self.per_second > 0.0 { self.cpu_ms_per_second * 1e3 / self.per_second } else { f64::NAN }
    }
}

impl Comparison {
    fn ratio(&self, of: impl Fn(&Run) -> f64) -> Option<Ratio> {
        Ratio::of(self.pairs.iter().map(|(ours, theirs)| (of(ours), of(theirs))))
    }

    fn both(&self, of: impl Fn(&Run) -> f64) -> [f64; 2] {
        [
            median(self.pairs.iter().map(|(ours, _)| of(ours))),
            median(self.pairs.iter().map(|(_, theirs)| of(theirs))),
        ]
    }

    fn cells(&self) -> Option<Vec<String>> {
        let ratio = self.ratio(|run| run.cpu_us)?;
        let two =
            |values: [f64; 2], show: fn(f64) -> String| format!("{} / {}", show(values[0]), show(values[1]));
        Some(vec![
            self.workload.clone(),
            self.peer.to_owned(),
            two(self.both(|run| run.cpu_us), |us| format!("{us:.2}")),
            format!("{:.2}", ratio.median),
            format!("{:.2} - {:.2}", ratio.least, ratio.most),
            two(self.both(|run| run.per_second), |rate| format!("{rate:.0}")),
            two(self.both(|run| run.paced.p50), time_words),
            two(self.both(|run| run.paced.p99), time_words),
            two(self.both(|run| run.paced.p99_calm), time_words),
            two(self.both(|run| run.paced.p999), time_words),
            two(self.both(|run| run.memory), size_words),
        ])
    }

    fn json(&self) -> Option<Value> {
        let ratio = self.ratio(|run| run.cpu_us)?;
        let pair = |of: fn(&Run) -> f64| {
            let [ours, theirs] = self.both(of).map(rounded);
            json!({ "relevo": ours, "peer": theirs })
        };
        Some(json!({
            "workload": self.workload,
            "peer": self.peer,
            "cpu_us_per_request": pair(|run| run.cpu_us),
            "ratio": rounded(ratio.median),
            "ratio_least": rounded(ratio.least),
            "ratio_most": rounded(ratio.most),
            "p99_ratio": self.ratio(|run| run.paced.p99).map(|ratio| rounded(ratio.median)),
            "pairs": self.pairs.len(),
            "invalid_pairs": self.invalid,
            "requests_per_second": pair(|run| run.per_second),
            "paced_requests_per_second": pair(|run| run.paced_per_second),
            "p50_us": pair(|run| run.paced.p50),
            "p99_us": pair(|run| run.paced.p99),
            "p99.9_us": pair(|run| run.paced.p999),
            "p99_calm_us": pair(|run| run.paced.p99_calm),
            "p99_calm_ratio": self.ratio(|run| run.paced.p99_calm).map(|ratio| rounded(ratio.median)),
            "saturated_p50_us": pair(|run| run.saturated.p50),
            "saturated_p99_us": pair(|run| run.saturated.p99),
            "saturated_p99.9_us": pair(|run| run.saturated.p999),
            "memory_bytes": pair(|run| run.memory),
        }))
    }
}

/// Titles of the table's columns.
const TITLES: [&str; 11] = [
    "workload",
    "peer",
    "CPU us/request",
    "ratio",
    "min - max",
    "requests/s",
    "p50",
    "p99",
    "calm p99",
    "p99.9",
    "memory",
];

impl Report {
    /// Whether every workload that was not skipped has `pairs` pairs, or `rounds` rounds.
    pub fn is_whole(&self, pairs: usize, rounds: usize) -> bool {
        self.comparisons.iter().all(|comparison| comparison.pairs.len() == pairs)
            && self.kernel.as_ref().is_none_or(|kernel| kernel.is_whole(rounds))
    }

    fn rows(&self) -> Vec<Vec<String>> {
        self.comparisons.iter().filter_map(Comparison::cells).collect()
    }

    /// The sentences under the table.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let ratio = |ours: f64, theirs: f64| {
            if theirs > 0.0 { format!("{:.2}", ours / theirs) } else { "-".to_owned() }
        };
        if let Some([ours, theirs]) = &self.idle {
            notes.push(format!(
                "idle: {} connections take {:.0} / {:.0} bytes each (ratio {}), {:.2} / {:.2} ms CPU time in a second",
                ours.connections,
                ours.bytes_each,
                theirs.bytes_each,
                ratio(ours.bytes_each, theirs.bytes_each),
                ours.cpu_ms_per_second,
                theirs.cpu_ms_per_second
            ));
        }
        if let Some([ours, theirs]) = &self.checks {
            let (mine, other) = (ours.us_each(), theirs.us_each());
            notes.push(format!(
                "checks: {} servers, {:.0} / {:.0} checks in a second take {mine:.1} / {other:.1} us CPU time each (ratio {}), {} / {} memory",
                ours.servers,
                ours.per_second,
                theirs.per_second,
                ratio(mine, other),
                size_words(ours.memory),
                size_words(theirs.memory)
            ));
        }
        for comparison in self.comparisons.iter().filter(|comparison| comparison.pairs.is_empty()) {
            let (workload, peer, invalid) = (&comparison.workload, comparison.peer, comparison.invalid);
            notes.push(format!("{workload} beside {peer}: no valid pair, {invalid} with errors"));
        }
        notes.extend(self.skipped.iter().map(|what| format!("skipped: {what}")));
        notes
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("with", self.features.clone()),
            ("machine", self.machine.clone()),
            ("versions", self.versions.join("; ")),
            ("repeat", self.command.clone()),
        ]
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let rows = self.rows();
        let mut out = aligned(&TITLES, &rows);
        if !rows.is_empty() {
            let us = self.us;
            let _ = writeln!(
                out,
                "\n{us} / peer; a ratio below 1: {us} uses less CPU time for a request, in the same run.\n\
                 p50 to p99.9: at one fixed rate for both, a quarter of what the slower one bears.\n\
                 calm p99: the same in the median quarter of a second, as a stall of the whole machine does not change it."
            );
        }
        for note in self.notes() {
            let _ = writeln!(out, "{note}");
        }
        if let Some(kernel) = &self.kernel {
            let gap = if out.is_empty() { "" } else { "\n" };
            let _ = write!(out, "{gap}{}", aligned(&kernel::TITLES, &kernel.rows()));
            let _ = writeln!(
                out,
                "\nbusy: all CPUs of this machine, client and servers included. tasks: of it, what was counted for load, servers and program.\n\
                 route: no balancing, the limit."
            );
            for note in kernel.notes() {
                let _ = writeln!(out, "{note}");
            }
        }
        for (name, fact) in self.facts() {
            let _ = writeln!(out, "{name:<9} {fact}");
        }
        out
    }

    /// The table for the documentation.
    pub fn markdown(&self) -> String {
        let mut out = piped(&TITLES, self.rows());
        out.push('\n');
        for note in self.notes() {
            let _ = writeln!(out, "- {note}");
        }
        if let Some(kernel) = &self.kernel {
            let _ = writeln!(out, "\n{}", piped(&kernel::TITLES, kernel.rows()));
            for note in kernel.notes() {
                let _ = writeln!(out, "- {note}");
            }
        }
        for (name, fact) in self.facts() {
            let _ = writeln!(out, "- {name}: {fact}");
        }
        out
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let idle = |idle: &Idle| {
            json!({
                "connections": idle.connections,
                "bytes_per_connection": rounded(idle.bytes_each),
                "cpu_ms_per_second": rounded(idle.cpu_ms_per_second),
            })
        };
        let checks = |checks: &Checks| {
            json!({
                "servers": checks.servers,
                "checks_per_second": rounded(checks.per_second),
                "cpu_ms_per_second": rounded(checks.cpu_ms_per_second),
                "cpu_us_per_check": rounded(checks.us_each()),
                "memory_bytes": checks.memory,
            })
        };
        json!({
            "workloads": self.comparisons.iter().filter_map(Comparison::json).collect::<Vec<_>>(),
            "idle": self.idle.as_ref().map(|[ours, theirs]| json!({ "relevo": idle(ours), "peer": idle(theirs) })),
            "checks": self.checks.as_ref().map(|[ours, theirs]| json!({ "relevo": checks(ours), "peer": checks(theirs) })),
            "kernel": self.kernel.as_ref().map(KernelReport::json),
            "skipped": self.skipped,
            "features": self.features,
            "versions": self.versions,
            "machine": self.machine,
            "command": self.command,
        })
    }

    /// Writes `summary.json` and `table.md`.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let files = [
            ("summary.json", serde_json::to_string_pretty(&self.json())? + "\n"),
            ("table.md", self.markdown()),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// A table for a terminal; nothing if it has no rows.
fn aligned(titles: &[&str], rows: &[Vec<String>]) -> String {
    let title: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let all = || std::iter::once(&title).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut out = String::new();
    for row in all().filter(|_| !rows.is_empty()) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}

/// A table for the documentation.
fn piped(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let title: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let mut out = line(&title) + &line(&vec!["---".to_owned(); titles.len()]);
    for mut row in rows {
        row[0] = format!("`{}`", row[0]);
        out.push_str(&line(&row));
    }
    out
}

/// Versions of Relevo, HAProxy and the kernel.
pub(super) fn versions(relevo: &Path) -> Result<Vec<String>> {
    let first_line = |program: &Path, argument: &str| {
        let output =
            Command::new(program).arg(argument).output().with_context(|| program.display().to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().next().unwrap_or("unknown");
        anyhow::Ok(line.split(" - ").next().unwrap_or(line).trim().to_owned())
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let haproxy = find("haproxy").context("haproxy is gone")?;
    Ok(vec![
        first_line(relevo, "--version")?,
        first_line(&haproxy, "-v")?,
        format!("Linux {}", kernel.trim()),
    ])
}

/// The machine in a line: processor and number of CPUs.
pub(super) fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpus = text.lines().filter(|line| line.starts_with("processor")).count();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    format!("{}, {cpus} CPUs", model.map_or("unknown processor", |(_, name)| name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_the_same_to_people_and_machines() {
        let run = |cpu_us| Run {
            cpu_us,
            per_second: 1000.0,
            saturated: Times { p50: 200.0, p99: 4000.0, p999: 6000.0, p99_calm: 3500.0 },
            paced_per_second: 500.0,
            paced: Times { p50: 100.0, p99: 2000.0, p999: 3000.0, p99_calm: 1500.0 },
            memory: 4e6,
        };
        let pairs = vec![(run(8.0), run(10.0)), (run(16.0), run(20.0)), (run(9.0), run(10.0))];
        let one = Comparison { workload: "w".to_owned(), peer: "haproxy", pairs, invalid: 1 };
        let none = Comparison { pairs: Vec::new(), invalid: 3, ..one.clone() };
        let idle = |bytes_each| Idle { connections: 10_000, bytes_each, cpu_ms_per_second: 0.1 };
        let checks = |ms| Checks { servers: 1000, per_second: 1000.0, cpu_ms_per_second: ms, memory: 5e6 };
        let report = Report {
            comparisons: vec![one, none],
            idle: Some([idle(900.0), idle(1800.0)]),
            checks: Some([checks(40.0), checks(80.0)]),
            kernel: None,
            skipped: vec!["tls13-keepalive-small: no TLS yet".to_owned()],
            features: "checks, rules".to_owned(),
            versions: vec!["relevo 1".to_owned(), "HAProxy 2".to_owned()],
            machine: "m".to_owned(),
            command: "relevo bench compare".to_owned(),
            us: "relevo",
        };
        insta::assert_snapshot!(format!("{}\n{}\n{:#}", report.table(), report.markdown(), report.json()));
        assert!(!report.is_whole(3, 7));
    }
}
