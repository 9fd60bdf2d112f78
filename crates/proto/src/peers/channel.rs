//! One director's end of the channel.

use std::collections::BTreeMap;

use relevo_model::{NetworkName, NodeName, Time};

use super::wire::{self, DropReason, Head, Way};
use super::{GREETING, GREETING_SPACING, Keys, LATE, WINDOW};

/// A director's end of the channel to all others.
#[derive(Debug)]
pub struct Channel {
    own: NodeName,
    boot: u64,
    keys: Keys,
    number: u64,
    peers: BTreeMap<NodeName, Peer>,
}

/// A datagram that can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Who sent it.
    pub from: NodeName,
    /// What it is about; [`GREETING`]: nothing.
    pub topic: u8,
    /// What it says.
    pub bytes: &'a [u8],
}

/// What is known of another director.
#[derive(Debug, Default)]
struct Peer {
    /// The highest boot number that it signed; 0: none.
    boot: u64,
    /// What was heard of that run, by network.
    paths: BTreeMap<NetworkName, Window>,
    greeted: Option<Time>,
    delay: Option<Delay>,
}

/// The last numbers of a path.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: u64,
    /// Bit `n`: number `highest - n` was there.
    seen: u128,
}

/// How far the sender's clock is from ours, transit included: the least that was seen.
#[derive(Clone, Copy, Debug)]
struct Delay {
    least: i128,
    at: Time,
}

impl Channel {
    /// The end of `own` in its run `boot`, which is higher than those of all its runs before, to these directors.
    pub fn new(own: NodeName, boot: u64, keys: Keys, peers: impl IntoIterator<Item = NodeName>) -> Self {
        let others = peers.into_iter().filter(|peer| *peer != own);
        let peers = others.map(|peer| (peer, Peer::default())).collect();
        Self { own, boot: boot.max(1), keys, number: 0, peers }
    }

    /// The number of this run.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Follows a key file that was changed.
    pub fn set_keys(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// A datagram to a director over a network; empty if it is not one of those given. Bytes beyond
    /// [`MOST_BYTES`](super::MOST_BYTES) are a mistake of the caller and not sent.
    pub fn seal(
        &mut self,
        now: Time,
        to: &NodeName,
        network: &NetworkName,
        topic: u8,
        bytes: &[u8],
    ) -> Vec<u8> {
        let (Some(peer), Some(key)) = (self.peers.get(to), self.keys.first()) else { return Vec::new() };
        self.number += 1;
        let (boot, echo, number) = (self.boot, peer.boot, self.number);
        let head = Head { boot, echo, number, sent: now, topic, from: &self.own };
        wire::encode(key, &head, Way { to, network }, bytes)
    }

    /// Looks at a datagram that came in on a network.
    ///
    /// # Errors
    /// Why it is not used.
    pub fn open<'a>(
        &mut self,
        now: Time,
        network: &NetworkName,
        datagram: &'a [u8],
    ) -> Result<Opened<'a>, DropReason> {
        let (head, bytes) = wire::decode(&self.keys, Way { to: &self.own, network }, datagram)?;
        let (from, peer) = self.peers.get_key_value(head.from).ok_or(DropReason::Sender)?;
        let from = from.clone();
        if head.boot < peer.boot {
            return Err(DropReason::OldRun);
        }
        let Some(peer) = self.peers.get_mut(&from) else { return Err(DropReason::Sender) };
        if head.boot > peer.boot {
            // A boot number can only be played again, not invented: the highest one is the newest that there was.
            *peer = Peer { boot: head.boot, greeted: peer.greeted, ..Peer::default() };
        }
        if head.echo != self.boot {
            return Err(DropReason::Unacquainted);
        }
        if !peer.paths.entry(network.clone()).or_default().take(head.number) {
            return Err(DropReason::Again);
        }
        if peer.is_late(now, head.sent) {
            return Err(DropReason::Late);
        }
        Ok(Opened { from, topic: head.topic, bytes })
    }

    /// What to answer to a datagram that was dropped as [`DropReason::Unacquainted`]; `None`: it was answered just now.
    /// The sender is known though it is not believed: whoever made the datagram had the key.
    pub fn greet(
        &mut self,
        now: Time,
        datagram: &[u8],
        network: &NetworkName,
    ) -> Option<(NodeName, Vec<u8>)> {
        let (head, _) = wire::decode(&self.keys, Way { to: &self.own, network }, datagram).ok()?;
        let (from, peer) = self.peers.get_key_value(head.from)?;
        let from = from.clone();
        if peer.greeted.is_some_and(|at| now.since(at) < GREETING_SPACING) {
            return None;
        }
        self.peers.get_mut(&from)?.greeted = Some(now);
        let answer = self.seal(now, &from, network, GREETING, &[]);
        Some((from, answer))
    }
}

impl Window {
    /// Whether the number is new; remembers it.
    fn take(&mut self, number: u64) -> bool {
        if number > self.highest {
            let ahead = number - self.highest;
            self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 };
            self.seen |= 1;
            self.highest = number;
            return true;
        }
        let behind = self.highest - number;
        if number == 0 || behind >= WINDOW || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

impl Peer {
    /// Whether it took much longer than the quickest one. Clocks may drift apart by a thousandth.
    fn is_late(&mut self, now: Time, sent: Time) -> bool {
        let took = i128::from(now.as_nanos()) - i128::from(sent.as_nanos());
        let least = match self.delay {
            Some(delay) => {
                let drift = i128::try_from(now.since(delay.at).as_nanos() / 1000).unwrap_or(0);
                (delay.least + drift).min(took)
            }
            None => took,
        };
        self.delay = Some(Delay { least, at: now });
        took - least > i128::try_from(LATE.as_nanos()).unwrap_or(i128::MAX)
    }
}
