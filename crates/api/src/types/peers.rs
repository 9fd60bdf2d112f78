//! What a node says of the ways to the other directors.

use std::net::IpAddr;

use relevo_model::{NetworkName, NodeName};
use serde::{Deserialize, Serialize};

/// A session of BFD with another director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdStatus {
    /// The other director.
    pub node: NodeName,
    /// The network.
    pub network: NetworkName,
    /// The neighbour's address; of networks with both families each has a session.
    #[serde(default)]
    pub at: Option<IpAddr>,
    /// `up`, `down`, `init` or `admindown`.
    pub state: String,
    /// Since when.
    pub since: u64,
}

/// A way to another director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// The other director.
    pub node: NodeName,
    /// The network.
    pub network: NetworkName,
    /// Whether it is heard here; `None`: unknown.
    pub hears: Option<bool>,
    /// Whether it hears this node; `None`: unknown.
    pub heard: Option<bool>,
}
