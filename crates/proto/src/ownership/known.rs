//! What a director knows of the others, of the ways to them, and of its groups.

use std::collections::BTreeMap;

use relevo_model::{AddressName, NetworkName, NodeName, Time};

use super::{PathState, Verdict};
use crate::vrrp::State;

/// What another director says.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) round: u64,
    pub(super) groups: BTreeMap<usize, Claim>,
    /// By group and network: whose adverts it hears.
    pub(super) adverts: BTreeMap<(usize, NetworkName), (NodeName, Time)>,
    pub(super) hardware: BTreeMap<(usize, NetworkName), [u8; 6]>,
    pub(super) verdicts: BTreeMap<AddressName, (Verdict, Time)>,
}

/// What it says of a group.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) state: State,
    pub(super) resigning: bool,
    pub(super) priority: u8,
    pub(super) since: Time,
    pub(super) owner: Option<NodeName>,
    pub(super) at: Time,
}

impl Claim {
    pub(super) fn holds(&self) -> bool {
        self.state == State::Active && !self.resigning
    }
}

/// A way to another director.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) node: NodeName,
    pub(super) network: NetworkName,
    pub(super) heard: Option<Time>,
    /// What it says of this way, and when it did.
    pub(super) they: Option<(bool, Time)>,
    pub(super) told: PathState,
    /// What it seems to be now, and since when.
    pub(super) seems: (PathState, Time),
}

/// What is watched of a group.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) doubles: BTreeMap<NodeName, Double>,
    pub(super) proven_until: Time,
    pub(super) proven_by: Option<(NodeName, NetworkName)>,
    pub(super) held_back: bool,
    /// Since when it seems to be held back; in a planned move that is so for a moment.
    pub(super) seems_held: Option<Time>,
    pub(super) reannounced: Option<Time>,
}

#[derive(Debug)]
pub(super) struct Double {
    pub(super) since: Time,
    pub(super) told: bool,
    pub(super) yielded: Option<Time>,
}
