//! The one clock: monotonic, counting while the machine sleeps.

use relevo_model::Time;

/// Now, since boot.
pub(crate) fn now() -> Time {
    let read = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    let Ok(time) = read else { return Time::ZERO };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    Time::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
