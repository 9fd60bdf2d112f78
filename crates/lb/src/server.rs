//! A server of a pool as all threads see it. It outlives changes of the configuration as long as it is in the same
//! pool by the same name at the same address.

use std::net::SocketAddrV4;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relevo_model::{ServerName, Time};
use relevo_proto::balance::Admin;
use relevo_proto::health::State;

use crate::counters::ServerCounters;

/// What is known of a server, and what it has done.
#[derive(Debug)]
pub(crate) struct Server {
    /// No other server of this process ever has the same.
    pub(crate) id: u64,
    pub(crate) name: ServerName,
    /// Where it listens.
    pub(crate) at: SocketAddrV4,
    /// One for each worker.
    pub(crate) counters: Box<[ServerCounters]>,
    state: Mutex<ServerState>,
}

/// What may change.
#[derive(Clone, Debug)]
pub(crate) struct ServerState {
    /// What the operator wants.
    pub(crate) admin: Admin,
    /// What the checks say.
    pub(crate) health: State,
    /// Since when.
    pub(crate) since: Time,
    /// The evidence.
    pub(crate) reason: String,
    /// Checks that failed.
    pub(crate) check_failures: u64,
    /// Times that it went down.
    pub(crate) downs: u64,
    /// How long it was down before `since`.
    pub(crate) downtime: Duration,
}

impl Server {
    /// A server that was never checked.
    pub(crate) fn new(
        id: u64,
        name: ServerName,
        at: SocketAddrV4,
        admin: Admin,
        workers: usize,
        now: Time,
    ) -> Self {
        let state = ServerState {
            admin,
            health: State::Unknown,
            since: now,
            reason: "not checked yet".to_owned(),
            check_failures: 0,
            downs: 0,
            downtime: Duration::ZERO,
        };
        let counters = (0..workers).map(|_| ServerCounters::default()).collect();
        Self { id, name, at, counters, state: Mutex::new(state) }
    }

    /// What is known of it; hold it shortly.
    pub(crate) fn state(&self) -> MutexGuard<'_, ServerState> {
        // Whole values are written under it: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests or connections that it is working on.
    pub(crate) fn running(&self) -> u32 {
        self.counters.iter().map(|counters| counters.running.value()).fold(0, u32::wrapping_add)
    }

    /// The sum of a counter over all workers.
    pub(crate) fn sum(&self, value: impl Fn(&ServerCounters) -> u64) -> u64 {
        self.counters.iter().map(value).fold(0, u64::wrapping_add)
    }
}
