//! What came out: medians of ratios, a table for people, one for the documentation, a file for machines.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::figures::{Checks, Comparison, Idle};
use super::kernel::{self, KernelReport};
use crate::stats::{rounded, size_words};

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
                 p50 to p99.9: at one fixed rate for both, a quarter of what the slower one bears, in turns; in brackets the median ratio.\n\
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::figures::{Run, Times};

    #[test]
    fn a_report_says_the_same_to_people_and_machines() {
        let run = |cpu_us| Run {
            cpu_us,
            per_second: 1000.0,
            saturated: Times { p50: 200.0, p99: 4000.0, p999: 6000.0, p99_calm: 3500.0 },
            paced_per_second: 500.0,
            paced: Times { p50: 100.0, p99: 200.0 * cpu_us, p999: 3000.0, p99_calm: f64::NAN },
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
