//! Counting: what each thread saw, and all of them together.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::Failure;

/// Latencies are kept to three digits from 1 us to ten minutes; longer ones count as that.
const LONGEST_US: u64 = 600_000_000;
/// A window: short beside the pauses between two stalls of a machine that others use too.
const WINDOW: Duration = Duration::from_millis(250);
/// Windows that are kept apart; what comes later counts in none.
const WINDOWS: usize = 240;
/// Of fewer answers the slowest hundredth is less than one.
const ANSWERS_MIN: u64 = 100;

/// What one thread saw.
#[derive(Debug)]
pub(super) struct Tally {
    latencies: Histogram<u64>,
    /// The same by when requests were due, to two digits.
    windows: Vec<Histogram<u64>>,
    statuses: [u64; 6],
    failures: [u64; Failure::ALL.len()],
    connects: u64,
    received: u64,
    unsent: u64,
    last: Option<Instant>,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whole answers.
    pub answers: u64,
    /// Answers by the first digit of their status; at 0: answers without one (TCP).
    pub statuses: [u64; 6],
    /// Requests without a good answer, by kind; only kinds that happened.
    pub failures: Vec<(Failure, u64)>,
    /// Connections made.
    pub connects: u64,
    /// Bytes received, heads included, as they are within TLS.
    pub received: u64,
    /// Open loop: requests that were due and never sent, because all connections waited for answers.
    pub unsent: u64,
    /// From the start to the last answer or failure; of loads that take turns, their own time.
    pub took: Duration,
    /// Of whole answers.
    pub latency: Latency,
}

/// How long answers took, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// On average.
    pub mean: f64,
    /// Half of them came within this time.
    pub p50: f64,
    /// 90 of 100.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
    /// 99 of 100 in the median quarter of a second: what a stall of the whole machine, which no program can help, does not
    /// change. NaN: there was no such time with enough answers.
    pub p99_calm: f64,
}

impl Tally {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            latencies: Histogram::new_with_bounds(1, LONGEST_US, 3)?,
            windows: Vec::new(),
            statuses: [0; 6],
            failures: [0; Failure::ALL.len()],
            connects: 0,
            received: 0,
            unsent: 0,
            last: None,
        })
    }

    /// A whole answer to a request that was due `into` the time that counts; `status` 0: it has none.
    pub(super) fn answer(
        &mut self,
        at: Instant,
        into: Duration,
        latency: Duration,
        status: u16,
        received: u64,
    ) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        self.latencies.saturating_record(us);
        let window = (into.as_secs_f64() / WINDOW.as_secs_f64()) as usize;
        while self.windows.len() <= window.min(WINDOWS - 1) {
            let Ok(empty) = Histogram::new_with_bounds(1, LONGEST_US, 2) else { break };
            self.windows.push(empty);
        }
        if let Some(window) = self.windows.get_mut(window) {
            window.saturating_record(us);
        }
        let class = usize::from(status / 100);
        self.statuses[if class < self.statuses.len() { class } else { 0 }] += 1;
        self.received += received;
        self.last = self.last.max(Some(at));
    }

    pub(super) fn failure(&mut self, at: Instant, failure: Failure) {
        self.failures[failure as usize] += 1;
        self.last = self.last.max(Some(at));
    }

    pub(super) fn connect(&mut self) {
        self.connects += 1;
    }

    pub(super) fn unsent(&mut self, requests: u64) {
        self.unsent += requests;
    }

    pub(super) fn add(&mut self, other: &Self) -> Result<()> {
        self.latencies.add(&other.latencies)?;
        for (index, window) in other.windows.iter().enumerate() {
            match self.windows.get_mut(index) {
                Some(own) => own.add(window)?,
                None => self.windows.push(window.clone()),
            }
        }
        let add = |mine: &mut [u64], theirs: &[u64]| mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        add(&mut self.statuses, &other.statuses);
        add(&mut self.failures, &other.failures);
        self.connects += other.connects;
        self.received += other.received;
        self.unsent += other.unsent;
        self.last = self.last.max(other.last);
        Ok(())
    }

    fn p99_calm(&self) -> f64 {
        let full = self.windows.iter().filter(|window| window.len() >= ANSWERS_MIN);
        let mut all: Vec<u64> = full.map(|window| window.value_at_quantile(0.99)).collect();
        all.sort_unstable();
        // Of two in the middle the worse one.
        all.get(all.len() / 2).map_or(f64::NAN, |median| *median as f64)
    }

    /// What came of it. `took` says how long it took when this was the last answer or failure.
    pub(super) fn outcome(&self, took: impl FnOnce(Instant) -> Duration) -> Outcome {
        let at = |quantile: f64| self.latencies.value_at_quantile(quantile) as f64;
        let latency = if self.latencies.is_empty() {
            Latency::default()
        } else {
            Latency {
                mean: self.latencies.mean(),
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: self.latencies.max() as f64,
                p99_calm: self.p99_calm(),
            }
        };
        let counted = Failure::ALL.iter().zip(self.failures).filter(|(_, count)| *count > 0);
        Outcome {
            answers: self.latencies.len(),
            statuses: self.statuses,
            failures: counted.map(|(failure, count)| (*failure, count)).collect(),
            connects: self.connects,
            received: self.received,
            unsent: self.unsent,
            took: self.last.map_or(Duration::ZERO, took),
            latency,
        }
    }
}

