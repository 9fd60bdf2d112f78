//! What `cargo xtask bench` can be told.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::workload::{WORKLOADS, Workload};

/// Usage, one option a line.
pub(crate) const USAGE: &str = "\
usage: cargo xtask bench [OPTION...]

  --pairs N        pairs of runs for each workload, 1 to 100 (default 5)
  --duration S     seconds of each run, 1 to 600 (default 3)
  --workload W     only this workload; may be given several times
  --quick          one pair of one second: does everything work?
  --relevo PATH    measure this binary instead of building one
  --self-test      HAProxy against itself: shows how far a ratio of 1 moves on this machine; writes no summary";

/// Most pairs.
const PAIRS_MAX: usize = 100;

/// Longest run, seconds.
const DURATION_MAX: u64 = 600;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    /// Pairs of runs for each workload.
    pub(crate) pairs: usize,
    /// How long each run is measured.
    pub(crate) duration: Duration,
    /// How long each run warms up.
    pub(crate) warm_up: Duration,
    /// The workloads, in the table's order.
    pub(crate) workloads: Vec<&'static Workload>,
    /// The binary; `None`: build it.
    pub(crate) relevo: Option<PathBuf>,
    /// HAProxy in Relevo's place.
    pub(crate) self_test: bool,
    /// The command that repeats this run.
    pub(crate) command: String,
}

impl Options {
    /// Reads the arguments after `bench`. `None`: help was asked for.
    ///
    /// # Errors
    ///
    /// An unknown option, a missing or wrong value: with what would be right.
    pub(crate) fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut pairs = None;
        let mut seconds = None;
        let mut names = Vec::new();
        let (mut quick, mut self_test, mut relevo) = (false, false, None);
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let mut value = || rest.next().with_context(|| format!("{option} needs a value\n\n{USAGE}"));
            match option.as_str() {
                "--pairs" => pairs = Some(number(option, value()?, PAIRS_MAX as u64)? as usize),
                "--duration" => seconds = Some(number(option, value()?, DURATION_MAX)?),
                "--workload" => names.push(value()?.clone()),
                "--quick" => quick = true,
                "--relevo" => relevo = Some(PathBuf::from(value()?)),
                "--self-test" => self_test = true,
                "-h" | "--help" => return Ok(None),
                _ => bail!("{option} is no option of bench\n\n{USAGE}"),
            }
        }
        if let Some(name) = names.iter().find(|name| !WORKLOADS.iter().any(|workload| workload.name == *name))
        {
            let known: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
            bail!("there is no workload {name}; there are: {}", known.join(", "));
        }
        let command = std::iter::once("cargo xtask bench".to_owned()).chain(arguments.iter().cloned());
        Ok(Some(Self {
            pairs: pairs.unwrap_or(if quick { 1 } else { 5 }),
            duration: Duration::from_secs(seconds.unwrap_or(if quick { 1 } else { 3 })),
            warm_up: Duration::from_secs(1),
            workloads: WORKLOADS
                .iter()
                .filter(|workload| names.is_empty() || names.iter().any(|name| name == workload.name))
                .collect(),
            relevo,
            self_test,
            command: command.collect::<Vec<_>>().join(" "),
        }))
    }
}

fn number(option: &str, text: &str, max: u64) -> Result<u64> {
    match text.parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => bail!("{option} {text}: give a whole number from 1 to {max}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Options>> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn without_options_everything_runs_five_times() {
        let options = parse("").unwrap().unwrap();
        assert_eq!((options.pairs, options.duration.as_secs()), (5, 3));
        assert_eq!(options.workloads.len(), WORKLOADS.len());
        assert_eq!(options.command, "cargo xtask bench");
    }

    #[test]
    fn quick_gives_way_to_what_is_said() {
        let options = parse("--quick --pairs 2 --workload http-keepalive-small").unwrap().unwrap();
        assert_eq!((options.pairs, options.duration.as_secs(), options.workloads.len()), (2, 1, 1));
    }

    #[test]
    fn wrong_wishes_are_answered_with_what_would_be_right() {
        let table = [
            ("--pairs", "needs a value"),
            ("--pairs 0", "from 1 to 100"),
            ("--duration x", "from 1 to 600"),
            ("--workload none", "there are: http-keepalive-small"),
            ("--fast", "no option of bench"),
        ];
        for (arguments, expected) in table {
            let message = parse(arguments).unwrap_err().to_string();
            assert!(message.contains(expected), "{arguments}: {message}");
        }
    }
}
