//! When servers are asked, so that not all of them are asked at once.
//!
//! Each has a phase: its regular questions come at the same point of every interval. Phases follow the golden ratio, so that
//! any run of servers (those of one pool, of one interval) is spread evenly, wherever it begins and however long it is.

use std::time::Duration;

use relevo_model::Time;

/// 2 to the 32nd over the golden ratio.
const GOLDEN: u32 = 2_654_435_769;

/// The part of `whole` that belongs to the server of this place.
pub(super) fn part(whole: Duration, place: u32) -> Duration {
    let share = u64::from(place.wrapping_mul(GOLDEN));
    let nanos = (u128::from(share) * whole.as_nanos()) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The first point of this server's phase that is not before `earliest`.
pub(super) fn next(interval: Duration, place: u32, earliest: Time) -> Time {
    let interval = interval.max(Duration::from_millis(1));
    let phase = part(interval, place);
    let whole = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    let passed = u64::try_from(earliest.since(Time::ZERO).as_nanos()).unwrap_or(u64::MAX);
    let mut at = Time::ZERO + Duration::from_nanos(passed / whole * whole) + phase;
    if at < earliest {
        at += interval;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_has_much_more_than_its_share(
            first: u32,
            count in 1_u32..10_000,
            interval in 100_u64..100_000,
            from in 0_u64..1_000_000,
        ) {
            let interval = Duration::from_millis(interval);
            let now = Time::from_millis(from);
            let mut times: Vec<_> =
                (0..count).map(|number| next(interval, first.wrapping_add(number), now)).collect();
            prop_assert!(times.iter().all(|at| *at >= now && at.since(now) <= interval));
            times.sort();
            let window = interval / 20;
            let mut start = 0;
            for end in 0..times.len() {
                while times[end].since(times[start]) > window {
                    start += 1;
                }
                prop_assert!(end - start < count as usize / 20 + 8, "{} of {count}", end - start + 1);
            }
        }
    }
}
