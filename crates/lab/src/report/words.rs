//! The report as text for a terminal: a table of the runs and a verdict in words.

use super::measure::Run;
use super::verdict::{DrillReport, Summary};
use crate::probe::{Flows, Loss};

/// One drill's report as text: heading, table of the runs, verdict. Ends in a newline.
pub fn render(report: &DrillReport) -> String {
    let mut text = format!("{}\n", report.drill);
    if let Some(why) = &report.skipped {
        text.push_str(&format!("  not applicable: {why}\n"));
        return text;
    }
    text.push_str(&table(&report.runs));
    for (index, run) in report.runs.iter().enumerate() {
        if let Some(flows) = &run.flows {
            text.push_str(&format!("    run {}: {}\n", index + 1, long_connections(flows)));
        }
        for note in &run.notes {
            text.push_str(&format!("    run {}: {note}\n", index + 1));
        }
    }
    text.push_str(&format!("  {}\n", verdict(report)));
    for finding in report.findings.iter().filter(|finding| !finding.kept) {
        text.push_str(&format!("    not kept: {}\n", finding.text));
    }
    text
}

/// How connections fared that were there for long, in a line.
pub fn long_connections(flows: &Flows) -> String {
    let living = flows.living();
    let mut text = format!(
        "{} downloads, {} uploads, {} kept: lost {} of {}, reset {}, wrong {}, longest stall {} ms (client late by {} ms)",
        flows.downloads,
        flows.uploads,
        flows.kept,
        living.lost,
        living.flows,
        flows.reset,
        flows.wrong,
        living.longest_ms,
        flows.late_ms
    );
    if !flows.dead.is_empty() {
        let of_dead = flows.count().saturating_sub(living.flows);
        text.push_str(&format!("; {of_dead} more were those of {}", flows.dead.join(", ")));
    }
    for why in reasons(flows) {
        text.push_str(&format!("; {why}"));
    }
    text
}

/// Why the first ones were lost, each reason once: hundreds that were reset in one moment are one thing that happened.
fn reasons(flows: &Flows) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for Loss { server, why, .. } in &flows.why {
        let reason = if server.is_empty() { why.clone() } else { format!("at {server}: {why}") };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}

/// The set's last line, as in `PASS: 9 drills passed, 1 not applicable`. Ends in a newline.
pub fn render_summary(summary: &Summary) -> String {
    let skipped = summary.drills.iter().filter(|report| report.skipped.is_some()).count();
    let failed: Vec<&str> =
        summary.drills.iter().filter(|report| !report.passed).map(|report| report.drill.as_str()).collect();
    let passed = summary.drills.len() - skipped - failed.len();
    let mut text = if failed.is_empty() {
        format!("PASS: {passed} {} passed", drills(passed))
    } else {
        format!("FAIL: {} failed ({}), {passed} passed", failed.len(), failed.join(", "))
    };
    if skipped > 0 {
        text.push_str(&format!(", {skipped} not applicable"));
    }
    text.push('\n');
    text
}

const fn drills(count: usize) -> &'static str {
    if count == 1 { "drill" } else { "drills" }
}

fn verdict(report: &DrillReport) -> String {
    let word = if report.passed { "PASS" } else { "FAIL" };
    let kept: Vec<&str> =
        report.findings.iter().filter(|finding| finding.kept).map(|finding| finding.text.as_str()).collect();
    if kept.is_empty() {
        return word.to_owned();
    }
    format!("{word}: {}", kept.join(", "))
}

