//! How many clients a service has, and how many it may have. It outlives changes of the configuration.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The count of a service's client connections, over all workers.
#[derive(Debug)]
pub(crate) struct Gate {
    connections: AtomicUsize,
    most: AtomicUsize,
    peak: AtomicUsize,
    freed: Notify,
    /// Places that workers ask for which have no client that could make room.
    wanted: AtomicUsize,
    /// Tells the others that one is.
    wanting: Notify,
    /// Clients shall come anew elsewhere.
    leaving: AtomicBool,
}

impl Gate {
    /// Nobody is in, and `most` may be.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            connections: AtomicUsize::new(0),
            most: AtomicUsize::new(most),
            peak: AtomicUsize::new(0),
            freed: Notify::new(),
            wanted: AtomicUsize::new(0),
            wanting: Notify::new(),
            leaving: AtomicBool::new(false),
        }
    }

    /// Whether clients are asked, in the answers to them, not to use their connections again.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Begins to ask them, or ends it.
    pub(crate) fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::Relaxed);
    }

    /// Client connections now.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The most that were in at a time.
    pub(crate) fn most(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// From now on so many may be in. Those who are, stay.
    pub(crate) fn set_most(&self, most: usize) {
        if self.most.swap(most, Ordering::Relaxed) < most {
            self.freed.notify_one();
        }
    }

    /// Counts a client connection in; waits while there are as many as allowed. Those who wait are not read from.
    pub(crate) async fn admit(&self) {
        let mut waited = false;
        loop {
            let freed = self.freed.notified();
            let most = self.most.load(Ordering::Relaxed);
            if let Some(before) = self.enter(most) {
                if waited && before + 1 < most {
                    // Several places became free at once, and only the first was told: pass it on.
                    self.freed.notify_one();
                }
                return;
            }
            freed.await;
            waited = true;
        }
    }

    /// Counts a client in, if there is a place now that nobody asks for.
    pub(crate) fn try_admit(&self) -> bool {
        self.enter(self.most_unwanted()).is_some()
    }

    /// The same for who has asked for one.
    pub(crate) fn try_admit_wanted(&self) -> bool {
        self.enter(self.most.load(Ordering::Relaxed)).is_some()
    }

    /// Asks the others for a place, or not any more.
    pub(crate) fn want(&self, wanted: bool) {
        if wanted {
            self.wanted.fetch_add(1, Ordering::Relaxed);
            self.tell_wanted();
        } else {
            self.wanted.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tells the others again.
    pub(crate) fn tell_wanted(&self) {
        self.wanting.notify_waiters();
    }

    /// Waits until somebody asks for a place.
    pub(crate) async fn heard_want(&self) {
        self.wanting.notified().await;
    }

    /// Whether there are too many in for somebody who asks for a place.
    pub(crate) fn is_wanted(&self) -> bool {
        self.connections() > self.most_unwanted()
    }

    fn most_unwanted(&self) -> usize {
        self.most.load(Ordering::Relaxed).saturating_sub(self.wanted.load(Ordering::Relaxed))
    }

    /// How many there were before, if there was a place.
    fn enter(&self, most: usize) -> Option<usize> {
        let free = |count| (count < most).then_some(count + 1);
        let before = self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        if before >= self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(before + 1, Ordering::Relaxed);
        }
        Some(before)
    }

    /// Counts a client connection out.
    pub(crate) fn release(&self) {
        if self.connections.fetch_sub(1, Ordering::Relaxed) >= self.most.load(Ordering::Relaxed) {
            self.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn places_that_become_free_at_once_are_all_taken() {
        let gate = Arc::new(Gate::new(3));
        for _ in 0..3 {
            gate.admit().await;
        }
        // One for each worker.
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let gate = Arc::clone(&gate);
            waiting.spawn(async move { gate.admit().await });
        }
        tokio::task::yield_now().await;
        for _ in 0..3 {
            gate.release();
        }
        for _ in 0..3 {
            let admitted = tokio::time::timeout(Duration::from_secs(1), waiting.join_next()).await;
            assert!(admitted.is_ok(), "one waits though there is a place");
        }
        assert_eq!(gate.connections(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_come_in_when_more_are_allowed() {
        let gate = Arc::new(Gate::new(1));
        gate.admit().await;
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move {
                gate.admit().await;
                gate.admit().await;
            }
        });
        tokio::task::yield_now().await;
        gate.set_most(3);
        let admitted = tokio::time::timeout(Duration::from_secs(1), waiting).await;
        assert!(admitted.is_ok(), "one waits though there is a place");
    }
}
