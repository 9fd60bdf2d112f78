//! What was measured of both balancers, and how it is said: medians, and ratios that are taken within each pair.

use serde_json::{Value, json};

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

impl Checks {
    /// CPU time of one check, microseconds.
    pub(super) fn us_each(&self) -> f64 {
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

    pub(super) fn cells(&self) -> Option<Vec<String>> {
        let ratio = self.ratio(|run| run.cpu_us)?;
        let two =
            |values: [f64; 2], show: fn(f64) -> String| format!("{} / {}", show(values[0]), show(values[1]));
        let times = |of: fn(&Run) -> f64| {
            let ratio = self.ratio(of).map_or_else(String::new, |ratio| format!(" ({:.2})", ratio.median));
            two(self.both(of), time_words) + &ratio
        };
        Some(vec![
            self.workload.clone(),
            self.peer.to_owned(),
            two(self.both(|run| run.cpu_us), |us| format!("{us:.2}")),
            format!("{:.2}", ratio.median),
            format!("{:.2} - {:.2}", ratio.least, ratio.most),
            two(self.both(|run| run.per_second), |rate| format!("{rate:.0}")),
            two(self.both(|run| run.paced.p50), time_words),
            times(|run| run.paced.p99),
            times(|run| run.paced.p99_calm),
            two(self.both(|run| run.paced.p999), time_words),
            two(self.both(|run| run.memory), size_words),
        ])
    }

    pub(super) fn json(&self) -> Option<Value> {
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