fn table(runs: &[Run]) -> String {
    const HEAD: [&str; 8] = ["run", "gap", "lost", "cut", "takeover", "two holders", "moved", "answered by"];
    let rows: Vec<[String; 8]> = runs
        .iter()
        .enumerate()
        .map(|(index, run)| {
            [
                (index + 1).to_string(),
                format!("{} ms", run.gap_ms),
                run.lost.to_string(),
                run.cut.to_string(),
                run.takeover_ms.map_or_else(|| "-".to_owned(), |value| format!("{value} ms")),
                format!("{} ms", run.two_holders_ms),
                moved(run),
                answered(run),
            ]
        })
        .collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    let head = HEAD.map(str::to_owned);
    for row in std::iter::once(&head).chain(&rows) {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Figures to the right, words to the left.
            if column < 6 {
                line.push_str(&format!(" {cell:>width$} "));
            } else {
                line.push_str(&format!(" {cell:<width$} "));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn moved(run: &Run) -> String {
    match (&run.from, &run.to) {
        (Some(from), Some(to)) => format!("{from} to {to}"),
        (None, Some(to)) => format!("to {to}"),
        (Some(from), None) => format!("stayed on {from}"),
        (None, None) => "-".to_owned(),
    }
}

fn answered(run: &Run) -> String {
    let parts: Vec<String> = run.servers.iter().map(|(server, count)| format!("{server} {count}")).collect();
    if parts.is_empty() { run.answers.to_string() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::limits::Limits;

    fn run(gap_ms: u64, lost: u64) -> Run {
        Run {
            gap_ms,
            lost,
            cut: 5,
            takeover_ms: Some(361),
            two_holders_ms: 1640,
            answers: 700,
            servers: [("serv1".to_owned(), 350), ("serv2".to_owned(), 350)].into(),
            from: Some("bal1".into()),
            to: Some("bal2".into()),
            ..Run::default()
        }
    }

    fn limits() -> Limits {
        Limits { gap_ms: Some(1000), gap_median_ms: Some(500), ..Limits::default() }
    }

    #[test]
    fn a_passed_drill_reads_well() {
        let report =
            DrillReport::new("director-crash", limits(), vec![run(372, 31), run(350, 0), run(361, 0)]);
        insta::assert_snapshot!(render(&report), @r#"
        director-crash
          run     gap  lost  cut  takeover  two holders  moved         answered by
            1  372 ms    31    5    361 ms      1640 ms  bal1 to bal2  serv1 350, serv2 350
            2  350 ms     0    5    361 ms      1640 ms  bal1 to bal2  serv1 350, serv2 350
            3  361 ms     0    5    361 ms      1640 ms  bal1 to bal2  serv1 350, serv2 350
          PASS: longest gap 372 ms (limit 1000 ms), median gap 361 ms (limit 500 ms)
        "#);
    }

    #[test]
    fn many_connections_that_were_reset_are_told_in_one_word() {
        let lost = |port: u16, server: &str| Loss {
            flow: format!("download {port}"),
            server: server.to_owned(),
            why: "Connection reset by peer (os error 104)".to_owned(),
        };
        let why = vec![lost(46200, ""), lost(46322, ""), lost(46240, "serv1"), lost(46286, "serv1")];
        let flows = Flows { downloads: 20, lost: 20, reset: 20, why, ..Flows::default() };
        insta::assert_snapshot!(long_connections(&flows), @"20 downloads, 0 uploads, 0 kept: lost 0 of 0, reset 20, wrong 0, longest stall 0 ms (client late by 0 ms); Connection reset by peer (os error 104); at serv1: Connection reset by peer (os error 104)");
    }

    #[test]
    fn a_failed_drill_says_what_was_not_kept() {
        let broken = Run { problem: Some("nobody became active within 10 s".into()), ..run(1372, 31) };
        let report = DrillReport::new("director-crash", limits(), vec![broken]);
        insta::assert_snapshot!(render(&report), @r#"
        director-crash
          run      gap  lost  cut  takeover  two holders  moved         answered by
            1  1372 ms    31    5    361 ms      1640 ms  bal1 to bal2  serv1 350, serv2 350
          FAIL
            not kept: run 1: nobody became active within 10 s
            not kept: longest gap 1372 ms (limit 1000 ms)
        "#);
    }

    #[test]
    fn a_set_ends_in_one_line() {
        let passed = DrillReport::new("director-crash", limits(), vec![run(372, 31)]);
        let failed = DrillReport::new("switchover", limits(), vec![run(1372, 31)]);
        let skipped = DrillReport::skipped("link-cut", limits(), "this cluster has one switch");
        insta::assert_snapshot!(render_summary(&Summary::new(vec![passed.clone(), skipped.clone()])), @"PASS: 1 drill passed, 1 not applicable");
        insta::assert_snapshot!(render_summary(&Summary::new(vec![passed, failed, skipped])), @"FAIL: 1 failed (switchover), 1 passed, 1 not applicable");
    }
}
