//! Which clients the other directors have, so that somebody tells them when their director dies: a client that waits for
//! bytes would wait for minutes.
//!
//! A director tells the others the connections that have lasted: those that were there when it looked twice. Each is told anew all
//! [`ROUND`] looks; one that is not for [`OLD`] is forgotten. What is told too much does no harm: a client that has no such connection
//! resets it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use relevo_model::{NodeName, Time};
use relevo_net::sockets;
use relevo_proto::moves::encode_clients;

use super::TOPIC;
use crate::peers::Peers;

/// How often the kernel is asked, and how often when it has many connections to tell.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_AT_MANY: Duration = Duration::from_secs(2);
const MANY: usize = 2000;
/// In how many looks all of them are told anew.
const ROUND: u64 = 10;
/// How long one is remembered that is not told any more.
const OLD: Duration = Duration::from_secs(25);
/// Most that a director tells, and most that one remembers of all others together.
const MOST: usize = 65_536;

/// Own clients and others'.
#[derive(Debug, Default)]
pub(super) struct Clients {
    looked: Option<Time>,
    number: u64,
    /// Those of the last look.
    seen: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Those that were told.
    told: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Of the other directors: place and client, and when it was told last.
    others: BTreeMap<(SocketAddr, SocketAddr), (NodeName, Time)>,
}

impl Clients {
    /// Tells the other directors, if it is time.
    pub(super) fn turn(&mut self, now: Time, peers: &Arc<Peers>, places: BTreeSet<SocketAddr>) {
        let every = if self.seen.len() < MANY { LOOK } else { LOOK_AT_MANY };
        if self.looked.is_some_and(|looked| now.since(looked) < every) {
            return;
        }
        self.looked = Some(now);
        self.number += 1;
        self.others.retain(|_, (_, at)| now.since(*at) < OLD);
        let seen = if places.is_empty() { BTreeSet::new() } else { established(&places) };
        let lasting: BTreeSet<_> = seen.intersection(&self.seen).copied().take(MOST).collect();
        self.seen = seen;
        let number = self.number;
        let is_due = |one: &&(SocketAddr, SocketAddr)| {
            !self.told.contains(*one) || u64::from(one.1.port()) % ROUND == number % ROUND
        };
        let mut by_place: BTreeMap<SocketAddr, Vec<SocketAddr>> = BTreeMap::new();
        for (at, client) in lasting.iter().filter(is_due) {
            by_place.entry(*at).or_default().push(*client);
        }
        for (at, clients) in by_place {
            for datagram in encode_clients(at, &clients) {
                peers.publish(TOPIC, &datagram);
            }
        }
        self.told = lasting;
    }

    /// Another director has these clients.
    pub(super) fn heard(&mut self, now: Time, from: NodeName, at: SocketAddr, clients: Vec<SocketAddr>) {
        for client in clients {
            if self.others.len() < MOST || self.others.contains_key(&(at, client)) {
                self.others.insert((at, client), (from.clone(), now));
            }
        }
    }

    /// The connections at these places died with their director: place and client of each.
    pub(super) fn bereaved(
        &mut self,
        now: Time,
        is_ours: impl Fn(SocketAddr) -> bool,
    ) -> Vec<(SocketAddr, SocketAddr)> {
        let fresh = |at: Time| now.since(at) < OLD;
        let lost = self
            .others
            .iter()
            .filter(|((at, _), (_, told))| is_ours(*at) && fresh(*told))
            .map(|(one, _)| *one)
            .collect();
        self.others.retain(|(at, _), _| !is_ours(*at));
        lost
    }
}

fn established(places: &BTreeSet<SocketAddr>) -> BTreeSet<(SocketAddr, SocketAddr)> {
    let ports: BTreeSet<u16> = places.iter().map(SocketAddr::port).collect();
    let all = sockets::connections(&ports.into_iter().collect::<Vec<_>>(), false).unwrap_or_default();
    let own = all.into_iter().filter(|one| one.established && places.contains(&one.local));
    own.map(|one| (one.local, one.remote)).collect()
}
