//! The share of a server that has just come up.

use std::time::Duration;

use relevo_model::cluster::{Balance, Hash, HashMethod};

/// The steps of a slow start. Each makes a new table: few enough to cost nothing, small enough not to be felt.
const STEPS: u32 = 20;

/// Whether shares are those of the file alone: neither a slow start nor an agent changes them.
pub const fn is_static(balance: &Balance) -> bool {
    match balance {
        Balance::StaticRr | Balance::Hash(Hash { method: HashMethod::MapBased, .. }) => true,
        Balance::Hash(_) | Balance::RoundRobin | Balance::LeastConn => false,
        Balance::First | Balance::Random => false,
    }
}

/// How many percent of its weight a server gets that has been up for `up`, when it is to get all after `whole`: 5 to
/// 100, in steps of 5.
pub fn slow_start(up: Duration, whole: Duration) -> u16 {
    u16::try_from(step(up, whole) * 100 / STEPS).unwrap_or(100)
}

/// When [`slow_start`] says something else, counted from when the server came up; `None`: never.
pub fn next_step(up: Duration, whole: Duration) -> Option<Duration> {
    let step = step(up, whole);
    if step >= STEPS {
        return None;
    }
    // Rounded up, or the step would not be reached at that time.
    let nanos = (whole.as_nanos() * u128::from(step)).div_ceil(u128::from(STEPS - 1));
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// From 1, when it has just come up, to [`STEPS`], when its time is over.
fn step(up: Duration, whole: Duration) -> u32 {
    if up >= whole {
        return STEPS;
    }
    let passed = up.as_nanos() * u128::from(STEPS - 1) / whole.as_nanos();
    1 + u32::try_from(passed).unwrap_or(STEPS - 1)
}
