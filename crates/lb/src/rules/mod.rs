//! A service's rules at run time: compiled, with what they count and remember, shared by all workers.
//!
//! What is decided about a request is `relevo_proto::rule`; this module owns the counters behind it. A new configuration
//! with the same rules goes on with the same counters; with other rules, a rate limit that is written as before does.

mod guard;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use relevo_model::Time;
use relevo_model::cluster::{RateLimit, Rule, Users};
use relevo_proto::rule::{Allowed, BadRule, Key, Limiter, Rules};

pub(crate) use guard::{Checked, Guard};

/// Parts of a rate limit's table, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// The rules of one service.
#[derive(Debug)]
pub(crate) struct RuleSet {
    pub(crate) compiled: Rules,
    /// What they were made from.
    source: (Vec<Rule>, Vec<Users>),
    limits: Vec<Arc<Rate>>,
    /// Who may ask with a password.
    pub(crate) guard: Arc<Guard>,
    tarpits: Arc<AtomicUsize>,
    /// Nobody outside knows it: keys of tables, numbers of requests.
    secret: RandomState,
}

/// A rate limit with its table.
#[derive(Debug)]
struct Rate {
    limit: RateLimit,
    shards: Box<[Mutex<Limiter>]>,
}

impl RuleSet {
    /// Compiles rules; `None`: there are none. `former`: those of the service until now.
    ///
    /// # Errors
    /// The first rule that cannot be used.
    pub(crate) fn new(
        rules: &[Rule],
        users: &[Users],
        former: Option<&Arc<Self>>,
        workers: usize,
    ) -> Result<Option<Arc<Self>>, BadRule> {
        if rules.is_empty() {
            return Ok(None);
        }
        let is_same = |former: &&Arc<Self>| former.source.0 == rules && former.source.1 == users;
        if let Some(same) = former.filter(is_same) {
            return Ok(Some(Arc::clone(same)));
        }
        let compiled = Rules::new(rules, users)?;
        let mut there: Vec<_> = former.map_or_else(Vec::new, |former| former.limits.clone());
        let limits = compiled
            .limits()
            .iter()
            .map(|limit| match there.iter().position(|rate| rate.limit == *limit) {
                Some(place) => there.swap_remove(place),
                None => Arc::new(Rate::new(limit)),
            })
            .collect();
        let count = users.iter().map(|users| users.users.len()).sum();
        let secret = former.map_or_else(RandomState::new, |former| former.secret.clone());
        let guard = match former {
            Some(former) if former.guard.has_room_for(count) => Arc::clone(&former.guard),
            _ => Arc::new(Guard::new(workers, count)),
        };
        let tarpits = former.map_or_else(Arc::default, |former| Arc::clone(&former.tarpits));
        let source = (rules.to_vec(), users.to_vec());
        Ok(Some(Arc::new(Self { compiled, source, limits, guard, tarpits, secret })))
    }

    /// Asks a rate limit for one more request.
    pub(crate) fn ask(&self, limit: usize, key: &Key, now: Time) -> Allowed {
        let Some(rate) = self.limits.get(limit) else { return Allowed::Yes };
        let key = self.secret.hash_one(key);
        let count = rate.shards.len() as u64;
        let shard = key.checked_rem(count).and_then(|shard| rate.shards.get(usize::try_from(shard).ok()?));
        shard.map_or(Allowed::Yes, |shard| {
            // Counters are whole after each step of theirs.
            shard.lock().unwrap_or_else(PoisonError::into_inner).ask(key, now)
        })
    }

    /// The status of a rate limit's refusal.
    pub(crate) fn status(&self, limit: usize) -> u16 {
        self.limits.get(limit).map_or(429, |rate| rate.limit.status)
    }

    /// What tables know a client by.
    pub(crate) fn key(&self, source: IpAddr) -> u64 {
        self.secret.hash_one(source)
    }

    /// A number for a request that no other one has, from the number of its worker and its own number there.
    pub(crate) fn id(&self, worker: usize, number: u64) -> u128 {
        u128::from(self.secret.hash_one(worker)) << 64 | u128::from(number)
    }

    /// A place in the tarpit; `None`: there are `most` already.
    pub(crate) fn tarpit(&self, most: usize) -> Option<Tarpit> {
        let free = |count| (count < most).then_some(count + 1);
        let entered = self.tarpits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        entered.is_ok().then(|| Tarpit(Arc::clone(&self.tarpits)))
    }
}

impl Rate {
    fn new(limit: &RateLimit) -> Self {
        let size = usize::try_from(limit.size).unwrap_or(usize::MAX).max(1);
        // A small table is not divided: its keys may be unevenly spread.
        let count = if size < 64 * SHARDS { 1 } else { SHARDS };
        let shard = || Mutex::new(Limiter::new(limit.requests, limit.period, size / count));
        Self { limit: limit.clone(), shards: (0..count).map(|_| shard()).collect() }
    }
}

/// A place in the tarpit, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Tarpit(Arc<AtomicUsize>);

impl Drop for Tarpit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
