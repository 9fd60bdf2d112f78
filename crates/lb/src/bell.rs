//! Tells a thread that waits that something has changed. Ringing never waits.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts its rings.
#[derive(Debug, Default)]
pub struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    /// Rings.
    pub fn ring(&self) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        *rings = rings.wrapping_add(1);
        drop(rings);
        self.rung.notify_all();
    }

    /// Waits until it has rung more often than `heard`, at most this long; how often it has.
    pub fn wait(&self, heard: u64, within: Duration) -> u64 {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.rung.wait_timeout_while(rings, within, |rings| *rings == heard);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
