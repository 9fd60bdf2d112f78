//! A load's own time: all of it, or every second (third, ...) turn of it, while other loads have the others.
//!
//! ```text
//! wall   |  0  |  1  |  0  |  1  |  0  |      two loads that take turns
//! own    ├──0──┤     ├──1──┤     ├──2──┤      of load 0: it stands still while the other one asks
//! ```
//! A machine that others use too is slow for seconds and quick for seconds. Loads that take short turns see the same of it.

use std::time::{Duration, Instant};

/// Which turns are a load's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    /// Of how many loads; at least 1.
    pub(super) loads: u32,
    /// Which of them this is, from 0.
    pub(super) index: u32,
    /// How long a turn is; not 0.
    pub(super) length: Duration,
}

/// Translates between the time of everybody and a load's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    begun: Instant,
    turns: Turns,
}

impl Clock {
    /// A load that began then.
    pub(super) fn new(begun: Instant, turns: Turns) -> Self {
        Self { begun, turns }
    }

    /// A load that is alone.
    pub(super) fn alone(begun: Instant) -> Self {
        Self::new(begun, Turns { loads: 1, index: 0, length: Duration::from_secs(1) })
    }

    /// How much of its own time had passed then.
    pub(super) fn own(&self, at: Instant) -> Duration {
        let Turns { loads, index, length } = self.turns;
        let passed = at.saturating_duration_since(self.begun).as_nanos();
        let length = length.as_nanos();
        let round = length * u128::from(loads);
        let within = (passed % round).saturating_sub(length * u128::from(index)).min(length);
        nanos(passed / round * length + within)
    }

    /// When so much of its own time has passed: the start of a turn rather than the end of the one before.
    pub(super) fn at(&self, own: Duration) -> Instant {
        let Turns { loads, index, length } = self.turns;
        let (own, length) = (own.as_nanos(), length.as_nanos());
        let turns = own / length * u128::from(loads) + u128::from(index);
        self.begun + nanos(turns * length + own % length)
    }
}

fn nanos(count: u128) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_load_that_is_alone_has_all_the_time() {
        let begun = Instant::now();
        let clock = Clock::alone(begun);
        for ms in [0, 1, 999, 1000, 1001, 61_500] {
            assert_eq!((clock.own(begun + MS(ms)), clock.at(MS(ms))), (MS(ms), begun + MS(ms)));
        }
        assert_eq!(clock.own(begun.checked_sub(MS(5)).unwrap()), Duration::ZERO);
    }

    #[test]
    fn three_loads_share_the_time() {
        let begun = Instant::now();
        let clocks = [0, 1, 2].map(|index| Clock::new(begun, Turns { loads: 3, index, length: MS(10) }));
        for ms in 0..200 {
            let own = clocks.map(|clock| clock.own(begun + MS(ms)));
            assert_eq!(own.iter().sum::<Duration>(), MS(ms), "no time is lost, none is counted twice");
            // Whose turn it is, and nobody else, can ask something just then.
            let asks = |index: usize| clocks[index].at(own[index]) == begun + MS(ms);
            let turn = (ms / 10 % 3) as usize;
            assert!((0..3).all(|index| asks(index) == (index == turn)), "{ms} ms: {own:?}");
        }
        assert_eq!([clocks[0].at(MS(10)), clocks[2].at(MS(15))], [begun + MS(30), begun + MS(55)]);
    }
}
