//! Waiting for something that comes by itself.

use std::thread;
use std::time::{Duration, Instant};

/// Looks again and again until it is so, for 40 s at most.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !done() {
        assert!(Instant::now() < deadline, "not within 40 s: {what}");
        thread::sleep(Duration::from_millis(200));
    }
}
