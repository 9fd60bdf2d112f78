//! The servers that may get new work, and how one of them is chosen.

use super::{Admin, schedule};
use crate::health::State;

/// A server as the table's maker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its share, 0 to 256; 0: no new work.
    pub weight: u16,
    /// What the operator wants.
    pub admin: Admin,
    /// What its checks say.
    pub health: State,
}

/// Who may get new work. Immutable: a change makes a new one.
///
/// Servers that are up may. Servers of unknown health may only while none is up: at the start, before
/// the first checks, it is better to try than to refuse. Servers that drain, are stopped, down or of
/// weight 0 never may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    order: Box<[u16]>,
    members: Box<[Member]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    index: u16,
    weight: u16,
}

impl Table {
    /// The table of these servers; a server is known by its place in the list (at most 65,536).
    pub fn new(candidates: &[Candidate]) -> Self {
        let wanted = |state| {
            move |candidate: &Candidate| {
                candidate.admin == Admin::Ready && candidate.weight > 0 && candidate.health == state
            }
        };
        let state = if candidates.iter().any(wanted(State::Up)) { State::Up } else { State::Unknown };
        let may = wanted(state);
        let weights: Vec<u16> =
            candidates.iter().map(|candidate| if may(candidate) { candidate.weight } else { 0 }).collect();
        let members = (0..=u16::MAX)
            .zip(&weights)
            .filter(|(_, weight)| **weight > 0)
            .map(|(index, weight)| Member { index, weight: *weight })
            .collect();
        Self { order: schedule(&weights).into(), members }
    }

    /// Whether nobody may get new work.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many servers may get new work.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether this server may get new work.
    pub fn contains(&self, server: u16) -> bool {
        self.members.iter().any(|member| member.index == server)
    }

    /// Weighted round robin: the server of the `turn`-th request, or who follows it if it was tried.
    ///
    /// All who balance one service count turns together, so that consecutive requests go in turn.
    pub fn in_turn(&self, turn: u64, tried: &Tried) -> Option<u16> {
        let length = u64::try_from(self.order.len()).ok()?;
        let start = usize::try_from(turn.checked_rem(length)?).ok()?;
        let (before, from) = self.order.split_at(start);
        from.iter().chain(before).copied().find(|server| !tried.contains(*server))
    }

    /// Least connections: the server with the fewest connections for its weight. Equal ones take turns.
    pub fn least(&self, turn: u64, load: impl Fn(u16) -> u32, tried: &Tried) -> Option<u16> {
        let length = u64::try_from(self.members.len()).ok()?;
        let start = usize::try_from(turn.checked_rem(length)?).ok()?;
        let (before, from) = self.members.split_at(start);
        let mut best: Option<(u64, Member)> = None;
        for member in from.iter().chain(before).filter(|member| !tried.contains(member.index)) {
            // What the load would be with the new one: an idle strong server comes before an idle weak one.
            let load = u64::from(load(member.index)) + 1;
            let better = best.is_none_or(|(least, other)| {
                load * u64::from(other.weight) < least * u64::from(member.weight)
            });
            if better {
                best = Some((load, *member));
            }
        }
        best.map(|(_, member)| member.index)
    }
}

/// The servers that were already tried for one request; no allocation, at most [`Tried::MOST`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    servers: [u16; Self::MOST],
    count: usize,
}

impl Tried {
    /// Most servers that are tried for one request.
    pub const MOST: usize = 16;

    /// None was tried.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a server. `false`: the list is full, give up.
    pub fn add(&mut self, server: u16) -> bool {
        if let Some(place) = self.servers.get_mut(self.count) {
            *place = server;
            self.count += 1;
        }
        self.count < Self::MOST
    }

    /// Whether this server was tried.
    pub fn contains(&self, server: u16) -> bool {
        self.servers.iter().take(self.count).any(|tried| *tried == server)
    }

    /// Whether none was tried.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}
