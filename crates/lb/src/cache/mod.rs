//! A service's kept answers, for all workers: bounded in bytes, the least recently used go first. What may be kept and
//! used is decided in [`relevo_proto::cache`].

mod shard;
mod ticket;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relevo_model::PoolName;
use relevo_model::cluster;
use relevo_proto::cache::{Kept, Selection};

use shard::Shard;
pub(crate) use ticket::{Ticket, ask};

/// Most parts with a lock each.
const MOST_SHARDS: u64 = 16;
/// Objects of the largest size that a part must have room for.
const OBJECTS_OF_SHARD: u64 = 8;

/// All kept answers of a service.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) config: cluster::Cache,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

/// An answer that is kept. It never changes: a refreshed one takes its place.
#[derive(Debug)]
pub(crate) struct Object {
    /// Who gave it: rules may send the same URI to several pools.
    pub(crate) pool: PoolName,
    pub(crate) selection: Selection,
    pub(crate) kept: Kept,
    /// As the server wrote it, with its length.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Arc<[u8]>,
}

impl Cache {
    pub(crate) fn new(config: cluster::Cache) -> Self {
        let room = config.object.saturating_mul(OBJECTS_OF_SHARD).max(1);
        let count = (config.size / room).clamp(1, MOST_SHARDS);
        let shards = (0..count).map(|_| Mutex::new(Shard::new(config.size / count))).collect();
        Self { config, shards, hasher: RandomState::new() }
    }

    /// The answer for this request, whatever its age.
    pub(crate) fn find(&self, key: &[u8], pool: &PoolName, request: &[u8]) -> Option<Arc<Object>> {
        self.shard(key)?.find(key, pool, request)
    }

    /// Keeps an answer; one of the same kind goes.
    pub(crate) fn put(&self, key: &[u8], object: Arc<Object>) {
        if let Some(mut shard) = self.shard(key) {
            shard.put(key, object);
        }
    }

    /// What is kept for this URI is not good any more.
    pub(crate) fn forget(&self, key: &[u8]) {
        if let Some(mut shard) = self.shard(key) {
            shard.forget(key);
        }
    }

    fn shard(&self, key: &[u8]) -> Option<MutexGuard<'_, Shard>> {
        let number = usize::try_from(self.hasher.hash_one(key)).unwrap_or(0) % self.shards.len().max(1);
        // A panic within would leave a shard whose count is wrong at most.
        Some(self.shards.get(number)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relevo_model::Time;
    use relevo_proto::cache::{Clock, selection};

    use super::*;

    fn object(pool: &str, request: &[u8], length: usize) -> Arc<Object> {
        let head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: Accept\r\n\r\n";
        let clock = Clock { now: Time::ZERO, wall: 0 };
        let kept = Kept::of(request, head, Time::ZERO, clock, Duration::from_secs(9)).unwrap();
        Arc::new(Object {
            pool: pool.into(),
            selection: selection(request, head),
            kept,
            head: head.to_vec(),
            body: vec![0; length].into(),
        })
    }

    #[test]
    fn the_least_recently_used_go_first_and_the_bound_holds() {
        let cache = Cache::new(cluster::Cache { size: 40_000, object: 10_000, age: Duration::MAX });
        let (pool, request) = ("a".into(), &b"GET / HTTP/1.1\r\n\r\n"[..]);
        for number in 0..100_u8 {
            cache.put(&[number], object("a", request, 9_000));
            assert!(cache.find(&[0], &pool, request).is_some(), "it is used all the time");
            assert!(cache.shards.iter().all(|shard| shard.lock().unwrap().bytes() <= 40_000));
        }
        let there = (0..100).filter(|number| cache.find(&[*number], &pool, request).is_some());
        assert_eq!(there.collect::<Vec<_>>(), [0, 97, 98, 99]);
        cache.put(b"large", object("a", request, 50_000));
        assert!(cache.find(b"large", &pool, request).is_none());
    }

    #[test]
    fn variants_and_pools_are_apart_and_go_together() {
        let cache = Cache::new(cluster::Cache { size: 1 << 20, object: 1 << 10, age: Duration::MAX });
        let (a, b) = ("a".into(), "b".into());
        let html = &b"GET / HTTP/1.1\r\nAccept: text/html\r\n\r\n"[..];
        let json = &b"GET / HTTP/1.1\r\nAccept: text/json\r\n\r\n"[..];
        cache.put(b"k", object("a", html, 1));
        assert!(cache.find(b"k", &a, json).is_none() && cache.find(b"k", &b, html).is_none());
        cache.put(b"k", object("a", json, 2));
        cache.put(b"k", object("a", html, 3));
        assert_eq!(cache.find(b"k", &a, html).unwrap().body.len(), 3);
        assert_eq!(cache.find(b"k", &a, json).unwrap().body.len(), 2);
        cache.forget(b"k");
        assert!(cache.find(b"k", &a, html).is_none());
        assert!(cache.shards.iter().all(|shard| shard.lock().unwrap().bytes() == 0));
    }
}
