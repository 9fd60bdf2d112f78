//! From figures to a verdict: which limits were kept, by how much.

use serde::Serialize;

use super::limits::Limits;
use super::measure::Run;
use crate::probe::Part;

/// From how many runs on the median has to keep its limit.
const MEDIAN_RUNS_MIN: usize = 3;

/// Median and worst of the runs' longest gaps, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The middle one; of an even number the mean of the two in the middle, rounded up.
    pub median: u64,
    /// The worst.
    pub max: u64,
}

/// One limit and whether it was kept, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it was kept.
    pub kept: bool,
    /// As in `longest gap 372 ms (limit 1000 ms)`.
    pub text: String,
}

/// A drill's report: one object in the JSON output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrillReport {
    /// The drill's name.
    pub drill: String,
    /// Whether every limit was kept in every run; `true` for a drill that does not apply, see `skipped`.
    pub passed: bool,
    /// Why the drill does not apply to this cluster; it was not run then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What the drill allows.
    pub limits: Limits,
    /// Each limit and whether it was kept.
    pub findings: Vec<Finding>,
    /// Median and worst of the runs' longest gaps; `null` when it was not run.
    pub gap_ms: Option<Gap>,
    /// The figures of each run, in order.
    pub runs: Vec<Run>,
}

/// Several drills: one object in the JSON output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Whether every drill passed.
    pub passed: bool,
    /// Each drill's report, in the order they were run.
    pub drills: Vec<DrillReport>,
}

impl DrillReport {
    /// Judges the runs of a drill. No runs at all do not pass.
    pub fn new(drill: &str, limits: Limits, runs: Vec<Run>) -> Self {
        let findings = judge(&limits, &runs);
        let passed = !runs.is_empty() && findings.iter().all(|finding| finding.kept);
        let gaps: Vec<u64> = runs.iter().map(|run| run.gap_ms).collect();
        let gap_ms =
            median(&gaps).map(|median| Gap { median, max: gaps.iter().copied().max().unwrap_or(median) });
        Self { drill: drill.to_owned(), passed, skipped: None, limits, findings, gap_ms, runs }
    }

    /// The report of a drill that does not apply to this cluster.
    pub fn skipped(drill: &str, limits: Limits, why: &str) -> Self {
        Self {
            drill: drill.to_owned(),
            passed: true,
            skipped: Some(why.to_owned()),
            limits,
            findings: Vec::new(),
            gap_ms: None,
            runs: Vec::new(),
        }
    }
}

impl Summary {
    /// Puts reports together.
    pub fn new(drills: Vec<DrillReport>) -> Self {
        Self { passed: drills.iter().all(|report| report.passed), drills }
    }
}

/// The middle value; of an even number of values the mean of the two in the middle, rounded up.
pub fn median(values: &[u64]) -> Option<u64> {
    let mut ordered = values.to_vec();
    ordered.sort_unstable();
    let middle = ordered.len() / 2;
    let upper = *ordered.get(middle)?;
    if ordered.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = ordered.get(middle.checked_sub(1)?)?;
    Some(lower + (upper - lower).div_ceil(2))
}

fn judge(limits: &Limits, runs: &[Run]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        if let Some(problem) = &run.problem {
            findings.push(Finding { kept: false, text: format!("run {}: {problem}", index + 1) });
        }
    }
    let mut worst = |limit: Option<u64>, what: &str, unit: &str, value: &dyn Fn(&Run) -> u64| {
        let (Some(limit), Some(value)) = (limit, runs.iter().map(value).max()) else { return };
        let text = format!("{what} {value}{unit} (limit {limit}{unit})");
        findings.push(Finding { kept: value <= limit, text });
    };
    worst(limits.gap_ms, "longest gap", " ms", &|run| run.gap_ms);
    let gaps: Vec<u64> = runs.iter().map(|run| run.gap_ms).collect();
    let middle = median(&gaps).unwrap_or_default();
    // One or two runs have no middle worth the name.
    let enough = runs.len() >= MEDIAN_RUNS_MIN;
    worst(limits.gap_median_ms.filter(|_| enough), "median gap", " ms", &|_| middle);
    worst(limits.lost, "lost", "", &|run| run.lost);
    worst(limits.hung, "left without any answer", "", &|run| run.hung);
    worst(limits.cut, "kept connections cut", "", &|run| run.cut);
    worst(limits.two_holders_ms, "two holders for", " ms", &|run| run.two_holders_ms);
    worst(limits.undo_gap_ms, "longest gap after the repair", " ms", &|run| {
        run.undo_gap_ms.unwrap_or_default()
    });
    worst(limits.undo_moves, "moves of the address after the repair", "", &|run| run.undo_moves);
    let flows = |run: &Run| run.flows.clone().unwrap_or_default();
    if runs.iter().any(|run| flows(run).lost > 0) {
        worst(limits.dark_ms, "clients of lost connections knew it after", " ms", &|run| flows(run).dark_ms);
    }
    long_connections(limits, runs, &mut findings);
    // A figure that is not there is as bad as one over its limit.
    let mut needed = |limit: Option<u64>, what: &str, never: &str, value: &dyn Fn(&Run) -> Option<u64>| {
        let Some(limit) = limit else { return };
        if runs.iter().any(|run| value(run).is_none()) {
            findings.push(Finding { kept: false, text: never.to_owned() });
        } else if let Some(value) = runs.iter().filter_map(value).max() {
            let text = format!("{what} {value} ms (limit {limit} ms)");
            findings.push(Finding { kept: value <= limit, text });
        }
    };
    needed(limits.takeover_ms, "takeover after", "no other director took the address", &|run| {
        run.takeover_ms
    });
    needed(limits.back_ms, "service back after", "the service did not come back", &|run| run.back_ms);
    findings
}

