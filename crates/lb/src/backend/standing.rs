//! Whether a pool as a whole can work: since when, and how often and how long it could not.

use std::time::Duration;

use relevo_model::Time;

/// The whole pool, over all its configurations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Since when it is so.
    pub(super) since: Time,
    /// Times that its last server went.
    pub(super) downs: u64,
    /// How long nobody was there before `since`.
    before: Duration,
    can_work: bool,
}

impl Standing {
    /// A pool that begins.
    pub(super) const fn new(now: Time, can_work: bool) -> Self {
        Self { since: now, downs: 0, before: Duration::ZERO, can_work }
    }

    /// Notes whether it can work now.
    pub(super) fn turn(&mut self, can_work: bool, now: Time) {
        if self.can_work != can_work {
            self.before = self.downtime(now);
            self.downs += u64::from(!can_work);
            (self.since, self.can_work) = (now, can_work);
        }
    }

    /// How long nobody was there, up to now.
    pub(super) fn downtime(&self, now: Time) -> Duration {
        if self.can_work { self.before } else { self.before + now.since(self.since) }
    }
}
