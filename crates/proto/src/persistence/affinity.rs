//! Persistence by a table: which server a client had, as long as it comes again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;

use crate::balance::hash;

/// Most bytes of a key that are kept as they are.
const LENGTH: usize = 40;
/// No place.
const NONE: u32 = u32::MAX;

/// What a client is known by: an address, or a text of up to 40 bytes. A longer one is known by its beginning and a hash
/// of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(KeyKind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum KeyKind {
    Source(IpAddr),
    Text { length: u8, bytes: [u8; LENGTH] },
}

impl Key {
    /// A client's address.
    pub fn source(source: IpAddr) -> Self {
        Self(KeyKind::Source(source.to_canonical()))
    }

    /// A value that the client shows.
    pub fn text(text: &[u8]) -> Self {
        let mut bytes = [0; LENGTH];
        let (kept, tail) = match text.len() > LENGTH {
            true => (LENGTH - 8, hash(text).to_be_bytes()),
            false => (text.len(), [0; 8]),
        };
        for (place, byte) in bytes.iter_mut().zip(text.iter().take(kept)) {
            *place = *byte;
        }
        if text.len() > LENGTH {
            for (place, byte) in bytes.iter_mut().skip(kept).zip(tail) {
                *place = byte;
            }
        }
        Self(KeyKind::Text { length: u8::try_from(text.len().min(LENGTH + 1)).unwrap_or(u8::MAX), bytes })
    }

    /// Which of so many tables it belongs to, all of which together are one.
    pub fn shard(&self, shards: usize) -> usize {
        let hashed = match &self.0 {
            KeyKind::Source(IpAddr::V4(source)) => hash(&source.octets()),
            KeyKind::Source(IpAddr::V6(source)) => hash(&source.octets()),
            KeyKind::Text { bytes, .. } => hash(bytes),
        };
        let shards = u64::try_from(shards).unwrap_or(1).max(1);
        usize::try_from(hashed % shards).unwrap_or(0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            KeyKind::Source(source) => source.fmt(f),
            KeyKind::Text { length, bytes } if usize::from(*length) > LENGTH => {
                let (kept, tail) = bytes.split_at(LENGTH - 8);
                write!(f, "{}..#", kept.escape_ascii())?;
                tail.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            KeyKind::Text { length, bytes } => {
                bytes.get(..usize::from(*length)).unwrap_or_default().escape_ascii().fmt(f)
            }
        }
    }
}

/// A client of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is known by.
    pub key: Key,
    /// Its server, by a number that stays the server's while it is in its pool.
    pub server: u64,
    /// When it came last.
    pub used: Time,
}

/// The table. Its memory grows with the clients, up to its size; who did not come longest makes room.
#[derive(Clone, Debug)]
pub struct Affinity {
    size: usize,
    expire: Duration,
    places: BTreeMap<Key, u32>,
    links: Vec<Link>,
    /// Places that are free.
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    entry: Entry,
    newer: u32,
    older: u32,
}

impl Affinity {
    /// An empty table of at most `size` entries, which live `expire` after they were used last.
    pub const fn new(size: u32, expire: Duration) -> Self {
        Self {
            size: size as usize,
            expire,
            places: BTreeMap::new(),
            links: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// Another size and life from now on.
    pub fn resize(&mut self, size: u32, expire: Duration) {
        (self.size, self.expire) = (size as usize, expire);
        while self.places.len() > self.size {
            self.remove(self.oldest);
        }
    }

    /// The server of a client, which is here now.
    pub fn find(&mut self, key: &Key, now: Time) -> Option<u64> {
        self.expire(now);
        let place = *self.places.get(key)?;
        self.unlink(place);
        self.link_as_newest(place);
        let link = self.links.get_mut(place as usize)?;
        link.entry.used = now;
        Some(link.entry.server)
    }

    /// Notes the server that a client got.
    pub fn bind(&mut self, key: Key, server: u64, now: Time) {
        if self.find(&key, now).is_some() {
            if let Some(link) = self.places.get(&key).and_then(|place| self.links.get_mut(*place as usize)) {
                link.entry.server = server;
            }
            return;
        }
        if self.size == 0 {
            return;
        }
        if self.places.len() >= self.size {
            self.remove(self.oldest);
        }
        let link = Link { entry: Entry { key, server, used: now }, newer: NONE, older: NONE };
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let Ok(place) = u32::try_from(self.links.len()) else { return };
                self.links.push(link);
                place
            }
        };
        if let Some(free) = self.links.get_mut(place as usize) {
            *free = link;
        }
        self.places.insert(key, place);
        self.link_as_newest(place);
    }

    /// Notes the server that a client got instead of `former`, unless another one was noted in the meantime; who it is.
    pub fn settle(&mut self, key: Key, server: u64, former: Option<u64>, now: Time) -> u64 {
        match self.find(&key, now) {
            found @ Some(other) if found != former => other,
            Some(_) | None => {
                self.bind(key, server, now);
                server
            }
        }
    }

    /// Forgets a client; whether it was known.
    pub fn forget(&mut self, key: &Key) -> bool {
        let place = self.places.get(key).copied();
        place.is_some_and(|place| {
            self.remove(place);
            true
        })
    }

    /// Forgets everyone.
    pub fn clear(&mut self) {
        *self = Self::new(u32::try_from(self.size).unwrap_or(u32::MAX), self.expire);
    }

    /// How many clients it knows; those that did not come for long among them until somebody else comes.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it knows nobody.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The clients, those who came last first.
    pub fn entries(&self, now: Time) -> impl Iterator<Item = Entry> {
        let mut at = self.newest;
        let all = std::iter::from_fn(move || {
            let link = self.links.get(at as usize)?;
            at = link.older;
            Some(link.entry)
        });
        all.take_while(move |entry| now.since(entry.used) < self.expire)
    }

    /// Removes those whose time is over. Each is removed once, so that this costs nothing in the mean.
    fn expire(&mut self, now: Time) {
        while self
            .links
            .get(self.oldest as usize)
            .is_some_and(|link| now.since(link.entry.used) >= self.expire)
        {
            self.remove(self.oldest);
        }
    }

    fn remove(&mut self, place: u32) {
        let Some(link) = self.links.get(place as usize).copied() else { return };
        self.unlink(place);
        if self.places.remove(&link.entry.key).is_some() {
            self.free.push(place);
        }
    }

    fn unlink(&mut self, place: u32) {
        let Some(Link { newer, older, .. }) = self.links.get(place as usize).copied() else { return };
        match self.links.get_mut(newer as usize) {
            Some(link) => link.older = older,
            None => self.newest = older,
        }
        match self.links.get_mut(older as usize) {
            Some(link) => link.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_as_newest(&mut self, place: u32) {
        let older = std::mem::replace(&mut self.newest, place);
        if let Some(link) = self.links.get_mut(place as usize) {
            (link.newer, link.older) = (NONE, older);
        }
        match self.links.get_mut(older as usize) {
            Some(link) => link.newer = place,
            None => self.oldest = place,
        }
    }
}
