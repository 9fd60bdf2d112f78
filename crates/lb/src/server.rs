//! A server of a pool as all threads see it. It outlives changes of the configuration as long as it is in the same
//! pool by the same name at the same address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relevo_model::{ServerName, Time};
use relevo_proto::balance::Admin;
use relevo_proto::health::agent::Agent;
use relevo_proto::health::{Errors, State};

use crate::counters::ServerCounters;

/// What is known of a server, and what it has done.
#[derive(Debug)]
pub(crate) struct Server {
    /// No other server of this process ever has the same.
    pub(crate) id: u64,
    pub(crate) name: ServerName,
    /// Where it listens.
    pub(crate) at: SocketAddr,
    /// One for each worker.
    pub(crate) counters: Box<[ServerCounters]>,
    /// Work that has a place, as far as places are counted.
    taken: AtomicU32,
    /// How many places there are; `u32::MAX`: no limit.
    most: AtomicU32,
    /// Whether it may get new work.
    open: AtomicBool,
    /// Whether clients that are bound to it may go on asking it.
    keeps: AtomicBool,
    /// Failures in a row, where traffic is observed.
    pub(crate) errors: Errors,
    state: Mutex<ServerState>,
}

/// What may change.
#[derive(Clone, Debug)]
pub(crate) struct ServerState {
    /// What the operator wants.
    pub(crate) admin: Admin,
    /// What the checks say, and the evidence.
    pub(crate) checks: (State, String),
    /// Whether it says to its checks that it wants no new work.
    pub(crate) leaving: bool,
    /// Checks in a row that speak against what they say together.
    pub(crate) against: u32,
    /// What its agent says.
    pub(crate) agent: Agent,
    /// What both say: down if either does.
    pub(crate) health: State,
    /// Since when.
    pub(crate) since: Time,
    /// The evidence.
    pub(crate) reason: String,
    /// Checks that failed while it was not down.
    pub(crate) check_failures: u64,
    /// Times that it went down.
    pub(crate) downs: u64,
    /// How long it was down before `since`.
    pub(crate) downtime: Duration,
    /// What the operator wants it to weigh; `None`: what the file says.
    pub(crate) weight: Option<u16>,
    /// When it came back, for a slow start; `None`: it was there from the beginning, or is not there.
    pub(crate) back: Option<Time>,
}

impl ServerState {
    /// What the operator, its agent and itself want together: the least work.
    pub(crate) fn admin(&self) -> Admin {
        match (self.admin, self.agent.admin) {
            (Admin::Maint, _) | (_, Admin::Maint) => Admin::Maint,
            (Admin::Drain, _) | (_, Admin::Drain) => Admin::Drain,
            (Admin::Ready, Admin::Ready) if self.leaving => Admin::Drain,
            (Admin::Ready, Admin::Ready) => Admin::Ready,
        }
    }

    /// Most requests or connections at a time, where the file says `most`.
    pub(crate) fn most(&self, most: Option<u32>) -> Option<u32> {
        self.agent.most.map_or(most, |said| (said > 0).then_some(said))
    }

    /// Nobody checks it: it counts as up, unless its agent says that it is down. What it was and is, if that is not the same.
    pub(crate) fn trust(&mut self, now: Time) -> Option<(State, State)> {
        self.checks = (State::Up, "not checked, counts as up".to_owned());
        (self.leaving, self.against) = (false, 0);
        self.settle(now)
    }

    /// Draws from what checks and agent say; what it was and is, if that is not the same.
    pub(crate) fn settle(&mut self, now: Time) -> Option<(State, State)> {
        let (to, reason) = match &self.agent.down {
            Some(reason) => (State::Down, reason),
            None => (self.checks.0, &self.checks.1),
        };
        self.reason.clone_from(reason);
        let from = std::mem::replace(&mut self.health, to);
        if from == to {
            return None;
        }
        match (from, to) {
            (State::Down, _) => self.downtime += now.since(self.since),
            (_, State::Down) => self.downs += 1,
            (State::Up | State::Unknown, _) => {}
        }
        // The first check of a server that is up finds nothing new.
        self.back = (to == State::Up && from == State::Down).then_some(now);
        self.since = now;
        Some((from, to))
    }
}

impl Server {
    /// A server that was never checked.
    pub(crate) fn new(
        id: u64,
        name: ServerName,
        at: SocketAddr,
        admin: Admin,
        workers: usize,
        now: Time,
    ) -> Self {
        let state = ServerState {
            admin,
            checks: (State::Unknown, "not checked yet".to_owned()),
            leaving: false,
            against: 0,
            agent: Agent::default(),
            health: State::Unknown,
            since: now,
            reason: "not checked yet".to_owned(),
            check_failures: 0,
            downs: 0,
            downtime: Duration::ZERO,
            weight: None,
            back: None,
        };
        let counters = (0..workers).map(|_| ServerCounters::default()).collect();
        Self {
            id,
            name,
            at,
            counters,
            taken: AtomicU32::new(0),
            most: AtomicU32::new(u32::MAX),
            open: AtomicBool::new(false),
            keeps: AtomicBool::new(false),
            errors: Errors::default(),
            state: Mutex::new(state),
        }
    }

    /// What is known of it; hold it shortly.
    pub(crate) fn state(&self) -> MutexGuard<'_, ServerState> {
        // Whole values are written under it: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it takes only so many requests or connections at a time.
    pub(crate) fn is_limited(&self) -> bool {
        self.most.load(Ordering::Relaxed) != u32::MAX
    }

    /// From now on it takes so many; those that it has, stay.
    pub(crate) fn set_most(&self, most: Option<u32>) {
        self.most.store(most.unwrap_or(u32::MAX), Ordering::SeqCst);
    }

    /// Whether those who wait may get it: all of them, and those who wait for it alone.
    pub(crate) fn set_open(&self, open: bool, keeps: bool) {
        self.open.store(open, Ordering::SeqCst);
        self.keeps.store(keeps, Ordering::SeqCst);
    }

    /// Whether who waits may get it, `bound` to it or not.
    pub(crate) fn is_open(&self, bound: bool) -> bool {
        self.open.load(Ordering::SeqCst) || bound && self.keeps.load(Ordering::SeqCst)
    }

    /// Takes a place, if there is one.
    pub(crate) fn take(&self) -> bool {
        let most = self.most.load(Ordering::SeqCst);
        let next = |taken| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }

    /// Gives a place back.
    pub(crate) fn untake(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
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
