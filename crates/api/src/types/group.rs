//! What a node says of a group of virtual addresses: who has it, why, and what is watched.

use std::net::IpAddr;

use relevo_model::{AddressName, GroupName, NetworkName, NodeName, TrackerName};
use serde::{Deserialize, Serialize};

/// What a director is for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupState {
    /// Not started yet, or an interface is not there.
    Init,
    /// Another director holds the addresses, or this one is waiting to take them.
    Backup,
    /// This director holds the addresses.
    Active,
    /// A link is down: this director cannot hold them.
    Fault,
}

/// One group of virtual addresses, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// The group.
    pub name: GroupName,
    /// What this node is for it.
    pub state: GroupState,
    /// Who holds it as far as this node knows; `None`: unknown.
    pub active: Option<NodeName>,
    /// Since when `state` is so.
    pub since: u64,
    /// Why `state` is so, in words.
    pub reason: String,
    /// This node's priority.
    pub priority: u8,
    /// The same, as the trackers say.
    #[serde(default)]
    pub effective_priority: u8,
    /// What is watched.
    #[serde(default)]
    pub trackers: Vec<TrackerStatus>,
    /// Times this node became active.
    pub transitions: u64,
    /// Adverts that were dropped as wrong.
    pub dropped: u64,
    /// The addresses that move together.
    pub addresses: Vec<AddressStatus>,
    /// What the other directors say; empty without a channel between them.
    #[serde(default)]
    pub opinions: Vec<Opinion>,
    /// Why this director does not take over though it hears no adverts, in words.
    #[serde(default)]
    pub held_back: Option<String>,
    /// What becomes of connections when the group moves on purpose; `None`: it has no service of the userspace engine.
    #[serde(default)]
    pub moves: Option<MoveStatus>,
}

impl GroupStatus {
    /// A group of which nothing else is known.
    pub fn new(name: GroupName, state: GroupState, priority: u8) -> Self {
        Self {
            name,
            state,
            active: None,
            since: 0,
            reason: String::new(),
            priority,
            effective_priority: priority,
            trackers: Vec::new(),
            transitions: 0,
            dropped: 0,
            addresses: Vec::new(),
            opinions: Vec::new(),
            held_back: None,
            moves: None,
        }
    }
}

/// What becomes of the userspace engine's connections when a group moves on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MoveStatus {
    /// They will go on.
    Ready,
    /// They will be cut.
    Unavailable {
        /// Why.
        why: String,
    },
    /// This node gave the group away and goes on with its connections.
    Draining {
        /// How many are left; `None`: unknown.
        left: Option<u64>,
        /// For how long at most, seconds.
        seconds: u64,
    },
    /// This node has the group and forwards the packets of connections that others have.
    Forwarding {
        /// Which ones, in the order in which they are asked.
        to: Vec<NodeName>,
        /// For how long at most, seconds.
        seconds: u64,
    },
}

/// What another director says of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// Who.
    pub node: NodeName,
    /// What it is for the group; `None`: unknown, it is not heard.
    pub state: Option<GroupState>,
    /// Who is active as it sees it; `None`: it does not know, or is not heard.
    pub active: Option<NodeName>,
    /// Whether it sees the same active one as this node; `None`: unknown.
    pub agrees: Option<bool>,
    /// Networks on which it hears the adverts of this node, which is active.
    pub hears_adverts: Vec<NetworkName>,
    /// What it found when it asked the addresses.
    pub answers: Vec<Answer>,
}

/// Who answers for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The address.
    pub address: AddressName,
    /// `right`: the active one's hardware address; `silent`; `unknown`; or the wrong hardware address.
    pub answers: String,
}

/// Something that a group watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// Its name.
    pub name: TrackerName,
    /// What is looked at, in words.
    pub watches: String,
    /// What it says.
    pub verdict: TrackerVerdict,
    /// What it does to the priority; `None`: down is a fault.
    pub weight: Option<i16>,
    /// What it does now.
    pub effect: TrackerEffect,
    /// Since when the verdict is so.
    pub since: u64,
    /// What the last look saw, in words.
    pub evidence: String,
}

/// What a tracker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackerVerdict {
    /// Nothing was seen yet.
    Unknown,
    /// It is as it should be.
    Up,
    /// It is not.
    Down,
}

/// What a tracker does to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackerEffect {
    /// Nothing.
    None,
    /// This is added to the priority.
    Weight(i16),
    /// The group gives way.
    Fault,
}

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressStatus {
    /// Its name.
    pub name: AddressName,
    /// The address.
    pub ip: IpAddr,
    /// Its network.
    pub network: NetworkName,
    /// The interface here; `None` while unknown.
    pub interface: Option<String>,
    /// The virtual hardware address that it answers with; `None`: the interface's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}
