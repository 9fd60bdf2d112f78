//! Interfaces that an operator wants on real nodes, `[interface.NAME]`: what `relevo net apply` makes.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Network, Node, NodeAddress};
use crate::name::{NetworkName, NodeName};

/// An interface, `[interface.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// What the kernel calls it, 1 to 15 bytes.
    pub name: String,
    /// The nodes that have it; at least one.
    pub nodes: Vec<NodeName>,
    /// What it is.
    pub kind: InterfaceKind,
    /// Its MTU, bytes; `None`: that of its network, or computed from what it lies on, or the kernel's.
    pub mtu: Option<u32>,
    /// Addresses besides those that `[node.NAME]` puts on it.
    pub addresses: Vec<IpNet>,
}

/// What an interface is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum InterfaceKind {
    /// A switch of the kernel's.
    Bridge(Bridge),
    /// An Ethernet segment over IP (RFC 7348).
    Vxlan(VxlanDevice),
    /// Several links that act as one.
    Bond(Bond),
    /// A tagged VLAN of another interface (IEEE 802.1Q).
    Vlan {
        /// The VLAN's id, 1 to 4094.
        id: u16,
        /// The interface that carries it.
        over: String,
    },
    /// Another hardware address on an interface.
    Macvlan {
        /// How it and others on the same interface reach each other.
        mode: MacvlanMode,
        /// The interface.
        over: String,
        /// Its hardware address; `None`: the kernel's choice.
        mac: Option<[u8; 6]>,
    },
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bridge {
    /// Its ports. Others that are in it are left there.
    pub ports: Vec<String>,
    /// Whether it speaks STP.
    pub stp: bool,
    /// STP bridge priority, 0 to 61440 in steps of 4096; the lowest is root.
    pub priority: u16,
    /// STP cost of ports, 1 to 65535; others have the kernel's, which goes by the link's speed.
    pub cost: Vec<(String, u16)>,
    /// Time between two BPDUs, 1 to 10 s.
    pub hello_time: Duration,
    /// Time that a port listens, and time that it learns, 2 to 30 s.
    pub forward_delay: Duration,
    /// Time after which a silent root is gone, 6 to 40 s.
    pub max_age: Duration,
}

/// Where a VXLAN's packets travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Underlay {
    /// On a network of the cluster file: from the node's own address there.
    Network(NetworkName),
    /// Through this interface.
    Interface(String),
}

/// Who a VXLAN sends to what it has not learned yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VxlanPeers {
    /// Each of these nodes, by its address on the underlying network; itself is left out.
    Nodes(Vec<NodeName>),
    /// Each of these addresses; the node's own are left out.
    Addresses(Vec<IpAddr>),
    /// All that joined this group.
    Group(Ipv4Addr),
}

/// A VXLAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VxlanDevice {
    /// The VXLAN network identifier, 1 to 16777215.
    pub id: u32,
    /// What it lies on.
    pub over: Underlay,
    /// The other ends.
    pub peers: VxlanPeers,
    /// The node's own address of the tunnel; `None`: its address on the underlying network, or the kernel's choice.
    pub local: Option<IpAddr>,
    /// UDP port; 4789 is IANA's.
    pub port: u16,
}

impl VxlanDevice {
    /// Whether it travels in IPv6.
    pub fn is_ipv6(&self) -> bool {
        let peers = match &self.peers {
            VxlanPeers::Addresses(peers) => peers.iter().any(IpAddr::is_ipv6),
            VxlanPeers::Nodes(_) | VxlanPeers::Group(_) => false,
        };
        peers || self.local.is_some_and(|local| local.is_ipv6())
    }
}

/// How a bond uses its ports (Linux bonding.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BondMode {
    /// One after the other.
    BalanceRr,
    /// One, and another when it fails.
    ActiveBackup,
    /// By a hash.
    BalanceXor,
    /// All of them.
    Broadcast,
    /// LACP.
    #[serde(rename = "802.3ad")]
    Lacp,
    /// By load, sending.
    BalanceTlb,
    /// By load, both ways.
    BalanceAlb,
}

/// A bond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bond {
    /// How it uses its ports.
    pub mode: BondMode,
    /// Its ports.
    pub ports: Vec<String>,
    /// The port that is used whenever its link is up; only of some modes.
    pub primary: Option<String>,
    /// Time between two looks at the ports' carrier.
    pub miimon: Duration,
}

/// How macvlans of one interface reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// Directly.
    Bridge,
    /// Not at all.
    Private,
    /// Through the switch outside.
    Vepa,
    /// There is only one.
    Passthru,
}

impl Interface {
    /// Whether this node has it.
    pub fn is_on(&self, node: &str) -> bool {
        self.nodes.iter().any(|name| name.as_str() == node)
    }

    /// The interfaces that it takes as its ports.
    pub fn ports(&self) -> &[String] {
        match &self.kind {
            InterfaceKind::Bridge(bridge) => &bridge.ports,
            InterfaceKind::Bond(bond) => &bond.ports,
            InterfaceKind::Vxlan(_) | InterfaceKind::Vlan { .. } | InterfaceKind::Macvlan { .. } => &[],
        }
    }

    /// The interface that it lies on, where the file names one.
    pub fn over(&self) -> Option<&str> {
        match &self.kind {
            InterfaceKind::Vlan { over, .. } | InterfaceKind::Macvlan { over, .. } => Some(over),
            InterfaceKind::Vxlan(VxlanDevice { over: Underlay::Interface(over), .. }) => Some(over),
            InterfaceKind::Vxlan(_) | InterfaceKind::Bridge(_) | InterfaceKind::Bond(_) => None,
        }
    }
}

/// What VXLAN adds to each packet of the underlying network: Ethernet, VXLAN, UDP and IP headers (RFC 7348 section 5).
pub const fn vxlan_overhead(ipv6: bool) -> u32 {
    if ipv6 { 70 } else { 50 }
}

/// The MTU that an interface of `node` has by the file; `None`: the file does not tell.
///
/// `own` are the node's interfaces of `[interface.NAME]`, none of which lies on itself.
pub fn mtu_of(own: &[&Interface], networks: &[Network], node: &Node, name: &str) -> Option<u32> {
    let found = own.iter().find(|interface| interface.name == name);
    if let Some(mtu) = found.and_then(|interface| interface.mtu) {
        return Some(mtu);
    }
    let is_here = |address: &&NodeAddress| address.interface.as_deref() == Some(name);
    let network = node.addresses.iter().find(is_here).map(|address| &address.network);
    let of_network = network.and_then(|network| networks.iter().find(|one| one.name == *network)?.mtu);
    if of_network.is_some() {
        return of_network;
    }
    let found = found?;
    if matches!(found.kind, InterfaceKind::Vxlan(_)) {
        let (below, is_ipv6) = underlay_mtu(own, networks, node, found)?;
        return Some(below.saturating_sub(vxlan_overhead(is_ipv6)));
    }
    mtu_of(own, networks, node, found.over()?)
}

/// The MTU of what a VXLAN lies on, by the file, and whether that is IPv6. `None`: it is no VXLAN, or the file does not tell.
pub fn underlay_mtu(
    own: &[&Interface],
    networks: &[Network],
    node: &Node,
    interface: &Interface,
) -> Option<(u32, bool)> {
    let InterfaceKind::Vxlan(vxlan) = &interface.kind else { return None };
    let below = match &vxlan.over {
        Underlay::Network(network) => networks.iter().find(|one| one.name == *network)?.mtu,
        Underlay::Interface(name) => mtu_of(own, networks, node, name),
    };
    Some((below?, vxlan.is_ipv6()))
}
