//! All leases of a network, with digests to compare two tables by.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::net::Ipv4Addr;

use twox_hash::XxHash64;

use super::lease::{Client, Lease};

/// Parts that are compared one by one.
pub(super) const PARTS: usize = 128;

/// Most leases of a network; more are not taken from anybody.
const MOST: usize = 131_072;

/// All leases of a network, also those that ended: a client gets the same address again.
#[derive(Clone, Debug)]
pub struct Table {
    leases: BTreeMap<Ipv4Addr, Lease>,
    clients: BTreeMap<Client, BTreeSet<Ipv4Addr>>,
    digests: [u64; PARTS],
}

impl Default for Table {
    fn default() -> Self {
        Self { leases: BTreeMap::new(), clients: BTreeMap::new(), digests: [0; PARTS] }
    }
}

/// What came of a lease that somebody else knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// It was news.
    Newer,
    /// It is what we have.
    Same,
    /// We have a newer one.
    Older,
    /// There is no room.
    Full,
}

impl Table {
    /// What is known about an address.
    pub fn get(&self, ip: Ipv4Addr) -> Option<&Lease> {
        self.leases.get(&ip)
    }

    /// All leases, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Takes a lease if it is newer than what is there; whether it was.
    pub fn insert(&mut self, lease: Lease) -> bool {
        self.merge(lease) == Merged::Newer
    }

    /// What a client has or had, the last one first.
    pub(super) fn of(&self, client: &Client) -> Vec<&Lease> {
        let ips = self.clients.get(client).into_iter().flatten();
        let mut list: Vec<&Lease> = ips.filter_map(|ip| self.leases.get(ip)).collect();
        list.sort_by_key(|lease| std::cmp::Reverse((lease.until, lease.ip)));
        list
    }

    pub(super) fn merge(&mut self, lease: Lease) -> Merged {
        match self.leases.get(&lease.ip).map(|old| lease.age().cmp(&old.age())) {
            Some(std::cmp::Ordering::Equal) => return Merged::Same,
            Some(std::cmp::Ordering::Less) => return Merged::Older,
            None if self.leases.len() >= MOST => return Merged::Full,
            Some(std::cmp::Ordering::Greater) | None => {}
        }
        let (ip, hash, client) = (lease.ip, hash(&lease), lease.client.clone());
        if let Some(old) = self.leases.insert(ip, lease) {
            self.digests[part_of(ip)] ^= self::hash(&old);
            if let Some(ips) = self.clients.get_mut(&old.client) {
                ips.remove(&ip);
                if ips.is_empty() {
                    self.clients.remove(&old.client);
                }
            }
        }
        self.digests[part_of(ip)] ^= hash;
        self.clients.entry(client).or_default().insert(ip);
        Merged::Newer
    }

    /// A digest of each part; equal ones stand for equal leases.
    pub(super) fn digests(&self) -> impl Iterator<Item = u32> {
        self.digests.iter().map(|digest| (digest ^ (digest >> 32)) as u32)
    }

    /// The leases of a part.
    pub(super) fn part(&self, part: usize) -> impl Iterator<Item = &Lease> {
        self.leases.values().filter(move |lease| part_of(lease.ip) == part)
    }
}

fn part_of(ip: Ipv4Addr) -> usize {
    ip.to_bits() as usize % PARTS
}

fn hash(lease: &Lease) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    hasher.write(&lease.ip.octets());
    hasher.write(&lease.version.to_be_bytes());
    hasher.write(&lease.origin.to_be_bytes());
    hasher.finish()
}