/// Connections that were there for long, but for those to servers that died.
fn long_connections(limits: &Limits, runs: &[Run], findings: &mut Vec<Finding>) {
    let parts: Vec<(Part, u64)> = runs
        .iter()
        .filter_map(|run| Some((run.flows.as_ref()?.living(), run.takeover_ms.unwrap_or_default())))
        .collect();
    let sum =
        |figure: &dyn Fn(&Part) -> u32| parts.iter().map(|(part, _)| u64::from(figure(part))).sum::<u64>();
    let (count, lost) = (sum(&|part| part.flows), sum(&|part| part.lost));
    if let Some(limit) = limits.flows_lost_per_mille {
        let text =
            format!("of {count} long connections to living servers {lost} lost (limit {limit} of 1000)");
        findings.push(Finding { kept: count > 0 && lost * 1000 <= limit * count, text });
    }
    if let (Some(limit), Some(longest)) =
        (limits.stall_ms, parts.iter().map(|(part, _)| part.longest_ms).max())
    {
        let text = format!("longest stall of them {longest} ms (limit {limit} ms)");
        findings.push(Finding { kept: longest <= limit, text });
    }
    // Whoever sends again at doubling distances and is too early at time T has its next turn before 2 T and the first distance.
    let own = |limit: u64, takeover: u64| 2 * takeover + limit;
    if let Some(limit) = limits.stall_after_takeover_ms
        && let Some((part, takeover)) =
            parts.iter().max_by_key(|(part, takeover)| part.longest_ms.saturating_sub(own(0, *takeover)))
    {
        let (longest, limit) = (part.longest_ms, own(limit, *takeover));
        let text = format!(
            "longest stall of them {longest} ms (limit {limit} ms: takeover after {takeover} ms, and one retransmission)"
        );
        findings.push(Finding { kept: longest <= limit, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Flows;

    fn run(gap_ms: u64) -> Run {
        Run { gap_ms, takeover_ms: Some(361), answers: 500, ..Run::default() }
    }

    const CRASH: Limits = Limits {
        gap_ms: Some(1000),
        gap_median_ms: Some(500),
        lost: None,
        hung: None,
        cut: None,
        takeover_ms: None,
        two_holders_ms: Some(2000),
        undo_gap_ms: None,
        undo_moves: None,
        back_ms: None,
        flows_lost_per_mille: None,
        dark_ms: None,
        stall_ms: None,
        stall_after_takeover_ms: None,
    };

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7]), Some(7));
        assert_eq!(median(&[9, 1, 5]), Some(5));
        assert_eq!(median(&[1, 2, 4, 9]), Some(3));
        assert_eq!(median(&[1, 2]), Some(2));
    }

    #[test]
    fn passes_within_the_limits() {
        let report = DrillReport::new("director-crash", CRASH, vec![run(350), run(372), run(361)]);
        assert!(report.passed);
        assert_eq!(report.gap_ms, Some(Gap { median: 361, max: 372 }));
        assert_eq!(report.findings[0].text, "longest gap 372 ms (limit 1000 ms)");
        assert_eq!(report.findings[1].text, "median gap 361 ms (limit 500 ms)");
    }

    #[test]
    fn one_bad_run_fails_the_drill() {
        let report = DrillReport::new("director-crash", CRASH, vec![run(350), run(1001), run(350)]);
        assert!(!report.passed);
        assert_eq!(report.findings.iter().filter(|finding| !finding.kept).count(), 1);
    }

    #[test]
    fn a_bad_median_fails_even_if_each_run_is_within_its_limit() {
        assert!(!DrillReport::new("director-crash", CRASH, vec![run(600), run(501), run(502)]).passed);
        let single = DrillReport::new("director-crash", CRASH, vec![run(600)]);
        assert!(single.passed, "one run has no median");
    }

    #[test]
    fn no_runs_and_unfinished_runs_do_not_pass() {
        assert!(!DrillReport::new("director-crash", CRASH, Vec::new()).passed);
        let broken = Run { problem: Some("nobody became active".into()), ..run(20) };
        let report = DrillReport::new("director-crash", CRASH, vec![run(20), broken]);
        assert!(!report.passed);
        assert_eq!(report.findings[0].text, "run 2: nobody became active");
    }

    #[test]
    fn a_missing_takeover_fails_where_one_is_wanted() {
        let limits = Limits { takeover_ms: Some(1000), ..Limits::default() };
        let stayed = Run { takeover_ms: None, ..run(20) };
        assert!(!DrillReport::new("switchover", limits, vec![run(20), stayed]).passed);
        assert!(DrillReport::new("switchover", limits, vec![run(20)]).passed);
    }

    fn with_flows(lost: u32, longest_ms: u64, dead: &[&str]) -> Run {
        let servers = [
            ("serv1".to_owned(), Part { flows: 40, lost: 40, longest_ms: 0 }),
            ("serv2".to_owned(), Part { flows: 600, lost, longest_ms }),
        ];
        let dead = dead.iter().map(ToString::to_string).collect();
        Run { flows: Some(Flows { servers: servers.into(), dead, ..Flows::default() }), ..run(20) }
    }

    #[test]
    fn connections_to_dead_servers_do_not_count() {
        let limits =
            Limits { flows_lost_per_mille: Some(1), stall_after_takeover_ms: Some(300), ..Limits::default() };
        let passes = |runs| DrillReport::new("flows-survive", limits, runs).passed;
        assert!(passes(vec![with_flows(0, 1022, &["serv1"])]));
        assert!(!passes(vec![with_flows(0, 1023, &["serv1"])]), "361 ms twice, and 300");
        assert!(!passes(vec![with_flows(0, 20, &[])]), "40 of 640");
        assert!(!passes(vec![with_flows(1, 20, &["serv1"])]), "1 of 600");
        assert!(passes(vec![with_flows(1, 20, &["serv1"]), with_flows(0, 20, &["serv1"])]), "1 of 1200");
        assert!(!passes(vec![run(20)]), "nobody was there");
    }

    #[test]
    fn a_skipped_drill_does_not_fail_the_set() {
        let skipped = DrillReport::skipped("link-cut", Limits::default(), "this cluster has one switch");
        let summary = Summary::new(vec![DrillReport::new("director-crash", CRASH, vec![run(350)]), skipped]);
        assert!(summary.passed);
    }

    #[test]
    fn json_shape() {
        let first = Run {
            lost: 3,
            cut: 5,
            two_holders_ms: 1640,
            servers: [("serv1".to_owned(), 250), ("serv2".to_owned(), 250)].into(),
            from: Some("bal1".into()),
            to: Some("bal2".into()),
            ..run(372)
        };
        let report = DrillReport::new("director-crash", CRASH, vec![first]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
        {
          "drill": "director-crash",
          "passed": true,
          "limits": {
            "gap_ms": 1000,
            "gap_median_ms": 500,
            "two_holders_ms": 2000
          },
          "findings": [
            {
              "kept": true,
              "text": "longest gap 372 ms (limit 1000 ms)"
            },
            {
              "kept": true,
              "text": "two holders for 1640 ms (limit 2000 ms)"
            }
          ],
          "gap_ms": {
            "median": 372,
            "max": 372
          },
          "runs": [
            {
              "gap_ms": 372,
              "lost": 3,
              "cut": 5,
              "takeover_ms": 361,
              "two_holders_ms": 1640,
              "undo_gap_ms": null,
              "undo_moves": 0,
              "back_ms": null,
              "errors": 0,
              "hung": 0,
              "slowest_ms": 0,
              "answers": 500,
              "servers": {
                "serv1": 250,
                "serv2": 250
              },
              "from": "bal1",
              "to": "bal2"
            }
          ]
        }
        "#);
    }
}
