//! The slot table: for each slot of clients the servers that may have their flows, best first.

use std::net::SocketAddr;

use crate::balance::{hash, mix};

/// Servers that a slot knows.
pub const CANDIDATES: usize = 3;
/// Slots of a table of few servers.
const FEW: u32 = 8192;
/// Slots of a table of many.
const MANY: u32 = 65_536;
/// Most servers that are few.
const MOST_OF_FEW: usize = 32;
/// Bits behind the point of a logarithm.
const FRACTION: u32 = 20;

/// A server that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it listens. By this it is known, not by its name or its place in a list.
    pub at: SocketAddr,
    /// Its share, 1 or more.
    pub share: u32,
    /// Whether it gets new flows; otherwise it only keeps those that it has.
    pub takes_new: bool,
}

/// Who may have the flows of each slot. All directors that see the same servers make the same table, in whatever order
/// they are listed (rendezvous hashing: Thaler, Ravishankar 1998; weighted as in Schindelhauer, Schomaker 2005). A
/// server that goes takes only its own slots with it, and one that comes takes only what it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    servers: Box<[SocketAddr]>,
    ranks: Box<[Ranked]>,
}

/// Places among the servers.
type Ranked = [Option<u16>; CANDIDATES];

impl Slots {
    /// The table of these servers, at most 65,535; one that is there twice counts once.
    pub fn new(members: &[Member]) -> Self {
        Self::among(members, members.len())
    }

    /// The same for a pool that has more servers, which are not well now: how many slots there are must not depend on who is
    /// well, or one that goes would move the flows of all.
    pub fn among(members: &[Member], servers: usize) -> Self {
        let mut members: Vec<Member> = members.iter().copied().take(usize::from(u16::MAX)).collect();
        members.sort_unstable_by_key(|member| (member.at, member.share, member.takes_new));
        members.dedup_by_key(|member| member.at);
        let known: Vec<(u64, Member)> =
            members.iter().map(|member| (hash(member.at.to_string().as_bytes()), *member)).collect();
        let count = if servers.max(members.len()) > MOST_OF_FEW { MANY } else { FEW };
        Self {
            ranks: (0..count).map(|slot| ranked(slot, &known)).collect(),
            servers: members.iter().map(|member| member.at).collect(),
        }
    }

    /// What a hash is divided by to find a slot. A service that is going may have no slots left; it does not use them, and nft
    /// takes no modulus of 0.
    pub(super) fn modulus(&self) -> u32 {
        self.len().max(1)
    }

    /// How many slots there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.ranks.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is no slot: only before there was a first table.
    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty()
    }

    /// The servers of the table, sorted.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Who may have the flows of a slot. The first one gets the new ones; `None` there: nobody does. Where there are
    /// fewer than three, the last one stands again.
    pub fn candidates(&self, slot: u32) -> [Option<SocketAddr>; CANDIDATES] {
        let places = usize::try_from(slot).ok().and_then(|slot| self.ranks.get(slot)).copied();
        let server = |place: Option<u16>| self.servers.get(usize::from(place?)).copied();
        places.unwrap_or_default().map(server)
    }

    /// What a column is from slot to slot. Nobody stands in two columns of a slot.
    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = Option<SocketAddr>> {
        self.ranks.iter().map(move |places| {
            let place = places.get(column).copied().flatten()?;
            let is_new = !places.iter().take(column).any(|before| *before == Some(place));
            is_new.then(|| self.servers.get(usize::from(place)).copied()).flatten()
        })
    }
}

/// The first one is the best of those that get new flows; then those that may have older ones, best first.
fn ranked(slot: u32, members: &[(u64, Member)]) -> Ranked {
    let salt = mix(u64::from(slot));
    let score =
        |id: u64, member: &Member| (minus_log2(mix(id ^ salt)) << FRACTION) / u64::from(member.share.max(1));
    let mut best: [Option<(u64, u16)>; CANDIDATES] = [None; CANDIDATES];
    let mut first: Option<(u64, u16)> = None;
    for (place, (id, member)) in (0..u16::MAX).zip(members) {
        let mut own = (score(*id, member), place);
        if member.takes_new && first.is_none_or(|first| own < first) {
            first = Some(own);
        }
        for other in &mut best {
            match other {
                Some(there) if *there <= own => {}
                Some(there) => std::mem::swap(there, &mut own),
                None => {
                    *other = Some(own);
                    break;
                }
            }
        }
    }
    let first = first.map(|(_, place)| place);
    let mut rest = best.into_iter().flatten().map(|(_, place)| place).filter(|place| Some(*place) != first);
    let second = rest.next().or(first);
    let third = rest.next().or(second);
    [first, second, third]
}

/// -log2(number / 2^64) with [`FRACTION`] bits behind the point, in whole numbers: the same on every machine.
fn minus_log2(number: u64) -> u64 {
    let number = number | 1;
    let zeros = number.leading_zeros();
    // 1 <= x < 2, with 31 bits behind the point.
    let mut x = (number << zeros) >> 32;
    let mut fraction = 0;
    for bit in (0..FRACTION).rev() {
        x = (x * x) >> 31;
        if x >> 32 != 0 {
            x >>= 1;
            fraction |= 1 << bit;
        }
    }
    (u64::from(zeros + 1) << FRACTION) - fraction
}
