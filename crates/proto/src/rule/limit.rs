//! Counts requests by key, and says when there are too many.
//!
//! For each key there are two numbers: requests in the current period, and in the one before, taken as spread evenly
//! over it. So the window slides without remembering every request. What is refused is not counted: who asks too often is
//! served at the rate that is allowed, not shut out.

use std::collections::BTreeMap;
use std::time::Duration;

use relevo_model::Time;

/// What the limiter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// It may.
    Yes,
    /// Not before this time has passed.
    After(Duration),
}

/// Counters of a bounded number of keys. A key is a keyed hash of what is counted, so that clients cannot choose it.
#[derive(Debug)]
pub struct Limiter {
    requests: u32,
    period: Duration,
    size: usize,
    places: BTreeMap<u64, usize>,
    entries: Vec<Entry>,
    /// The ends of the list by last use; both 0 while it is empty.
    newest: usize,
    oldest: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    /// When the current period of this key began.
    start: Time,
    before: u32,
    current: u32,
    newer: usize,
    older: usize,
}

impl Limiter {
    /// So many requests in a time, for at most `size` keys; each at least 1.
    pub fn new(requests: u32, period: Duration, size: usize) -> Self {
        Self {
            requests: requests.max(1),
            period: period.max(Duration::from_nanos(1)),
            size: size.max(1),
            places: BTreeMap::new(),
            entries: Vec::new(),
            newest: 0,
            oldest: 0,
        }
    }

    /// Keys that are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Asks for one request of a key, and counts it if it is allowed.
    pub fn ask(&mut self, key: u64, now: Time) -> Allowed {
        let place = self.place(key, now);
        let (period, most) = (self.period, self.requests);
        let Some(entry) = self.entries.get_mut(place) else { return Allowed::Yes };
        entry.turn(now, period);
        match wait(entry, now, period, most) {
            Duration::ZERO => {
                entry.current = entry.current.saturating_add(1);
                Allowed::Yes
            }
            wait => Allowed::After(wait),
        }
    }

    /// Whether one more would be allowed; counts nothing.
    pub fn look(&self, key: u64, now: Time) -> Allowed {
        let Some(entry) = self.places.get(&key).and_then(|place| self.entries.get(*place)) else {
            return Allowed::Yes;
        };
        let mut entry = *entry;
        entry.turn(now, self.period);
        match wait(&entry, now, self.period, self.requests) {
            Duration::ZERO => Allowed::Yes,
            wait => Allowed::After(wait),
        }
    }

    /// The key's entry, now the newest one.
    fn place(&mut self, key: u64, now: Time) -> usize {
        let fresh = Entry { key, start: now, before: 0, current: 0, newer: 0, older: 0 };
        let place = match self.places.get(&key) {
            Some(place) => {
                let place = *place;
                self.unlink(place);
                place
            }
            None if self.entries.len() < self.size => {
                self.entries.push(fresh);
                self.entries.len() - 1
            }
            None => {
                let place = self.oldest;
                self.unlink(place);
                if let Some(entry) = self.entries.get_mut(place) {
                    self.places.remove(&entry.key);
                    *entry = fresh;
                }
                place
            }
        };
        self.places.insert(key, place);
        self.link(place);
        place
    }

    /// Takes an entry out of the list. The ends are marked by an entry that names itself.
    fn unlink(&mut self, place: usize) {
        let Some(Entry { newer, older, .. }) = self.entries.get(place).copied() else { return };
        if newer == place {
            self.newest = older;
        } else if let Some(entry) = self.entries.get_mut(newer) {
            entry.older = if older == place { newer } else { older };
        }
        if older == place {
            self.oldest = newer;
        } else if let Some(entry) = self.entries.get_mut(older) {
            entry.newer = if newer == place { older } else { newer };
        }
    }

    /// Puts an entry at the newest end.
    fn link(&mut self, place: usize) {
        let alone = self.entries.len() == 1;
        let before = if alone { place } else { self.newest };
        if let Some(entry) = self.entries.get_mut(place) {
            (entry.newer, entry.older) = (place, before);
        }
        if alone {
            self.oldest = place;
        } else if let Some(entry) = self.entries.get_mut(before) {
            entry.newer = place;
        }
        self.newest = place;
    }
}

