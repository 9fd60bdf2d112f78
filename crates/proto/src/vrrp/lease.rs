//! For how long the kernel keeps an address that nobody refreshes.
//!
//! An active router puts its addresses on with a lifetime (`valid_lft`) and refreshes it every [`REFRESH`]. If
//! its process is killed or frozen, the kernel removes the addresses by itself, so that two routers do not both
//! answer ARP for one address.
//!
//! The kernel counts lifetimes in whole seconds and looks at them at most once a second
//! (`check_lifetime` in `net/ipv4/devinet.c`: the age is rounded down after adding 20 ms, checks are put together on a
//! grid of up to 1.25 s). An address with a lifetime of 1 s that is not refreshed goes away between 0.98 s and about
//! 2.25 s after the last refresh ([`KERNEL_EARLY`], [`KERNEL_LATE`]). So a lifetime must be a whole number of seconds,
//! at least 1, and 1 s is enough to survive a refresh that comes three times too late.

use std::time::Duration;

/// Time between two refreshes while active.
pub const REFRESH: Duration = Duration::from_millis(250);

/// How much before the end of the lifetime the kernel may remove an address.
pub const KERNEL_EARLY: Duration = Duration::from_millis(20);

/// How much after the end of the lifetime the kernel may remove an address.
pub const KERNEL_LATE: Duration = Duration::from_millis(1250);

/// The lifetime: Active_Down interval + 1 s, at least 1 s, rounded down to whole seconds.
///
/// The address must outlive the own Active_Down interval: a router that was stalled for less than that goes on
/// as active. It should not outlive it by much: by then another router has taken over.
pub fn valid(active_down: Duration) -> Duration {
    Duration::from_secs((active_down + Duration::from_secs(1)).as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_whole_seconds_above_the_active_down_interval() {
        for (down_ms, want) in [(0, 1), (32, 1), (361, 1), (999, 1), (1_000, 2), (3_609, 4), (147_803, 148)] {
            let down = Duration::from_millis(down_ms);
            assert_eq!(valid(down), Duration::from_secs(want), "{down_ms} ms");
            assert!(valid(down) > down, "longer than Active_Down");
        }
    }
}
