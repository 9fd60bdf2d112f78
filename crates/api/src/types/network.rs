//! What a node says of the networks around it: ways between them, and its bridges.

use std::net::IpAddr;

use relevo_model::{GatewayName, GroupName, NetworkName};
use serde::{Deserialize, Serialize};

/// A way from one network to another in one address family, `[gateway]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Its name; `main` for the only one.
    pub name: GatewayName,
    /// The group whose addresses decide who is the way.
    pub group: GroupName,
    /// Whose machines use it.
    pub from: NetworkName,
    /// Where they get to.
    pub to: NetworkName,
    /// What they have as their router.
    pub router: Option<IpAddr>,
    /// What their packets leave under; `None`: their own addresses.
    pub source: Option<IpAddr>,
    /// Whether this node is the way now.
    pub here: bool,
}

/// A bridge of `[interface.NAME]` on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeStatus {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub present: bool,
    /// Whether it is the root of its spanning tree; `None`: it speaks no STP.
    pub root: Option<bool>,
    /// Ports that pass traffic.
    pub forwarding: Vec<String>,
    /// Ports that the spanning tree holds back.
    pub blocked: Vec<String>,
    /// Ports that are on their way to one of both, or have no carrier.
    pub other: Vec<String>,
}
