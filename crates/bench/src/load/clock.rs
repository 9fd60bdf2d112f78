//! A load's own time: all of it, or every second (third, ...) turn of it, while other loads have the others.
//!
//! ```text
//! wall   |  0  · |  1  · |  0  · |  1  · |  0  · |      two loads that take turns, and the gaps after them
//! own    ├──0──┤         ├──1──┤         ├──2──┤        of load 0: it stands still meanwhile
//! ```
//! A machine that others use too is slow for seconds and quick for seconds. Loads that take short turns see the same of it. In
//! the gap after a turn nothing is asked: what is late then is answered before the next one's turn.

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
    /// How long nobody asks after it.
    pub(super) gap: Duration,
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
        Self::new(begun, Turns { loads: 1, index: 0, length: Duration::from_secs(1), gap: Duration::ZERO })
    }

    /// How much of its own time had passed then.
    pub(super) fn own(&self, at: Instant) -> Duration {
        let Turns { loads, index, length, gap } = self.turns;
        let passed = at.saturating_duration_since(self.begun).as_nanos();
        let (length, whole) = (length.as_nanos(), (length + gap).as_nanos());
        let round = whole * u128::from(loads);
        let within = (passed % round).saturating_sub(whole * u128::from(index)).min(length);
        nanos(passed / round * length + within)
    }

    /// When so much of its own time has passed: the start of a turn rather than the end of the one before.
    pub(super) fn at(&self, own: Duration) -> Instant {
        let Turns { loads, index, length, gap } = self.turns;
        let (own, length, whole) = (own.as_nanos(), length.as_nanos(), (length + gap).as_nanos());
        let turns = own / length * u128::from(loads) + u128::from(index);
        self.begun + nanos(turns * whole + own % length)
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
        for gap in [0, 4] {
            let turns = |index| Turns { loads: 3, index, length: MS(10), gap: MS(gap) };
            let clocks = [0, 1, 2].map(|index| Clock::new(begun, turns(index)));
            for ms in 0..200 {
                let own = clocks.map(|clock| clock.own(begun + MS(ms)));
                let (turn, within) = (ms / (10 + gap), ms % (10 + gap));
                let passed = turn * 10 + within.min(10);
                assert_eq!(
                    own.iter().sum::<Duration>(),
                    MS(passed),
                    "no time is lost, none is counted twice"
                );
                // Whose turn it is, and nobody else, can ask something just then; in a gap nobody.
                let asks = |index: usize| clocks[index].at(own[index]) == begun + MS(ms);
                let asking: Vec<usize> = (0..3).filter(|index| asks(*index)).collect();
                let expected: Vec<usize> = (within < 10).then_some((turn % 3) as usize).into_iter().collect();
                assert_eq!(asking, expected, "{ms} ms: {own:?}");
            }
            let at = [clocks[0].at(MS(10)), clocks[2].at(MS(15))];
            assert_eq!(at, [begun + MS(3 * (10 + gap)), begun + MS(5 * (10 + gap) + 5)]);
        }
    }
}