impl Outcome {
    /// Answers in a second.
    pub fn per_second(&self) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { self.answers as f64 / seconds } else { 0.0 }
    }

    /// Requests without an answer.
    pub fn failed(&self) -> u64 {
        self.failures.iter().map(|(_, count)| count).sum()
    }

    /// What makes it worthless as a measurement, in words: failures, and answers that say the server could not or would not.
    pub fn fault(&self) -> Option<String> {
        if self.answers == 0 {
            let why = self.failures.iter().max_by_key(|(_, count)| *count);
            return Some(why.map_or("no answer at all".to_owned(), |(failure, _)| {
                format!("no answer at all: {}", failure.words())
            }));
        }
        let mut found: Vec<String> =
            self.failures.iter().map(|(failure, count)| format!("{count} {}", failure.words())).collect();
        let refusals = self.statuses[4] + self.statuses[5];
        if refusals > 0 {
            found.push(format!("{refusals} answers with status 4xx or 5xx"));
        }
        (!found.is_empty()).then(|| found.join(", "))
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let failures: serde_json::Map<String, Value> = self
            .failures
            .iter()
            .filter_map(|(failure, count)| {
                Some((serde_json::to_value(failure).ok()?.as_str()?.to_owned(), json!(count)))
            })
            .collect();
        let statuses: serde_json::Map<String, Value> = (1..self.statuses.len())
            .filter(|class| self.statuses[*class] > 0)
            .map(|class| (format!("{class}xx"), json!(self.statuses[class])))
            .collect();
        json!({
            "answers": self.answers,
            "statuses": statuses,
            "failures": failures,
            "failed": self.failed(),
            "unsent": self.unsent,
            "connections": self.connects,
            "received_bytes": self.received,
            "seconds": self.took.as_secs_f64(),
            "requests_per_second": self.per_second(),
            "latency_us": {
                "mean": self.latency.mean.round(), "p50": self.latency.p50, "p90": self.latency.p90,
                "p99": self.latency.p99, "p99.9": self.latency.p999, "max": self.latency.max,
                "p99_calm": self.latency.p99_calm,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let begun = Instant::now();
        let (mut one, mut two) = (Tally::new().unwrap(), Tally::new().unwrap());
        for ms in 1..=100 {
            one.answer(begun + Duration::from_secs(1), Duration::ZERO, Duration::from_millis(ms), 200, 10);
        }
        two.answer(begun + Duration::from_secs(2), Duration::ZERO, Duration::from_millis(900), 503, 10);
        two.failure(begun, Failure::Cut);
        one.add(&two).unwrap();
        let outcome = one.outcome(|last| last - begun);
        assert_eq!((outcome.answers, outcome.received, outcome.failed()), (101, 1010, 1));
        assert_eq!(outcome.statuses, [0, 0, 100, 0, 0, 1]);
        assert_eq!(outcome.per_second(), 50.5);
        assert!((outcome.latency.p50 - 51_000.0).abs() < 1000.0, "{:?}", outcome.latency);
        assert!((outcome.latency.max - 900_000.0).abs() < 1000.0, "{:?}", outcome.latency);
        assert_eq!(outcome.fault().unwrap(), "1 closed within the answer, 1 answers with status 4xx or 5xx");
        assert_eq!(outcome.json()["failures"]["cut"], 1);
        assert_eq!(outcome.json()["statuses"]["5xx"], 1);
    }

    #[test]
    fn a_stall_of_the_machine_is_in_one_window() {
        let begun = Instant::now();
        let mut tally = Tally::new().unwrap();
        for number in 0..5000u64 {
            let into = Duration::from_millis(number);
            let stalled = (1000..1100).contains(&number);
            let latency = Duration::from_millis(if stalled { 1101 - number } else { 1 });
            tally.answer(begun + into + latency, into, latency, 200, 10);
        }
        let latency = tally.outcome(|last| last - begun).latency;
        assert!(latency.p99 > 40_000.0, "{latency:?}");
        assert!((latency.p99_calm - 1000.0).abs() < 20.0, "{latency:?}");
    }

    #[test]
    fn without_an_answer_it_says_why() {
        let mut tally = Tally::new().unwrap();
        assert_eq!(tally.outcome(|_| Duration::ZERO).fault().unwrap(), "no answer at all");
        tally.failure(Instant::now(), Failure::Refused);
        let outcome = tally.outcome(|_| Duration::ZERO);
        assert_eq!(outcome.fault().unwrap(), "no answer at all: connection refused");
        assert_eq!(outcome.latency, Latency::default());
    }
}
