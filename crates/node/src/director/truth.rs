//! What a director says of its groups to [`crate::ownership`], and what it is told from there.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use nix::sys::eventfd::EventFd;
use relevo_model::cluster::Family;
use relevo_model::{NetworkName, NodeName, Time};
use relevo_proto::ownership::Own;
use relevo_proto::vrrp::{Input, State, Told};

use super::Director;
use super::holder::{Holder, Kernel};
use super::setup::Member;
use super::worker::Command;

/// Time between two directors that notice the same loss.
const RANK: Duration = Duration::from_millis(20);

/// A director that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// Index into the group's directors.
    peer: usize,
    /// On the network of this leg, in its family; `None`: on all.
    leg: Option<usize>,
    /// Time for those who come first.
    wait: Duration,
}

impl Holder {
    /// Tells the machine of each router whose active one is the one that is lost. Who that is, only the one who hears the
    /// adverts can say: link-local addresses are not in the file.
    pub(super) fn lost(&mut self, kernel: &mut Kernel, now: Time, loss: Loss) {
        let Some(node) = self.member.directors.get(loss.peer).map(|peer| peer.node.clone()) else { return };
        let place = |leg: &super::leg::Leg| (leg.setup.network.clone(), leg.setup.family);
        let on = loss.leg.and_then(|leg| self.legs.get(leg)).map(place);
        for router in 0..self.legs.len() {
            let is_there = on.as_ref().is_none_or(|on| place(&self.legs[router]) == *on);
            let Some((source, _)) = self.machine.heard(router).filter(|_| is_there) else { continue };
            if self.member.owner_of(source).as_ref() == Some(&node) {
                self.input(kernel, now, Input::Told(Told::Lost { router, source, wait: loss.wait }));
            }
        }
    }

    /// What it is, for the other directors.
    pub(super) fn own(&self) -> Own {
        let status = self.machine.status();
        let legs = self.legs.iter();
        let heard = legs.clone().enumerate().filter_map(|(router, leg)| {
            let (source, at) = self.machine.heard(router)?;
            Some((leg.setup.network.clone(), self.member.owner_of(source)?, at))
        });
        let hardware = legs.filter_map(|leg| {
            Some((leg.setup.network.clone(), leg.place()?.hardware.as_slice().try_into().ok()?))
        });
        Own {
            state: status.state,
            resigning: self.machine.is_resigning(),
            since: status.since,
            priority: status.priority,
            owner: match status.state {
                // A link-local address is not in the file.
                State::Active => Some(self.member.own.clone()),
                State::Init | State::Backup | State::Fault => {
                    status.active.and_then(|source| self.member.owner_of(source))
                }
            },
            heard: heard.collect(),
            hardware: hardware.collect(),
        }
    }
}

impl Member {
    /// The director that has this address on one of the group's networks.
    pub(super) fn owner_of(&self, source: IpAddr) -> Option<NodeName> {
        let peer = self.directors.iter().find(|peer| peer.addresses.contains(&source));
        peer.map(|peer| peer.node.clone())
    }

    /// How long this director waits before it takes over from one that is lost, so that better ones come first.
    fn rank(&self, own: &NodeName, lost: &NodeName) -> Duration {
        let ours = self.directors.iter().find(|peer| peer.node == *own).map(|peer| peer.priority);
        let better = self.directors.iter().filter(|peer| peer.node != *lost && Some(peer.priority) > ours);
        RANK * u32::try_from(better.count()).unwrap_or(1)
    }
}

impl Director {
    /// What it is for each of its groups, in the file's order; empty when it has ended.
    pub(crate) fn owns(&self) -> Vec<Own> {
        if self.board.stopped().is_some() { Vec::new() } else { self.board.owns() }
    }

    /// The active one has proven that it lives; see [`Told::Proven`].
    pub(crate) fn proven(&self, group: usize, until: Time) {
        self.told(group, Told::Proven { until });
    }

    /// A node is lost, on all networks of a group; see [`Told::Lost`].
    pub(crate) fn lost(&self, group: usize, node: &NodeName) {
        self.teller().lost(group, node, None);
    }

    /// A way to tell it what is lost, for a thread that must not wait.
    pub(crate) fn teller(&self) -> Teller {
        Teller {
            own: self.node.clone(),
            members: self.members.clone(),
            commands: self.commands.clone(),
            wake: Arc::clone(&self.wake),
        }
    }

    /// Two are active, and the other one stays; see [`Told::Yield`].
    pub(crate) fn yield_to(&self, group: usize, node: &NodeName) {
        let directors = self.members.get(group).map_or(&[][..], |member| &member.directors);
        if let Some(to) = directors.iter().find(|peer| peer.node == *node).and_then(|peer| peer.source) {
            self.told(group, Told::Yield { to });
        }
    }

    /// Neighbours may believe another one; see [`Told::Reannounce`].
    pub(crate) fn reannounce(&self, group: usize) {
        self.told(group, Told::Reannounce);
    }

    fn told(&self, group: usize, told: Told) {
        // A director that has ended needs no words.
        let _ = self.command(Command::Told(group, told));
    }
}

/// Tells a director what is lost. It never waits.
#[derive(Clone)]
pub(crate) struct Teller {
    own: NodeName,
    members: Vec<Member>,
    commands: Sender<Command>,
    wake: Arc<EventFd>,
}

impl Teller {
    /// A node is lost, on one network of a group in one family, or on all of them; see [`Told::Lost`].
    pub(crate) fn lost(&self, group: usize, node: &NodeName, on: Option<(&NetworkName, Family)>) {
        let Some(member) = self.members.get(group) else { return };
        let Some(peer) = member.directors.iter().position(|peer| peer.node == *node) else { return };
        let wait = member.rank(&self.own, node);
        let leg = on.map(|(network, family)| {
            let mut legs = member.legs.iter();
            legs.position(|leg| leg.network == *network && leg.family == family)
        });
        if leg != Some(None) {
            // A director that has ended needs no words.
            let _ = self.commands.send(Command::Lost(group, Loss { peer, leg: leg.flatten(), wait }));
            let _ = self.wake.write(1);
        }
    }
}
