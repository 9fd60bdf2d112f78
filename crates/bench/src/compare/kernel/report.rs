//! What came out: for each workload and contestant the busy time of the machine, and how it is to the others.

use serde_json::{Value, json};

use super::contestant::Kind;
use super::{NOISY, Round};
use crate::stats::{Ratio, median, rounded};

/// All workloads with all contestants.
#[derive(Clone, Debug)]
pub struct KernelReport {
    /// One for each workload and contestant.
    pub lines: Vec<Line>,
}

/// A contestant in a workload.
#[derive(Clone, Debug)]
pub struct Line {
    /// The workload's name.
    pub workload: String,
    /// The contestant's name.
    pub contestant: &'static str,
    /// Whole rounds.
    pub rounds: usize,
    /// Rounds that were thrown away because somebody saw errors.
    pub invalid: usize,
    /// Busy time of the machine for each request, microseconds: the median.
    pub busy_us: f64,
    /// CPU time of load, servers and program for each request, microseconds: the median.
    pub tasks_us: f64,
    /// The same beside a director that only forwards.
    pub tasks_to_route: Option<Ratio>,
    /// The same beside HAProxy.
    pub tasks_to_haproxy: Option<Ratio>,
    /// CPU time of the contestant's own program for each request, microseconds: the median.
    pub program_us: f64,
    /// Requests in a second: the median.
    pub per_second: f64,
    /// Beside a director that only forwards. `None`: this is it, or there is no round.
    pub to_route: Option<Ratio>,
    /// Beside HAProxy. `None`: this is it, or there is no round.
    pub to_haproxy: Option<Ratio>,
    /// CPUs that were busy while nobody asked: the median, and the most of all rounds.
    pub idle: (f64, f64),
    /// The largest part of a run that a hypervisor took.
    pub stolen: f64,
}

/// The lines of a workload.
pub(super) fn lines(workload: &str, rounds: &[Round], invalid: usize) -> Vec<Line> {
    let place = |kind: Kind| Kind::ALL.iter().position(|one| *one == kind);
    let one = |(own, kind): (usize, Kind)| {
        let of = |what: fn(&super::Run) -> f64| {
            median(rounds.iter().filter_map(|round| round.runs.get(own)).map(what))
        };
        let ratio_to = |other: Kind, what: fn(&super::Run) -> f64| {
            let other = place(other).filter(|other| *other != own)?;
            let of = |round: &Round, place: usize| round.runs.get(place).map(what);
            Ratio::of(rounds.iter().filter_map(|round| Some((of(round, own)?, of(round, other)?))))
        };
        let most = |of: fn(&Round) -> f64| rounds.iter().map(of).fold(0.0, f64::max);
        Line {
            workload: workload.to_owned(),
            contestant: kind.name(),
            rounds: rounds.len(),
            invalid,
            busy_us: of(|run| run.busy_us),
            tasks_us: of(|run| run.tasks_us),
            tasks_to_route: ratio_to(Kind::Route, |run| run.tasks_us),
            tasks_to_haproxy: ratio_to(Kind::Haproxy, |run| run.tasks_us),
            program_us: of(|run| run.program_us),
            per_second: of(|run| run.per_second),
            to_route: ratio_to(Kind::Route, |run| run.busy_us),
            to_haproxy: ratio_to(Kind::Haproxy, |run| run.busy_us),
            idle: (median(rounds.iter().map(|round| round.idle)), most(|round| round.idle)),
            stolen: most(|round| round.stolen),
        }
    };
    Kind::ALL.into_iter().enumerate().map(one).collect()
}

/// Titles of the table's columns.
pub(in crate::compare) const TITLES: [&str; 11] = [
    "workload",
    "way",
    "busy us/request",
    "/ route",
    "min - max",
    "/ haproxy",
    "min - max",
    "tasks us/request",
    "/ route",
    "/ haproxy",
    "requests/s",
];

