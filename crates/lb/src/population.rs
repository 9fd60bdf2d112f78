//! How many connections each worker has, for the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One number for each worker; each writes its own, at every tick.
#[derive(Clone, Debug)]
pub(crate) struct Population(Arc<[AtomicU32]>);

impl Population {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| AtomicU32::new(0)).collect())
    }

    pub(crate) fn note(&self, worker: usize, connections: usize) {
        if let Some(place) = self.0.get(worker) {
            place.store(u32::try_from(connections).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
    }

    /// All, with the worker's own number as it is now.
    pub(crate) fn all(&self, worker: usize, own: usize) -> u32 {
        let others = self.0.iter().enumerate().filter(|(number, _)| *number != worker);
        others
            .map(|(_, count)| count.load(Ordering::Relaxed))
            .fold(u32::try_from(own).unwrap_or(u32::MAX), u32::saturating_add)
    }
}
