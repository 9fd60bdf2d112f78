//! What the API says. Times are milliseconds since 1970-01-01 UTC.

use std::path::PathBuf;

use relevo_model::NodeName;
use serde::{Deserialize, Serialize};

mod affinity;
mod balancer;
mod flows;
mod group;
mod leases;
mod network;
mod peers;
mod wishes;

pub use affinity::{AffinityClient, AffinityClients, AffinityStatus, Forgotten};
pub use balancer::{AdminState, HealthState, PoolStatus, ServerStatus, ServicePath, ServiceStatus};
pub use flows::{FlowStatus, Passed, ServerFlows, ServiceFlows};
pub use group::{
    AddressStatus, Answer, GroupState, GroupStatus, MoveStatus, Opinion, TrackerEffect, TrackerStatus,
    TrackerVerdict,
};
pub use leases::{DhcpStatus, DnsStatus, LeaseKind, LeaseStatus};
pub use network::{BridgeStatus, GatewayStatus};
pub use peers::{BfdStatus, PathStatus};
pub use wishes::{Changed, Problem, Reloaded, SetServer, Switched, Switchover, Upgraded};

/// One node as it sees itself and the cluster, `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The cluster's name.
    pub cluster: String,
    /// The node that answers.
    pub node: NodeName,
    /// Its program's version.
    pub version: String,
    /// Its process id, as the node itself sees it.
    pub pid: u32,
    /// When its process started.
    pub since: u64,
    /// The cluster file it follows.
    pub file: FileStatus,
    /// The groups of virtual addresses.
    pub groups: Vec<GroupStatus>,
    /// The services it balances.
    pub services: Vec<ServiceStatus>,
    /// The pools of servers that answer them.
    pub pools: Vec<PoolStatus>,
    /// The ways to the other directors; empty without a channel between them.
    #[serde(default)]
    pub paths: Vec<PathStatus>,
    /// The networks on which machines get addresses from the directors.
    #[serde(default)]
    pub dhcp: Vec<DhcpStatus>,
    /// The answers about names; `None`: the cluster file has no `[dns]`.
    #[serde(default)]
    pub dns: Option<DnsStatus>,
    /// The sessions of BFD with the other directors.
    #[serde(default)]
    pub bfd: Vec<BfdStatus>,
    /// Ways between networks through this node, `[gateway]`.
    #[serde(default)]
    pub gateways: Vec<GatewayStatus>,
    /// The bridges of `[interface.NAME]` on this node.
    #[serde(default)]
    pub bridges: Vec<BridgeStatus>,
}

impl Status {
    /// A node of which nothing else is known.
    pub fn new(cluster: &str, node: NodeName) -> Self {
        Self {
            cluster: cluster.to_owned(),
            node,
            version: String::new(),
            pid: 0,
            since: 0,
            file: FileStatus { path: PathBuf::new(), hash: String::new(), since: 0 },
            groups: Vec::new(),
            services: Vec::new(),
            pools: Vec::new(),
            paths: Vec::new(),
            dhcp: Vec::new(),
            dns: None,
            bfd: Vec::new(),
            gateways: Vec::new(),
            bridges: Vec::new(),
        }
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<&PoolStatus> {
        self.pools.iter().find(|pool| *pool.name == *name)
    }
}

/// The cluster file that a node follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Its path, from the root on.
    pub path: PathBuf,
    /// The first 16 hexadecimal digits of the SHA-256 of its text: the same on all nodes that follow the same file.
    pub hash: String,
    /// When it was read: at the start, or by the last reload that was done.
    pub since: u64,
}
