//! When gratuitous ARP goes out: at once, a few times more, because a single one may be lost, and then rarely for as
//! long as the router is active, for neighbours that were cut off meanwhile (a switch that came back, a spanning tree that
//! took its time).

use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::Announce;

/// Two announcements that another router's word made necessary are never closer than this.
pub const SPACING: Duration = Duration::from_millis(250);

/// When the announcement of this number goes out after a takeover: the first at once, the last after the whole delay, the
/// others at distances that grow (as the square of the number). `None`: there is no such one.
pub fn offset(announce: &Announce, number: u32) -> Option<Duration> {
    let last = u32::from(announce.repeat).saturating_sub(1);
    match number {
        0 => Some(Duration::ZERO),
        number if number <= last => Some(announce.delay * (number * number) / (last * last)),
        _ => None,
    }
}

/// A running series of announcements.
#[derive(Clone, Debug)]
pub(super) struct Series {
    announce: Announce,
    base: Time,
    next: u32,
    last: Option<Time>,
}

impl Series {
    /// Nothing to announce yet.
    pub(super) fn new(announce: Announce) -> Self {
        Self { announce, base: Time::ZERO, next: 0, last: None }
    }

    /// Begins at `now`; the first one is due at once.
    pub(super) fn begin(&mut self, now: Time) {
        (self.base, self.next, self.last) = (now, 0, None);
    }

    /// Begins anew because another router announced too; keeps the spacing.
    pub(super) fn again(&mut self, now: Time) {
        self.base = self.last.map_or(now, |last| (last + SPACING).max(now));
        self.next = 0;
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Time {
        match offset(&self.announce, self.next) {
            Some(offset) => self.base + offset,
            None if self.announce.refresh.is_zero() => Time::MAX,
            None => self.last.unwrap_or(self.base) + self.announce.refresh,
        }
    }

    /// Whether one is due; counts it as done. Missed ones are not made up for.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let mut taken = false;
        while self.due() <= now {
            self.next = (self.next + 1).min(u32::from(self.announce.repeat.max(1)));
            self.last = Some(now);
            taken = true;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(announce: Announce) -> Series {
        let mut series = Series::new(announce);
        series.begin(Time::ZERO);
        series
    }

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
        let mut series = begun(Announce::default());
        assert_eq!(run(&mut series, 30_000), [0, 156, 625, 1406, 2500, 12_500, 22_500]);
        let mut series = begun(Announce::default());
        assert_eq!(run(&mut series, 100), [0]);
        series.again(Time::from_millis(110));
        series.again(Time::from_millis(210));
        assert_eq!(run(&mut series, 10_000), [250, 406, 875, 1656, 2750]);
    }

    #[test]
    fn the_file_says_how_often_and_until_when() {
        let announce = Announce { repeat: 1, refresh: Duration::ZERO, ..Announce::default() };
        assert_eq!(run(&mut begun(announce), 100_000), [0]);
        let announce =
            Announce { repeat: 3, delay: Duration::from_secs(1), refresh: Duration::ZERO, ..announce };
        assert_eq!(run(&mut begun(announce), 100_000), [0, 250, 1000]);
    }

    #[test]
    fn late_announcements_are_not_made_up_for() {
        let mut series = begun(Announce::default());
        assert!(series.take(Time::from_millis(630)));
        assert!(!series.take(Time::from_millis(630)));
        assert_eq!(series.due().as_millis(), 1406);
    }
}
