//! How many connections each source has in a service, over all workers: what `limit.connections_per_source` asks.
//!
//! Only sources that are connected now are remembered, so there are never more than connections. Nothing is touched where
//! there is no such limit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts of the table, so that workers seldom wait for each other. A power of two.
const SHARDS: usize = 16;

/// The sources of a service. It outlives changes of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Nobody outside knows it.
    secret: RandomState,
    shards: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
}

/// A source's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct SourcePlace {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Sources {
    /// Counts a connection in; `None`: the source has `most` already.
    pub(crate) fn enter(self: &Arc<Self>, source: IpAddr, most: u32) -> Option<SourcePlace> {
        // Who comes to a socket of IPv6 by IPv4 is the same source.
        let source = source.to_canonical();
        let mut shard = self.shard(source);
        let count = shard.get(&source).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        shard.insert(source, count + 1);
        drop(shard);
        Some(SourcePlace { sources: Arc::clone(self), source })
    }

    fn shard(&self, source: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        let number = self.secret.hash_one(source) as usize % SHARDS;
        // Numbers are whole after each step of theirs.
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SourcePlace {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.sources.shard(self.source).entry(self.source) {
            match entry.get().saturating_sub(1) {
                0 => drop(entry.remove()),
                left => *entry.get_mut() = left,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn places_come_back_and_nothing_is_left_behind() {
        let sources = Arc::new(Sources::default());
        let (one, two): (IpAddr, IpAddr) =
            (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(192, 0, 2, 2).into());
        let places: Vec<_> = (0..2).map(|_| sources.enter(one, 2).unwrap()).collect();
        assert!(sources.enter(one, 2).is_none());
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into();
        assert!(sources.enter(mapped, 2).is_none(), "the same by another name");
        let other = sources.enter(two, 2);
        assert!(other.is_some());
        drop((places, other));
        assert!(sources.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
        assert!(sources.enter(one, 2).is_some());
    }
}
