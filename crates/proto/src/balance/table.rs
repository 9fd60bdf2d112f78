//! The servers that may get new work, and how one of them is chosen.

use relevo_model::cluster::{Balance, Hash, HashMethod};

use super::candidate::{Eligible, eligible};
use super::ring::{Node, Ring};
use super::{Ask, Candidate, Choice, hash, is_static, maglev, schedule};

/// Who may get new work, and who keeps clients that are bound to it. Immutable: a change makes a new one.
///
/// Servers that are up may. Servers of unknown health may only while none is up: at the start, before
/// the first checks, it is better to try than to refuse. Backups may only while no other server can. Servers that
/// drain, are in maintenance, down or of weight 0 never may; all but those in maintenance or down keep their clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    members: Box<[Member]>,
    /// Backups for requests that all members failed.
    reserve: Box<[Member]>,
    /// All servers.
    keeps: Box<[bool]>,
    /// Places among the members; each stands there by its share.
    cycle: Box<[u16]>,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    server: u16,
    share: u16,
    most: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Turn,
    Least,
    First,
    Random,
    Hash {
        map: Map,
        /// Percent of the average load.
        bound: Option<u16>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Map {
    Ring(Ring),
    /// Places among the members, asked modulo their number.
    Places(Box<[u16]>),
}

impl Table {
    /// The table of these servers; a server is known by its place in the list (at most 65,535).
    pub fn new(candidates: &[Candidate<'_>], balance: &Balance, all_backups: bool) -> Self {
        let is_static = is_static(balance);
        let member = |server: u16| {
            let candidate = &candidates[usize::from(server)];
            Member { server, share: candidate.share(is_static), most: candidate.most.unwrap_or(u32::MAX) }
        };
        let Eligible { regular, reserve } = eligible(candidates, all_backups);
        let members: Box<[Member]> = regular.into_iter().map(member).collect();
        let shares: Vec<u16> = members.iter().map(|member| member.share).collect();
        let way = match balance {
            Balance::RoundRobin | Balance::StaticRr => Way::Turn,
            Balance::LeastConn => Way::Least,
            Balance::First => Way::First,
            Balance::Random => Way::Random,
            Balance::Hash(Hash { method, bound, .. }) => {
                Way::Hash { map: Map::new(*method, candidates, &members), bound: *bound }
            }
        };
        let needs_cycle = match way {
            Way::Turn | Way::Random | Way::Hash { .. } => true,
            Way::Least | Way::First => false,
        };
        Self {
            cycle: if needs_cycle { schedule(&shares).into() } else { Box::default() },
            members,
            reserve: reserve.into_iter().map(member).collect(),
            keeps: candidates.iter().map(Candidate::keeps).collect(),
            way,
        }
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
        self.members.iter().any(|member| member.server == server)
    }

    /// The part of the new work that this server gets, beside the others'; `None`: none.
    pub fn share(&self, server: u16) -> Option<u16> {
        self.members.iter().find(|member| member.server == server).map(|member| member.share)
    }

    /// Whether clients that are bound to this server may go on asking it.
    pub fn keeps(&self, server: u16) -> bool {
        self.keeps.get(usize::from(server)).is_some_and(|keeps| *keeps)
    }

    /// Who gets a request.
    pub fn choose<Load: Fn(u16) -> u32>(&self, ask: &Ask<'_, Load>) -> Choice {
        let choice = match (&self.way, ask.hash) {
            (Way::Turn, _) | (Way::Hash { .. }, None) => self.in_turn(ask.turn, ask),
            (Way::Least, _) => self.least(ask),
            (Way::First, _) => self.any(0, ask),
            (Way::Random, _) => self.random(ask),
            (Way::Hash { map, bound: None }, Some(hash)) => self.owner(map, hash, ask),
            (Way::Hash { map, bound: Some(bound) }, Some(hash)) => self.bounded(map, hash, *bound, ask),
        };
        if choice != Choice::Nobody {
            return choice;
        }
        let mut found = Choice::Nobody;
        for member in self.reserve.iter().filter(|member| !ask.tried.contains(member.server)) {
            if member.has_room(ask) {
                return Choice::Server(member.server);
            }
            found = Choice::Full(None);
        }
        found
    }

    /// Weighted round robin: the server of the `turn`-th request, or who follows it if it cannot.
    fn in_turn<Load: Fn(u16) -> u32>(&self, turn: u64, ask: &Ask<'_, Load>) -> Choice {
        let start = remainder(turn, self.cycle.len());
        let (before, from) = self.cycle.split_at(start);
        // Not the whole cycle: there each stands many times.
        let near = from.iter().chain(before).take(self.members.len());
        for member in near.filter_map(|place| self.member(*place)) {
            if member.can(ask) {
                return Choice::Server(member.server);
            }
        }
        self.any(remainder(turn, self.members.len()), ask)
    }

    /// The first one that can, from this place on.
    fn any<Load: Fn(u16) -> u32>(&self, start: usize, ask: &Ask<'_, Load>) -> Choice {
        let mut found = Choice::Nobody;
        let (before, from) = self.members.split_at(start);
        for member in from.iter().chain(before).filter(|member| !ask.tried.contains(member.server)) {
            if member.has_room(ask) {
                return Choice::Server(member.server);
            }
            found = Choice::Full(None);
        }
        found
    }

    /// Least connections: the server with the fewest for its weight. Equal ones take turns.
    fn least<Load: Fn(u16) -> u32>(&self, ask: &Ask<'_, Load>) -> Choice {
        let (before, from) = self.members.split_at(remainder(ask.turn, self.members.len()));
        let mut found = Choice::Nobody;
        let mut best: Option<(u64, Member)> = None;
        for member in from.iter().chain(before).filter(|member| !ask.tried.contains(member.server)) {
            let load = (ask.load)(member.server);
            if load >= member.most {
                found = Choice::Full(None);
                continue;
            }
            // What the load would be with the new one: an idle strong server comes before an idle weak one.
            let load = u64::from(load) + 1;
            let better = best
                .is_none_or(|(least, other)| load * u64::from(other.share) < least * u64::from(member.share));
            if better {
                best = Some((load, *member));
            }
        }
        best.map_or(found, |(_, member)| Choice::Server(member.server))
    }

    /// Two drawn at random by weight, and of them the one with fewer connections for its weight; the first one if
    /// they are equal, so that idle servers are drawn by their weights.
    fn random<Load: Fn(u16) -> u32>(&self, ask: &Ask<'_, Load>) -> Choice {
        let one = self.in_turn(drawn(ask.random >> 32, self.cycle.len()), ask);
        let two = self.in_turn(drawn(ask.random & 0xffff_ffff, self.cycle.len()), ask);
        let (Choice::Server(first), Choice::Server(second)) = (one, two) else { return one };
        let share = |server| {
            let place = self.members.partition_point(|member| member.server < server);
            self.members.get(place).map_or(0, |member| u64::from(member.share))
        };
        let relative = |server, other| u64::from((ask.load)(server)) * share(other);
        if first != second && relative(second, first) < relative(first, second) { two } else { one }
    }

    /// The key's owner, or who follows it if it was tried in vain. Who has no room is waited for: the key is at home
    /// there.
    fn owner<Load: Fn(u16) -> u32>(&self, map: &Map, hash: u64, ask: &Ask<'_, Load>) -> Choice {
        self.next_owner(map, hash, |member| !ask.tried.contains(member.server)).map_or(
            Choice::Nobody,
            |member| {
                if member.has_room(ask) {
                    Choice::Server(member.server)
                } else {
                    Choice::Full(Some(member.server))
                }
            },
        )
    }

    /// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018): who follows takes what is
    /// over the bound.
    fn bounded<Load: Fn(u16) -> u32>(&self, map: &Map, hash: u64, bound: u16, ask: &Ask<'_, Load>) -> Choice {
        let (mut load, mut shares) = (1_u64, 0_u64);
        for member in &self.members {
            load += u64::from((ask.load)(member.server));
            shares += u64::from(member.share);
        }
        // In whole: load of the server < bound / 100 * load of all, this one among it, * its share / shares of all.
        let most = u128::from(bound.max(100)) * u128::from(load);
        let is_under = |member: &Member| {
            u128::from((ask.load)(member.server)) * 100 * u128::from(shares) < most * u128::from(member.share)
        };
        match self.next_owner(map, hash, |member| member.can(ask) && is_under(member)) {
            Some(member) => Choice::Server(member.server),
            // Those under the bound were tried or take no more.
            None => self.least(ask),
        }
    }

    /// The first one from the key's owner on of which this is true.
    fn next_owner(&self, map: &Map, hash: u64, is: impl Fn(&Member) -> bool) -> Option<Member> {
        // Enough to meet nearly everyone; a ring's whole way would be long.
        let steps = 8 * self.members.len() + 64;
        let at = |place: u16| self.member(place).filter(&is);
        let near = match map {
            Map::Ring(ring) => ring.walk(hash).take(steps).find_map(at),
            Map::Places(places) => {
                let (before, from) = places.split_at(remainder(hash, places.len()));
                from.iter().chain(before).copied().take(steps).find_map(at)
            }
        };
        near.or_else(|| {
            let (before, from) = self.members.split_at(remainder(hash, self.members.len()));
            from.iter().chain(before).find(|member| is(member)).copied()
        })
    }

    fn member(&self, place: u16) -> Option<Member> {
        self.members.get(usize::from(place)).copied()
    }
}

impl Member {
    fn has_room<Load: Fn(u16) -> u32>(&self, ask: &Ask<'_, Load>) -> bool {
        self.most == u32::MAX || (ask.load)(self.server) < self.most
    }

    fn can<Load: Fn(u16) -> u32>(&self, ask: &Ask<'_, Load>) -> bool {
        !ask.tried.contains(self.server) && self.has_room(ask)
    }
}

impl Map {
    fn new(method: HashMethod, candidates: &[Candidate<'_>], members: &[Member]) -> Self {
        let name = |member: &Member| candidates[usize::from(member.server)].name;
        let mut named: Vec<(&str, Node)> = (0..u16::MAX)
            .zip(members)
            .map(|(place, member)| {
                let name = name(member);
                (name, Node { name: hash(name.as_bytes()), place, share: member.share })
            })
            .collect();
        named.sort_unstable_by_key(|(name, _)| *name);
        let nodes: Vec<Node> = named.into_iter().map(|(_, node)| node).collect();
        let cycle = || schedule(&nodes.iter().map(|node| node.share).collect::<Vec<_>>());
        match method {
            HashMethod::Consistent => {
                Self::Ring(Ring::new(&nodes, candidates.iter().map(|candidate| candidate.share(true))))
            }
            HashMethod::Maglev => Self::Places(maglev::table(&nodes, &cycle())),
            HashMethod::MapBased => {
                Self::Places(cycle().into_iter().map(|rank| nodes[usize::from(rank)].place).collect())
            }
        }
    }
}

/// 0 for a length of 0.
fn remainder(number: u64, length: usize) -> usize {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    usize::try_from(number.checked_rem(length).unwrap_or(0)).unwrap_or(0)
}

/// Spreads 32 random bits over a length.
fn drawn(random: u64, length: usize) -> u64 {
    (random * u64::try_from(length).unwrap_or(0)) >> 32
}
