//! Failures in a row, as seen in traffic. All workers count into one place: whoever has no failure to forget only looks.

use std::sync::atomic::{AtomicU32, Ordering};

/// Failures in a row of one server.
#[derive(Debug, Default)]
pub struct Errors(AtomicU32);

impl Errors {
    /// Something went well.
    pub fn forget(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// Something failed; whether it was the `limit`-th in a row. Then it begins anew.
    pub fn add(&self, limit: u32) -> bool {
        let is_full = self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= limit;
        if is_full {
            self.0.store(0, Ordering::Relaxed);
        }
        is_full
    }
}

/// Whether an answer with this status counts as a failure of the server: 100 to 199, and from 500 on but 501 and 505, as they
/// depend on what was asked.
pub const fn is_failure(status: u16) -> bool {
    status < 200 || status >= 500 && status != 501 && status != 505
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_in_a_row_count() {
        let errors = Errors::default();
        let add = || errors.add(3);
        assert_eq!([add(), add()], [false, false]);
        errors.forget();
        assert_eq!([add(), add(), add(), add()], [false, false, true, false]);
        assert!(Errors::default().add(1));
    }

    #[test]
    fn statuses_that_are_the_servers_fault() {
        for (status, bad) in
            [(100, true), (200, false), (404, false), (500, true), (501, false), (503, true), (505, false)]
        {
            assert_eq!(is_failure(status), bad, "{status}");
        }
    }
}
