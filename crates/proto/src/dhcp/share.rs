//! The other directors: who is alive, and whose table is ours.

use std::collections::BTreeMap;
use std::time::Duration;

use relevo_model::Time;

/// Time between two hellos.
pub(super) const HELLO: Duration = Duration::from_millis(500);
/// Time between two hellos while somebody waits for the tables to be equal.
pub(super) const HURRY: Duration = Duration::from_millis(100);
/// A director that was silent for so long is not waited for.
const SILENT: Duration = Duration::from_secs(3);
/// A director that is alive but does not get ready is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Another director.
#[derive(Clone, Debug, Default)]
struct Peer {
    heard: Option<Time>,
    /// Its last nonce.
    nonce: u64,
    /// Since we asked with our nonce its table was ours once.
    equal: bool,
    /// Since when it owes an acknowledgement.
    owes: Option<Time>,
}

/// What is known of the other directors.
#[derive(Clone, Debug)]
pub(super) struct Share {
    peers: BTreeMap<u32, Peer>,
    /// Counts the times that the tables had to be compared anew.
    pub(super) nonce: u64,
    /// Since when we compare.
    since: Time,
    pub(super) next_hello: Time,
}

impl Share {
    pub(super) fn new(now: Time, others: impl Iterator<Item = u32>) -> Self {
        let peers = others.map(|origin| (origin, Peer::default())).collect();
        Self { peers, nonce: now.as_nanos(), since: now, next_hello: now }
    }

    /// The directors are others now.
    pub(super) fn keep(&mut self, now: Time, others: impl Iterator<Item = u32>) {
        self.peers = others.map(|origin| (origin, self.peers.remove(&origin).unwrap_or_default())).collect();
        self.next_hello = now;
    }

    /// Whether there is nobody to share with.
    pub(super) fn is_alone(&self) -> bool {
        self.peers.is_empty()
    }

    pub(super) fn knows(&self, origin: u32) -> bool {
        self.peers.contains_key(&origin)
    }

    /// All tables are compared anew.
    pub(super) fn compare(&mut self, now: Time) {
        self.nonce += 1;
        self.since = now;
        self.next_hello = now;
        for peer in self.peers.values_mut() {
            peer.equal = false;
        }
    }

    /// A datagram came. Whether its sender had been silent.
    pub(super) fn heard(&mut self, now: Time, origin: u32) -> bool {
        let Some(peer) = self.peers.get_mut(&origin) else { return false };
        let was_silent = peer.heard.is_none_or(|heard| now.since(heard) >= SILENT);
        peer.heard = Some(now);
        if was_silent {
            // What it did meanwhile is not known.
            peer.equal = false;
            self.nonce += 1;
            self.since = now;
            self.next_hello = now;
        }
        was_silent
    }

    /// A hello came: its nonce, what it heard last of us, whether its table is ours. Whether it waits for our hello.
    pub(super) fn hello(&mut self, origin: u32, nonce: u64, heard: Option<u64>, equal: bool) -> bool {
        let Some(peer) = self.peers.get_mut(&origin) else { return false };
        let waits = peer.nonce != nonce;
        peer.nonce = nonce;
        peer.equal |= equal && heard == Some(self.nonce);
        waits
    }

    /// The nonces to tell.
    pub(super) fn nonces(&self) -> Vec<(u32, u64)> {
        self.peers.iter().map(|(origin, peer)| (*origin, peer.nonce)).collect()
    }

    /// Whether every director that is alive has our table, as far as that can be known.
    pub(super) fn is_settled(&self, now: Time) -> bool {
        if now.since(self.since) >= PATIENCE {
            return true;
        }
        self.peers.values().all(|peer| match peer.heard {
            Some(heard) if now.since(heard) < SILENT => peer.equal,
            Some(_) | None => now.since(self.since) >= SILENT || peer.heard.is_some(),
        })
    }

    /// The directors whose acknowledgement is waited for.
    pub(super) fn live(&self, now: Time) -> impl Iterator<Item = u32> {
        let is_live = move |peer: &Peer| {
            peer.heard.is_some_and(|heard| now.since(heard) < SILENT)
                && peer.owes.is_none_or(|since| now.since(since) < PATIENCE)
        };
        self.peers.iter().filter(move |(_, peer)| is_live(peer)).map(|(origin, _)| *origin)
    }

    /// An acknowledgement is missing.
    pub(super) fn owes(&mut self, now: Time, origin: u32) {
        if let Some(peer) = self.peers.get_mut(&origin) {
            peer.owes.get_or_insert(now);
        }
    }

    /// An acknowledgement came.
    pub(super) fn paid(&mut self, origin: u32) {
        if let Some(peer) = self.peers.get_mut(&origin) {
            peer.owes = None;
        }
    }

    /// When to say hello next.
    pub(super) fn rearm(&mut self, now: Time, hurry: bool) {
        self.next_hello = now + if hurry { HURRY } else { HELLO };
    }
}
