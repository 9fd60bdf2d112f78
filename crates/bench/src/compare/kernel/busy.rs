//! How much the whole machine has worked: `/proc/stat`.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

/// The unit of `/proc/stat`: `USER_HZ` is 100 everywhere (proc_stat(5)).
const TICK: Duration = Duration::from_millis(10);

/// Time of all CPUs since the machine started, at some instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    at: Instant,
    busy: Duration,
    stolen: Duration,
}

/// What passed between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Passed {
    /// Of the clock.
    pub(super) elapsed: Duration,
    /// Of all CPUs together: programs, the kernel for them, interrupts. Neither idle time nor what a hypervisor took.
    pub(super) busy: Duration,
    /// What a hypervisor took.
    pub(super) stolen: Duration,
}

impl Reading {
    /// Now.
    pub(super) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let (busy, stolen) = times(&text).context("/proc/stat has no line `cpu` that is understood")?;
        Ok(Self { at: Instant::now(), busy: TICK * busy, stolen: TICK * stolen })
    }

    /// What passed until now.
    pub(super) fn until_now(self) -> Result<Passed> {
        let now = Self::now()?;
        Ok(Passed {
            elapsed: now.at.duration_since(self.at),
            busy: now.busy.saturating_sub(self.busy),
            stolen: now.stolen.saturating_sub(self.stolen),
        })
    }
}

impl Passed {
    /// CPUs that were busy on average.
    pub(super) fn cpus(&self) -> f64 {
        self.busy.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Busy time beyond that of a machine on which `idle` CPUs are busy anyway.
    pub(super) fn beyond(&self, idle: f64) -> f64 {
        (self.busy.as_secs_f64() - idle * self.elapsed.as_secs_f64()).max(0.0)
    }
}

/// CPU time of all threads of this process, also of those that have ended.
pub(super) fn own() -> Result<Duration> {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).context("the clock of this process")
}

/// Busy and stolen ticks: `cpu user nice system idle iowait irq softirq steal ...`.
fn times(text: &str) -> Option<(u32, u32)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, rest @ ..] = ticks.as_slice() else { return None };
    let stolen = rest.first().copied().unwrap_or(0);
    Some((u32::try_from(user + nice + system + irq + softirq).ok()?, u32::try_from(stolen).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_stolen_time_is_not_busy() {
        let text = "cpu  100 20 30 99999 888 4 6 50 7 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(times(text), Some((160, 50)));
        assert_eq!(times("cpu  1 2 3 4\n"), None);
        assert_eq!(times(""), None);
        Reading::now().unwrap().until_now().unwrap();
        assert!(own().unwrap() > Duration::ZERO);
    }

    #[test]
    fn what_the_machine_does_anyway_is_taken_off() {
        let second = Duration::from_secs(1);
        let passed = Passed { elapsed: second * 2, busy: second, stolen: Duration::ZERO };
        assert_eq!(passed.cpus(), 0.5);
        assert_eq!(passed.beyond(0.1), 0.8);
        assert_eq!(passed.beyond(0.6), 0.0);
    }
}
