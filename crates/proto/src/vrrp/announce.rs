//! When gratuitous ARP goes out: at once, a few times more, because a single one may be lost, and then rarely for as
//! long as the router is active, for neighbours that were cut off meanwhile (a switch that came back, a spanning tree that
//! took its time).

use std::time::Duration;

use relevo_model::Time;

/// Offsets of the announcements after a takeover.
pub const OFFSETS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(2500),
];

/// Time between announcements after the series.
pub const AGAIN: Duration = Duration::from_secs(10);

/// Two announcements are never closer than this.
pub const SPACING: Duration = Duration::from_millis(250);

/// A running series of announcements.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    base: Time,
    next: usize,
    last: Option<Time>,
}

impl Series {
    /// Begins at `now`; the first one is due at once.
    pub(super) fn begin(now: Time) -> Self {
        Self { base: now, next: 0, last: None }
    }

    /// Begins anew because another router announced too; keeps the spacing.
    pub(super) fn again(&mut self, now: Time) {
        self.base = self.last.map_or(now, |last| (last + SPACING).max(now));
        self.next = 0;
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Time {
        match OFFSETS.get(self.next) {
            Some(offset) => self.base + *offset,
            None => self.last.unwrap_or(self.base) + AGAIN,
        }
    }

    /// Whether one is due; counts it as done. Missed ones are not made up for.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let mut taken = false;
        while self.due() <= now {
            self.next = (self.next + 1).min(OFFSETS.len());
            self.last = Some(now);
            taken = true;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(series: &mut Series, until_ms: u64) -> Vec<u64> {
        let mut at = Vec::new();
        while series.due() <= Time::from_millis(until_ms) {
            let due = series.due();
            assert!(series.take(due));
            at.push(due.as_millis());
        }
        at
    }

    #[test]
    fn a_series_has_five_then_goes_on_slowly_and_starts_anew_with_spacing() {
        let mut series = Series::begin(Time::ZERO);
        assert_eq!(run(&mut series, 30_000), [0, 250, 500, 1000, 2500, 12_500, 22_500]);
        let mut series = Series::begin(Time::ZERO);
        assert_eq!(run(&mut series, 100), [0]);
        series.again(Time::from_millis(110));
        series.again(Time::from_millis(210));
        assert_eq!(run(&mut series, 10_000), [250, 500, 750, 1250, 2750]);
    }

    #[test]
    fn late_announcements_are_not_made_up_for() {
        let mut series = Series::begin(Time::ZERO);
        assert!(series.take(Time::from_millis(600)));
        assert!(!series.take(Time::from_millis(600)));
        assert_eq!(series.due(), Time::from_millis(1000));
    }
}
