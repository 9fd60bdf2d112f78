//! Interfaces as an operator wants them: seen, compared, changed, seen again.
//!
//! ```text
//!   cluster file ──► wanted ─┐
//!                            ├─► plan (pure) ──► steps ──► apply (rtnetlink) ──► observe again ──► plan is empty
//!   kernel ──► observe ──────┘
//! ```
//! Only what is wanted is ever touched: interfaces that the file names, and of their ports that they belong to them and are
//! up. What was before is kept as a [`Wanted`] too: to go back is to plan again.

mod apply;
mod observe;
mod plan;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use apply::apply;
pub use observe::observe;
pub use plan::{Plan, Step, before, plan};
pub use wanted::wanted;

/// What an interface is, with what belongs to its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Kind {
    /// A bridge. Times in hundredths of a second.
    Bridge {
        /// Whether it speaks STP.
        stp: bool,
        /// STP priority.
        priority: u16,
        /// Time between BPDUs.
        hello_time: u32,
        /// Listening, learning.
        forward_delay: u32,
        /// A silent root is gone.
        max_age: u32,
    },
    /// A VXLAN.
    Vxlan {
        /// Its identifier.
        id: u32,
        /// Its own end; `None`: the kernel chooses.
        local: Option<IpAddr>,
        /// The multicast group.
        group: Option<Ipv4Addr>,
        /// The interface that it lies on.
        over: Option<String>,
        /// UDP port.
        port: u16,
        /// Where it sends what it has not learned, beside the group.
        peers: BTreeSet<IpAddr>,
    },
    /// A bond.
    Bond {
        /// `bonding.rst`: 0 balance-rr to 6 balance-alb.
        mode: u8,
        /// The preferred port.
        primary: Option<String>,
        /// Time between looks at the carrier, milliseconds.
        miimon: u32,
    },
    /// A VLAN.
    Vlan {
        /// Its id.
        id: u16,
        /// What carries it.
        over: String,
    },
    /// A macvlan.
    Macvlan {
        /// 1 private, 2 vepa, 4 bridge, 8 passthru (linux/if_link.h).
        mode: u32,
        /// What it lies on.
        over: String,
        /// Its hardware address; wanted `None`: whatever it has.
        mac: Option<[u8; 6]>,
    },
    /// Anything else: it was there before and is only used.
    Other {
        /// The kernel's word for it; empty: a card.
        word: String,
    },
}

impl Kind {
    /// The kernel's word.
    pub fn word(&self) -> &str {
        match self {
            Self::Bridge { .. } => "bridge",
            Self::Vxlan { .. } => "vxlan",
            Self::Bond { .. } => "bond",
            Self::Vlan { .. } => "vlan",
            Self::Macvlan { .. } => "macvlan",
            Self::Other { word } if word.is_empty() => "card",
            Self::Other { word } => word,
        }
    }
}

/// The STP state of a bridge port (IEEE 802.1D section 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortState {
    /// No carrier, or switched off.
    Disabled,
    /// Listens for other switches, passes nothing.
    Listening,
    /// Learns addresses, passes nothing.
    Learning,
    /// Passes traffic.
    Forwarding,
    /// Held back so that there is no loop.
    Blocking,
}

/// A route of the main table out of an interface, without those that the kernel makes from addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// Where to; `0.0.0.0/0` and `::/0`: everywhere.
    pub to: IpNet,
    /// The next router; `None`: on the link.
    pub via: Option<IpAddr>,
    /// The lower, the better.
    pub metric: Option<u32>,
    /// The preferred source.
    pub source: Option<IpAddr>,
}

/// An interface as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The kernel's number.
    pub index: u32,
    /// What it is.
    pub kind: Kind,
    /// Its MTU, bytes.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it has a carrier.
    pub carrier: bool,
    /// Its addresses with a prefix length; link-local ones of IPv6 left out.
    pub addresses: BTreeSet<IpNet>,
    /// Addresses that come and go with a lease, as virtual addresses do. They are nobody's business here.
    pub leased: BTreeSet<IpNet>,
    /// Routes out of it.
    pub routes: BTreeSet<Route>,
    /// The bridge or bond that it is a port of.
    pub controller: Option<String>,
    /// As a port of a bridge: its STP cost.
    pub cost: Option<u32>,
    /// As a port of a bridge: its state.
    pub state: Option<PortState>,
    /// As a bridge with STP: whether it is root.
    pub root: Option<bool>,
}

/// All interfaces of a network namespace, by name.
pub type Observed = BTreeMap<String, Device>;

/// An interface as it shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// What it shall be.
    pub kind: Kind,
    /// Its MTU; `None`: as it is.
    pub mtu: Option<u32>,
    /// Addresses that it shall have; others are taken away.
    pub addresses: BTreeSet<IpNet>,
    /// Whether it shall be on.
    pub up: bool,
    /// The bridge or bond that it shall be a port of; `None`: none.
    pub controller: Option<String>,
    /// Its STP cost as a port; `None`: as it is.
    pub cost: Option<u32>,
    /// Routes that it shall have besides; others stay.
    pub routes: BTreeSet<Route>,
}

/// What shall be: by name, `None`: no such interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Interfaces in the order in which they can be made: what lies under another one first.
    pub devices: Vec<(String, Option<Wish>)>,
}
