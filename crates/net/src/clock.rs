//! The clock that all decisions about addresses are taken on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use relevo_model::Time;

/// Time since the boot, time in suspend included (`CLOCK_BOOTTIME`, clock_gettime(2)).
///
/// A node that was suspended has to notice it: another one took its addresses meanwhile.
pub fn now() -> Time {
    // clock_gettime can only fail for a clock that does not exist; this one does since Linux 2.6.39.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Time::ZERO, |spec| {
        let nanos = Duration::from(spec).as_nanos();
        Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    })
}

/// The wall clock, milliseconds since 1970-01-01 UTC, of a moment on this clock. For people to read only.
pub fn wall_millis(at: Time) -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ago = now().since(at);
    u64::try_from(wall.saturating_sub(ago).as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock, since 1970-01-01 UTC, at the zero of this clock. It changes when somebody sets the wall clock.
pub fn wall_at_zero() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(now().since(Time::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back_and_the_wall_agrees() {
        let first = now();
        let second = now();
        assert!(first > Time::ZERO && second >= first);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let boot = u128::from(wall_millis(Time::ZERO));
        let uptime = u128::from(second.as_millis());
        assert!((boot + uptime).abs_diff(wall.as_millis()) < 60_000, "{boot} + {uptime} is not now");
    }
}
