//! What came out: medians of ratios, a table for people, a file for machines.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One run of one balancer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// CPU time of the balancer for each request, microseconds.
    pub(crate) cpu_us: f64,
    /// Requests in a second.
    pub(crate) per_second: f64,
    /// Latencies that wrk saw, microseconds.
    pub(crate) p50_us: f64,
    /// See `p50_us`.
    pub(crate) p99_us: f64,
}

/// All pairs of one workload with one peer.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The workload's name.
    pub(crate) workload: &'static str,
    /// The peer's name.
    pub(crate) peer: &'static str,
    /// Ours and the peer's, one after the other in time.
    pub(crate) pairs: Vec<(Run, Run)>,
    /// Pairs that were thrown away because one of the two saw errors.
    pub(crate) invalid: usize,
}

/// Versions of everything that took part.
#[derive(Debug)]
pub(crate) struct Versions {
    relevo: String,
    haproxy: String,
    wrk: String,
    kernel: String,
}

impl Versions {
    /// Asks everybody.
    pub(crate) fn of(relevo: &Path) -> Result<Self> {
        let relevo = relevo.display().to_string();
        Ok(Self {
            relevo: first_line(&relevo, &["--version"])?,
            haproxy: first_line("haproxy", &["-v"])?,
            wrk: first_line("wrk", &["-v"])?,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

/// Name and version out of the first line that a program says about itself; wrk says it with exit code 1.
fn first_line(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("{program} -v"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or("unknown");
    let end =
        [" - ", " [", " Copyright"].iter().filter_map(|word| line.find(word)).min().unwrap_or(line.len());
    Ok(line[..end].trim().to_owned())
}

/// The machine in a line: processor and number of CPUs.
fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpus = text.lines().filter(|line| line.starts_with("processor")).count();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    format!("{}, {cpus} CPUs", model.map_or("unknown processor", |(_, name)| name.trim()))
}

/// The middle value; the mean of the two in the middle of an even number.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Comparison {
    fn ratios(&self) -> Vec<f64> {
        self.pairs.iter().map(|(ours, peers)| ours.cpu_us / peers.cpu_us).collect()
    }

    fn ours(&self, of: impl Fn(&Run) -> f64) -> f64 {
        median(self.pairs.iter().map(|(ours, _)| of(ours)))
    }

    fn peers(&self, of: impl Fn(&Run) -> f64) -> f64 {
        median(self.pairs.iter().map(|(_, peers)| of(peers)))
    }

    fn line(&self) -> String {
        let name = format!("{:<28} {:<14}", self.workload, self.peer);
        if self.pairs.is_empty() {
            return format!("{name} no valid pair ({} with errors)", self.invalid);
        }
        let ratios = self.ratios();
        let (least, most) =
            ratios.iter().fold((f64::MAX, f64::MIN), |(a, b), ratio| (a.min(*ratio), b.max(*ratio)));
        format!(
            "{name} {:>7.2} {:>7.2}   {:>5.2}  {least:>5.2} - {most:<5.2} {:>6} {:>9.0} {:>9.0}  {:>6.0} / {:<6.0} {:>6.0} / {:<6.0}",
            self.ours(|run| run.cpu_us),
            self.peers(|run| run.cpu_us),
            median(ratios),
            self.pairs.len(),
            self.ours(|run| run.per_second),
            self.peers(|run| run.per_second),
            self.ours(|run| run.p50_us),
            self.ours(|run| run.p99_us),
            self.peers(|run| run.p50_us),
            self.peers(|run| run.p99_us),
        )
    }

    fn json(&self, versions: &Versions, command: &str) -> Value {
        let ratios = self.ratios();
        json!({
            "workload": self.workload,
            "peer": self.peer,
            "cpu_us_per_request": {
                "relevo": rounded(self.ours(|run| run.cpu_us)),
                "peer": rounded(self.peers(|run| run.cpu_us)),
            },
            "ratio": rounded(median(ratios.iter().copied())),
            "ratios": ratios.iter().map(|ratio| rounded(*ratio)).collect::<Vec<_>>(),
            "pairs": self.pairs.len(),
            "invalid_pairs": self.invalid,
            "requests_per_second": {
                "relevo": self.ours(|run| run.per_second).round(),
                "peer": self.peers(|run| run.per_second).round(),
            },
            "latency_us": {
                "relevo": { "p50": self.ours(|run| run.p50_us), "p99": self.ours(|run| run.p99_us) },
                "peer": { "p50": self.peers(|run| run.p50_us), "p99": self.peers(|run| run.p99_us) },
            },
            "versions": {
                "relevo": versions.relevo,
                "peer": versions.haproxy,
                "wrk": versions.wrk,
                "kernel": versions.kernel,
            },
            "machine": machine(),
            "command": command,
        })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The table for people.
pub(crate) fn table(comparisons: &[Comparison], us: &str, versions: &Versions, command: &str) -> String {
    let mut lines = vec![
        format!(
            "{:<28} {:<14} {:>15}   {:>20} {:>6} {:>19}  {:>31}",
            "", "", "CPU us/request", "ratio of CPU time", "", "requests/s", "latency us p50 / p99"
        ),
        format!(
            "{:<28} {:<14} {:>7} {:>7}   {:>5}  {:>13} {:>6} {:>9} {:>9}  {:^15} {:^15}",
            "workload", "peer", us, "peer", "med.", "min - max", "pairs", us, "peer", us, "peer"
        ),
    ];
    lines.extend(comparisons.iter().map(|comparison| comparison.line()));
    lines.push(String::new());
    lines.push(format!(
        "A ratio below 1: {us} uses less CPU time for a request than the peer, in the same run."
    ));
    lines.push(format!("machine   {}, Linux {}", machine(), versions.kernel));
    lines.push(format!("versions  {}; {}; {}", versions.relevo, versions.haproxy, versions.wrk));
    lines.push(format!("repeat    {command}"));
    lines.join("\n")
}

/// Writes the summary for machines: a list with one object for each workload and peer.
pub(crate) fn write(
    path: &Path,
    comparisons: &[Comparison],
    versions: &Versions,
    command: &str,
) -> Result<()> {
    let list: Vec<Value> = comparisons
        .iter()
        .filter(|comparison| !comparison.pairs.is_empty())
        .map(|comparison| comparison.json(versions, command))
        .collect();
    let text = serde_json::to_string_pretty(&list)? + "\n";
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cpu_us: f64) -> Run {
        Run { cpu_us, per_second: 1000.0, p50_us: 100.0, p99_us: 200.0 }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn the_ratio_is_taken_in_each_pair() {
        // The machine became twice as slow in the second pair: the ratios do not care.
        let pairs = vec![(run(8.0), run(10.0)), (run(16.0), run(20.0)), (run(9.0), run(10.0))];
        let comparison = Comparison { workload: "w", peer: "haproxy", pairs, invalid: 1 };
        let versions = Versions {
            relevo: "relevo 1".to_owned(),
            haproxy: "HAProxy 2".to_owned(),
            wrk: "wrk 4".to_owned(),
            kernel: "6".to_owned(),
        };
        let value = comparison.json(&versions, "cargo xtask bench");
        assert_eq!(value["ratio"], 0.8);
        assert_eq!(value["pairs"], 3);
        assert_eq!(value["cpu_us_per_request"]["relevo"], 9.0);
        assert_eq!(value["cpu_us_per_request"]["peer"], 10.0);
        assert_eq!(value["versions"]["peer"], "HAProxy 2");
        let table = table(&[comparison], "relevo", &versions, "cargo xtask bench");
        assert!(table.contains("0.80") && table.contains("0.90"), "{table}");
    }
}
