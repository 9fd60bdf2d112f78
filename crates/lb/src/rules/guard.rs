//! Passwords without stopping a worker: what was right is remembered, the rest is checked on another thread.
//!
//! A check takes milliseconds of a CPU. So at most [`AT_A_TIME`] run for a service, at most [`WAITING`] wait, and a client's
//! address may cause [`TRIES`] in [`TIME`]. Who is remembered costs a hash and is not counted.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::Users;
use relevo_proto::password::{Credentials, Memory};
use relevo_proto::rule::{Allowed, Limiter};
use tokio::sync::Semaphore;

/// Checks that run at the same time.
const AT_A_TIME: usize = 1;
/// Checks that wait; more are refused at once.
const WAITING: usize = 100;
/// Checks that one address may cause...
const TRIES: u32 = 30;
/// ...in this time.
const TIME: Duration = Duration::from_secs(60);
/// Addresses whose tries are remembered.
const ADDRESSES: usize = 10_000;
/// Most users that a worker remembers. All are compared with each request.
const MOST_USERS: usize = 10_000;

/// Checks passwords for one service.
#[derive(Debug)]
pub(crate) struct Guard {
    /// One for each worker.
    memories: Box<[Mutex<Memory>]>,
    users: usize,
    tries: Mutex<Limiter>,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    Right,
    Wrong,
    /// Too many others are being checked.
    Busy,
}

impl Guard {
    /// For so many workers and users.
    pub(super) fn new(workers: usize, users: usize) -> Self {
        let memory = || Mutex::new(Memory::new(random(), users.min(MOST_USERS)));
        Self {
            memories: (0..workers).map(|_| memory()).collect(),
            users,
            tries: Mutex::new(Limiter::new(TRIES, TIME, ADDRESSES)),
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(super) fn has_room_for(&self, users: usize) -> bool {
        self.users >= users
    }

    /// Whether these were right before.
    pub(crate) fn knows(&self, worker: usize, credentials: &Credentials, users: &Users) -> bool {
        let Some(memory) = self.memories.get(worker) else { return false };
        memory.lock().unwrap_or_else(PoisonError::into_inner).find(credentials, users).is_some()
    }

    /// Whether this client may cause another check; counts it.
    pub(crate) fn may_try(&self, client: u64, now: Time) -> Allowed {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).ask(client, now)
    }

    /// Checks a password on another thread.
    pub(crate) async fn check(&self, worker: usize, credentials: Credentials, users: Arc<Users>) -> Checked {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING + AT_A_TIME {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Checked::Busy;
        }
        let _place = Place(&self.waiting);
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else { return Checked::Busy };
        let found = tokio::task::spawn_blocking(move || {
            // The turn is over when the work is, though nobody may wait for it any more.
            let _turn = turn;
            let user = credentials.find(&users).cloned();
            (user, credentials)
        });
        match found.await {
            Ok((Some(user), credentials)) => {
                if let Some(memory) = self.memories.get(worker) {
                    memory.lock().unwrap_or_else(PoisonError::into_inner).remember(&credentials, &user);
                }
                Checked::Right
            }
            Ok((None, _)) => Checked::Wrong,
            Err(_) => Checked::Busy,
        }
    }
}

/// A place among those who wait, given back though the client may leave.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes that nobody outside knows: hashes of numbers with a random key.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    for (number, part) in bytes.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&RandomState::new().hash_one(number).to_ne_bytes());
    }
    bytes
}