impl KernelReport {
    /// The cells of the table.
    pub(in crate::compare) fn rows(&self) -> Vec<Vec<String>> {
        let middle =
            |ratio: Option<Ratio>| ratio.map_or("-".to_owned(), |ratio| format!("{:.2}", ratio.median));
        let ends = |ratio: Option<Ratio>| {
            ratio.map_or("-".to_owned(), |ratio| format!("{:.2} - {:.2}", ratio.least, ratio.most))
        };
        let row = |line: &Line| {
            vec![
                line.workload.clone(),
                line.contestant.to_owned(),
                format!("{:.2}", line.busy_us),
                middle(line.to_route),
                ends(line.to_route),
                middle(line.to_haproxy),
                ends(line.to_haproxy),
                format!("{:.2}", line.tasks_us),
                middle(line.tasks_to_route),
                middle(line.tasks_to_haproxy),
                format!("{:.0}", line.per_second),
            ]
        };
        self.lines.iter().filter(|line| line.rounds > 0).map(row).collect()
    }

    /// The sentences under the table.
    pub(in crate::compare) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut before = "";
        for line in self.lines.iter().filter(|line| line.contestant == Kind::Route.name()) {
            if line.workload != before {
                before = &line.workload;
                notes.push(format!(
                    "{before}: rounds {}, thrown away {}; while nobody asked {:.3} CPUs were busy (at most {:.3}), which is taken off; \
                     a hypervisor took at most {:.1}% of a run",
                    line.rounds,
                    line.invalid,
                    line.idle.0,
                    line.idle.1,
                    line.stolen * 100.0
                ));
                if line.idle.1 > NOISY {
                    notes.push(format!(
                        "{before}: others use this machine: busy time says little or nothing; look at `tasks`"
                    ));
                }
            }
        }
        notes
    }

    /// Whether every workload has so many rounds.
    pub(in crate::compare) fn is_whole(&self, rounds: usize) -> bool {
        self.lines.iter().all(|line| line.rounds == rounds)
    }

    /// For machines.
    pub(in crate::compare) fn json(&self) -> Value {
        let ratio = |ratio: Option<Ratio>| {
            ratio.map(|ratio| {
                json!({ "median": rounded(ratio.median), "least": rounded(ratio.least), "most": rounded(ratio.most) })
            })
        };
        let line = |line: &Line| {
            json!({
                "workload": line.workload,
                "way": line.contestant,
                "rounds": line.rounds,
                "invalid_rounds": line.invalid,
                "busy_us_per_request": rounded(line.busy_us),
                "tasks_us_per_request": rounded(line.tasks_us),
                "tasks_to_route": ratio(line.tasks_to_route),
                "tasks_to_haproxy": ratio(line.tasks_to_haproxy),
                "program_cpu_us_per_request": rounded(line.program_us),
                "requests_per_second": rounded(line.per_second),
                "to_route": ratio(line.to_route),
                "to_haproxy": ratio(line.to_haproxy),
                "busy_cpus_in_silence": rounded(line.idle.0),
                "busy_cpus_in_silence_most": rounded(line.idle.1),
                "stolen_most": rounded(line.stolen),
            })
        };
        self.lines.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::*;

    #[test]
    fn ratios_are_taken_within_rounds() {
        let run = |busy_us| Run { busy_us, tasks_us: busy_us / 2.0, per_second: 1000.0, program_us: 0.0 };
        let round = |factor: f64| Round {
            idle: 0.01,
            stolen: 0.002,
            runs: [20.0, 25.0, 50.0, 40.0].map(|busy| run(busy * factor)).to_vec(),
        };
        // The machine was twice as slow in the second round.
        let lines = lines("w", &[round(1.0), round(2.0), round(1.0)], 1);
        let report = KernelReport { lines };
        let medians = |of: fn(&Line) -> Option<Ratio>| -> Vec<Option<f64>> {
            report.lines.iter().map(|line| of(line).map(|ratio| ratio.median)).collect()
        };
        assert_eq!(medians(|line| line.to_route), [None, Some(1.25), Some(2.5), Some(2.0)]);
        assert_eq!(medians(|line| line.to_haproxy), [Some(0.5), Some(0.625), Some(1.25), None]);
        assert!(report.is_whole(3) && !report.is_whole(7));
        insta::assert_snapshot!(format!(
            "{:?}\n{:?}\n{:#}",
            report.rows()[1],
            report.notes(),
            report.json()[1]
        ));
    }
}