impl Entry {
    /// Moves on to the period that `now` is in.
    fn turn(&mut self, now: Time, period: Duration) {
        let passed = now.since(self.start);
        let Some(rest) = passed.checked_sub(period) else { return };
        if rest < period {
            (self.start, self.before, self.current) = (self.start + period, self.current, 0);
        } else {
            (self.start, self.before, self.current) = (now, 0, 0);
        }
    }
}

/// How long until one more is allowed; zero: now. The entry's period has been turned.
fn wait(entry: &Entry, now: Time, period: Duration, most: u32) -> Duration {
    let whole = period.as_nanos();
    let elapsed = now.since(entry.start).as_nanos().min(whole);
    let free = |used: u32| u128::from(most.saturating_sub(1).saturating_sub(used));
    // The moment in a period from which the share of the period before it leaves room: before * (whole - t) <= free * whole.
    let from = |before: u32, free: u128| {
        if before == 0 { 0 } else { whole.saturating_sub((free * whole) / u128::from(before)) }
    };
    let nanos = if entry.current < most {
        from(entry.before, free(entry.current)).saturating_sub(elapsed)
    } else {
        whole - elapsed + from(entry.current, free(0))
    };
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn so_many_and_no_more_then_again_as_time_passes() {
        let mut limiter = Limiter::new(10, SECOND, 100);
        for _ in 0..10 {
            assert_eq!(limiter.ask(1, at(5000)), Allowed::Yes);
        }
        assert_eq!(limiter.ask(1, at(5000)), Allowed::After(Duration::from_millis(1100)));
        assert_eq!(limiter.ask(2, at(5000)), Allowed::Yes, "others have their own");
        // A tenth of the time later, one of the ten has left the window.
        assert!(matches!(limiter.ask(1, at(6099)), Allowed::After(_)));
        assert_eq!(limiter.ask(1, at(6100)), Allowed::Yes);
        assert!(matches!(limiter.ask(1, at(6100)), Allowed::After(_)));
        assert_eq!(limiter.ask(1, at(9000)), Allowed::Yes);
    }

    #[test]
    fn one_request_is_a_limit_too() {
        let mut limiter = Limiter::new(1, SECOND, 1);
        assert_eq!(limiter.ask(1, at(1)), Allowed::Yes);
        assert_eq!(limiter.ask(1, at(2)), Allowed::After(Duration::from_millis(1999)));
        assert_eq!(limiter.ask(1, at(2001)), Allowed::Yes);
    }

    #[test]
    fn the_key_that_was_not_seen_longest_makes_room() {
        let mut limiter = Limiter::new(1, SECOND, 2);
        for key in [1, 2, 1, 3] {
            limiter.ask(key, at(1));
        }
        assert_eq!(limiter.len(), 2);
        assert_eq!(limiter.look(2, at(1)), Allowed::Yes, "forgotten");
        assert!(matches!(limiter.look(1, at(1)), Allowed::After(_)));
        assert!(matches!(limiter.look(3, at(1)), Allowed::After(_)));
    }

    proptest! {
        /// Keys, and steps of time: what it says is kept, the memory is bounded, the order is that of use.
        #[test]
        fn it_keeps_what_it_promises(
            most in 1_u32..6, size in 1_usize..5, asks in prop::collection::vec((0_u64..8, 0_u64..700), 1..200),
        ) {
            let mut limiter = Limiter::new(most, SECOND, size);
            let mut now = at(1);
            let mut used: Vec<u64> = Vec::new();
            for (key, step) in asks {
                now += Duration::from_millis(step);
                let looked = limiter.look(key, now);
                let allowed = limiter.ask(key, now);
                prop_assert_eq!(looked, allowed);
                if let Allowed::After(wait) = allowed {
                    prop_assert!(wait <= 2 * SECOND);
                    prop_assert_eq!(limiter.look(key, now + wait), Allowed::Yes);
                    prop_assert!(limiter.look(key, now + wait - Duration::from_nanos(1)) != Allowed::Yes);
                }
                used.retain(|other| *other != key);
                used.push(key);
                if used.len() > size {
                    used.remove(0);
                }
                let known: std::collections::BTreeSet<u64> = limiter.places.keys().copied().collect();
                prop_assert_eq!(known, used.iter().copied().collect());
                prop_assert_eq!(limiter.entries.len(), used.len());
            }
        }
    }
}
