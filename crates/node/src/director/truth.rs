//! What a director says of its groups to [`crate::ownership`], and what it is told from there.

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::{NetworkName, NodeName, Time};
use relevo_proto::ownership::Own;
use relevo_proto::vrrp::{State, Told};

use super::Director;
use super::holder::Holder;
use super::setup::Member;
use super::worker::Command;

/// Time between two directors that notice the same loss.
const RANK: Duration = Duration::from_millis(20);

impl Holder {
    /// What it is, for the other directors.
    pub(super) fn own(&self) -> Own {
        let status = self.machine.status();
        let legs = self.legs.iter().enumerate();
        let heard = legs.clone().filter_map(|(router, leg)| {
            let (source, at) = self.machine.heard(router)?;
            Some((leg.setup.network.clone(), self.member.owner_of(source)?, at))
        });
        let hardware = legs.filter_map(|(_, leg)| {
            Some((leg.setup.network.clone(), leg.link()?.hardware.as_slice().try_into().ok()?))
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
    fn owner_of(&self, source: IpAddr) -> Option<NodeName> {
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

    /// A node is lost, on one network of a group or on all of them; see [`Told::Lost`].
    pub(crate) fn lost(&self, group: usize, node: &NodeName, on: Option<&NetworkName>) {
        let Some(member) = self.members.get(group) else { return };
        let Some(peer) = member.directors.iter().find(|peer| peer.node == *node) else { return };
        let wait = member.rank(&self.node, node);
        // Every director of a group is on all of its networks, and its addresses are in their order.
        for (router, (leg, source)) in member.legs.iter().zip(&peer.addresses).enumerate() {
            if on.is_none_or(|network| leg.network == *network) {
                self.told(group, Told::Lost { router, source: *source, wait });
            }
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
