//! What directors know of each other beside adverts: who says to hold what, who hears whom, over which network.
//!
//! ```text
//!   own groups, what others say ──► Ownership ──► Publish: several times a second
//!                                      │
//!                                      ├──► Proven, Lost, Yield, Reannounce: for the group's machine
//!                                      ├──► Event: for people
//!                                      └──► paths(), group(): for status
//! ```
//!
//! - **Truth.** A director says what it is, whose adverts it hears on which network, and whose datagrams it hears. So
//!   each one knows of every way whether it works in both directions. What nobody says is unknown.
//! - **Proof.** An active that says that it holds the addresses, over a network of the group or its heartbeat, lives: while
//!   that is heard, a backup that hears no adverts does not take over ([`Output::Proven`]). An active that says that
//!   it has given up is not waited for ([`Output::Lost`]).
//! - **Two actives** that hear each other here but not each other's adverts: one yields, by the rule of adverts:
//!   the lower priority, then the lower address.
//!
//! What this is not: a vote, or a proof that somebody is gone. Silence proves nothing; the addresses are taken by the
//! timers of VRRP alone.

mod events;
mod known;
mod machine;
mod names;
mod report;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::{AddressName, GroupName, NetworkName, NodeName, Time};

use crate::vrrp::State;

pub use events::{Event, PathState};
pub use machine::Ownership;
pub use report::{Record, decode, id};

/// What does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This director.
    pub own: NodeName,
    /// Its groups; inputs and outputs number them.
    pub groups: Vec<GroupSettings>,
    /// Every way to another director.
    pub paths: Vec<(NodeName, NetworkName)>,
    /// Time between two publications while nothing changes.
    pub period: Duration,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// Its name.
    pub name: GroupName,
    /// All its directors with their address on its first network, which decides ties.
    pub directors: Vec<(NodeName, IpAddr)>,
    /// Networks on which a word of the active one counts: the group's, and its heartbeats.
    pub proofs: Vec<NetworkName>,
    /// The own Active_Down interval.
    pub active_down: Duration,
    /// Its addresses.
    pub addresses: Vec<AddressName>,
    /// How long a word of the active one counts. Not longer than two adverts: a crash must not take longer to notice.
    pub validity: Duration,
}

/// The time between publications that goes with a group's detection time (the Active_Down interval, or BFD's), and for how
/// long a word counts.
pub fn pace(advert: Duration, bfd: Option<Duration>) -> (Duration, Duration) {
    let detection = bfd.unwrap_or(advert * 3);
    let period = (detection / 3).clamp(Duration::from_millis(20), Duration::from_millis(250));
    (period, period * 2)
}

/// What this director is for a group, as its machine says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The state.
    pub state: State,
    /// It is active and gives the group away.
    pub resigning: bool,
    /// Since when it is in that state.
    pub since: Time,
    /// The priority of its adverts.
    pub priority: u8,
    /// Who is active, as it sees it.
    pub owner: Option<NodeName>,
    /// Whose adverts it heard last on each network, and when.
    pub heard: Vec<(NetworkName, NodeName, Time)>,
    /// Its hardware address on each network of the group; for those who ask whether an address answers right.
    pub hardware: Vec<(NetworkName, [u8; 6])>,
}

/// What came of asking an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nobody has asked yet, or what would be right is not known.
    Unknown,
    /// The owner's hardware address answered.
    Right,
    /// Another one answered.
    Other([u8; 6]),
    /// Nobody answered.
    Silent,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Say this to all directors, over every network.
    Publish(Vec<u8>),
    /// The active one of a group lives and holds: do not take over before then.
    Proven {
        /// Which group.
        group: usize,
        /// Until when.
        until: Time,
    },
    /// The active one of a group says that it is not active any more.
    Lost {
        /// Which group.
        group: usize,
        /// Who.
        node: NodeName,
    },
    /// Two are active, and the other one shall stay so.
    Yield {
        /// Which group.
        group: usize,
        /// Who stays.
        to: NodeName,
    },
    /// Neighbours may believe another one: announce the addresses again.
    Reannounce {
        /// Which group.
        group: usize,
    },
    /// Something that people want to know.
    Event(Event),
}

/// What is known of a way to another director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathView {
    /// The other director.
    pub node: NodeName,
    /// The network.
    pub network: NetworkName,
    /// Whether it is heard here.
    pub hears: Option<bool>,
    /// Whether it hears this director.
    pub heard: Option<bool>,
}

/// What another director says of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Who.
    pub node: NodeName,
    /// What it is; `None`: unknown, it is not heard.
    pub state: Option<State>,
    /// Who is active as it sees it; `None`: it does not know, or is not heard.
    pub owner: Option<NodeName>,
    /// Networks on which it hears this director's adverts, while this one is active.
    pub hears_adverts: Vec<NetworkName>,
    /// What it found when it asked the addresses.
    pub verdicts: Vec<(AddressName, Verdict)>,
}
