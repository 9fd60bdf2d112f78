//! The table of a pool's clients, shared by all workers: parts with a lock each, held for one look.

use std::sync::{Mutex, MutexGuard, PoisonError};

use relevo_model::Time;
use relevo_model::cluster;
use relevo_proto::persistence::{Affinity, Entry, Key};

/// Parts of a large table, so that workers seldom meet.
const PARTS: u32 = 16;
/// A table below this size has one part: in several, some would be full before the others.
const SMALL: u32 = 1024;

/// A pool's clients. It outlives changes of the configuration as long as clients are known by the same thing.
#[derive(Debug)]
pub(crate) struct AffinityTable {
    parts: Box<[Mutex<Affinity>]>,
}

impl AffinityTable {
    pub(crate) fn new(config: &cluster::Affinity) -> Self {
        let (parts, size) = parts(config.size);
        let part = || Mutex::new(Affinity::new(size, config.expire));
        Self { parts: (0..parts).map(|_| part()).collect() }
    }

    /// Goes on with another size and life; `false`: it cannot.
    pub(crate) fn resize(&self, config: &cluster::Affinity) -> bool {
        let (parts, size) = parts(config.size);
        if parts as usize != self.parts.len() {
            return false;
        }
        for part in &self.parts {
            lock(part).resize(size, config.expire);
        }
        true
    }

    /// The server of a client, by its id.
    pub(crate) fn find(&self, key: &Key, now: Time) -> Option<u64> {
        self.part(key)?.find(key, now)
    }

    /// Notes the server that a client got instead of `former`, unless it got another one in the meantime by another
    /// connection; who it has now.
    pub(crate) fn settle(&self, key: Key, server: u64, former: Option<u64>, now: Time) -> u64 {
        self.part(&key).map_or(server, |mut part| part.settle(key, server, former, now))
    }

    /// All clients, part by part, those of a part who came last first.
    pub(crate) fn entries(&self, now: Time) -> Vec<Entry> {
        self.parts.iter().flat_map(|part| lock(part).entries(now).collect::<Vec<_>>()).collect()
    }

    /// Forgets those who are meant; how many. Parts are looked at one after the other.
    pub(crate) fn forget(&self, now: Time, is_meant: impl Fn(&Entry) -> bool) -> usize {
        let each = self.parts.iter().map(|part| {
            let mut part = lock(part);
            let keys: Vec<Key> = part.entries(now).filter(&is_meant).map(|entry| entry.key).collect();
            keys.iter().filter(|key| part.forget(key)).count()
        });
        each.sum()
    }

    fn part(&self, key: &Key) -> Option<MutexGuard<'_, Affinity>> {
        self.parts.get(key.shard(self.parts.len())).map(lock)
    }
}

/// How many parts, and the size of each.
fn parts(size: u32) -> (u32, u32) {
    if size < SMALL { (1, size) } else { (PARTS, size.div_ceil(PARTS)) }
}

fn lock(part: &Mutex<Affinity>) -> MutexGuard<'_, Affinity> {
    // The worst that a panic can leave behind is a client that is forgotten.
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
