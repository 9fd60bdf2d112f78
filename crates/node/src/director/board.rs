//! What the director's thread tells everybody else in the process.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use relevo_api::types::GroupStatus;
use relevo_proto::ownership::Own;
use relevo_proto::vrrp::Handed;

use crate::duty::Bell;

/// The newest status of every group, with a bell for those who wait for a change.
#[derive(Debug, Default)]
pub(super) struct Board {
    content: Mutex<Content>,
    changed: Condvar,
    /// Who else is told of each change.
    bell: OnceLock<Bell>,
}

#[derive(Debug, Default)]
struct Content {
    groups: Vec<GroupStatus>,
    /// What the other directors are told of each.
    owns: Vec<Own>,
    /// What another process needs to go on.
    handed: Vec<Handed>,
    /// Why the thread is gone.
    stopped: Option<String>,
}

impl Board {
    /// Replaces the status. Rings only when something is different.
    pub(super) fn publish(&self, groups: &[GroupStatus]) {
        let mut content = self.lock();
        if content.groups != groups {
            content.groups.clear();
            content.groups.extend_from_slice(groups);
            drop(content);
            self.tell();
        }
    }

    /// Replaces what the other directors are told. Rings nothing: they are told several times a second.
    pub(super) fn show(&self, owns: Vec<Own>) {
        self.lock().owns = owns;
    }

    /// What the other directors are told of each group.
    pub(super) fn owns(&self) -> Vec<Own> {
        self.lock().owns.clone()
    }

    /// Rings this bell too from now on; the first one stays.
    pub(super) fn listen(&self, bell: Bell) {
        let _ = self.bell.set(bell);
    }

    fn tell(&self) {
        self.changed.notify_all();
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    /// Keeps what another process needs, in the order of the groups.
    pub(super) fn hand_over(&self, handed: Vec<Handed>) {
        self.lock().handed = handed;
    }

    /// What [`Board::hand_over`] has kept.
    pub(super) fn handed(&self) -> Vec<Handed> {
        self.lock().handed.clone()
    }

    /// Says that the thread is gone; the first reason stays.
    pub(super) fn stop(&self, reason: &str) {
        self.lock().stopped.get_or_insert_with(|| reason.to_owned());
        self.tell();
    }

    /// The newest status.
    pub(super) fn groups(&self) -> Vec<GroupStatus> {
        self.lock().groups.clone()
    }

    /// Why the thread is gone; `None` while it runs.
    pub(super) fn stopped(&self) -> Option<String> {
        self.lock().stopped.clone()
    }

    /// Waits until `wanted` gives a value for the status of group `index`, at most `timeout`.
    pub(super) fn wait<T>(
        &self,
        index: usize,
        timeout: Duration,
        mut wanted: impl FnMut(&GroupStatus) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let mut content = self.lock();
        loop {
            if let Some(value) = content.groups.get(index).and_then(&mut wanted) {
                return Some(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || content.stopped.is_some() {
                return None;
            }
            content = self.changed.wait_timeout(content, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the thread is gone, at most `timeout`.
    pub(super) fn wait_for_the_end(&self, timeout: Duration) {
        let runs = |content: &mut Content| content.stopped.is_none();
        // What it gives back is a guard that is not needed any more.
        drop(self.changed.wait_timeout_while(self.lock(), timeout, runs));
    }

    /// A reader that panicked leaves the status whole.
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
