//! What the API says. Times are milliseconds since 1970-01-01 UTC.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use relevo_model::cluster::Mode;
use relevo_model::{
    AddressName, GroupName, NetworkName, NodeName, PoolName, ServerName, ServiceName, TrackerName,
};
use serde::{Deserialize, Serialize};

mod affinity;
mod flows;
mod leases;

pub use crate::network::{BridgeStatus, GatewayStatus};
pub use affinity::{AffinityStatus, BondStatus, Bonds, Forgotten};
pub use flows::{FlowStatus, Passed, ServerFlows, ServiceFlows};
pub use leases::{DhcpStatus, DnsStatus, LeaseKind, LeaseStatus};

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
    /// The servers that answer a service unless a rule chooses another pool.
    pub fn servers_of(&self, service: &ServiceStatus) -> &[ServerStatus] {
        self.pool(&service.pool).map_or(&[], |pool| &pool.servers)
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<&PoolStatus> {
        self.pools.iter().find(|pool| *pool.name == *name)
    }
}

/// The cluster file that a node follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Its path, as the node was told.
    pub path: PathBuf,
    /// The first 16 hexadecimal digits of the SHA-256 of its text: the same on all nodes that follow the same file.
    pub hash: String,
    /// When it was read: at the start, or by the last reload that was done.
    pub since: u64,
}

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
    /// This node has the group and forwards the packets of connections that another one has.
    Forwarding {
        /// Which one.
        to: NodeName,
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

/// A session of BFD with another director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdStatus {
    /// The other director.
    pub node: NodeName,
    /// The network.
    pub network: NetworkName,
    /// The neighbour's address; of networks with both families each has a session.
    #[serde(default)]
    pub at: Option<std::net::IpAddr>,
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

/// What a server's checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// Not checked yet.
    Unknown,
    /// Answers.
    Up,
    /// Does not.
    Down,
}

/// What the operator wants of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminState {
    /// Takes work while it is up.
    #[default]
    Ready,
    /// Finishes what it has, gets nothing new.
    Drain,
    /// Maintenance: gets nothing, not even from clients that are bound to it; it is not checked.
    Maint,
}

/// One balanced service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// How it looks at the traffic.
    pub mode: Mode,
    /// The pool that answers unless a rule chooses another one.
    pub pool: PoolName,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Client connections now.
    pub connections: u64,
    /// Requests (mode `http`) or connections (mode `tcp`) since the start.
    pub requests: u64,
    /// Requests that the balancer itself answered with an error, or connections it had to close.
    pub errors: u64,
    /// Which path its packets take; `None`: not known yet.
    #[serde(default)]
    pub path: Option<ServicePath>,
}

/// Which path the packets of a service take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePath {
    /// The kernel's; else the userspace engine's.
    pub kernel: bool,
    /// How the kernel leads packets to servers: `nat`, `direct` or `nat, source NAME`; empty: it does not, or an older node
    /// does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub form: String,
    /// Why not the kernel's; empty if it is.
    pub why: String,
}

/// One pool of servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Its name; the service's if it has its servers to itself.
    pub name: PoolName,
    /// How the next server is chosen, in the cluster file's words.
    pub balance: String,
    /// Requests or connections that wait for a server that has room.
    #[serde(default)]
    pub queued: u64,
    /// Whether the fallback is answering.
    pub fallback: bool,
    /// The servers, in the file's order.
    pub servers: Vec<ServerStatus>,
}

/// One server of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: ServerName,
    /// Where it listens.
    pub at: SocketAddr,
    /// Its share: what the operator said since the file was read, or else the file.
    pub weight: u16,
    /// What checks say.
    pub health: HealthState,
    /// What the operator wants.
    pub admin: AdminState,
    /// Why, in the operator's words; empty: he did not say.
    #[serde(default)]
    pub admin_reason: String,
    /// When it is ready again by itself; `None`: when somebody says so.
    #[serde(default)]
    pub admin_until: Option<u64>,
    /// What its agent says, in words of the agent protocol (`drain, 50%`); `None`: nothing that makes a difference.
    #[serde(default)]
    pub agent: Option<String>,
    /// Most requests or connections at a time; `None`: no limit.
    #[serde(default)]
    pub max_connections: Option<u32>,
    /// Whether it works only while no other server can.
    #[serde(default)]
    pub backup: bool,
    /// Since when `health` is so.
    pub since: u64,
    /// The evidence: what the last check that speaks for `health` saw, in words.
    pub reason: String,
    /// Connections to it now.
    pub connections: u64,
    /// Requests or connections it got since the start.
    pub requests: u64,
    /// Of them, those that failed to connect or were cut by it.
    pub failures: u64,
}

/// Asks for a group to move, `POST /v1/groups/{group}/switchover`. A field that is not known is refused: without a
/// misspelt one the wish would be another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switchover {
    /// Who shall become active; `None`: whoever is next.
    pub to: Option<NodeName>,
}

/// How a switch-over went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// Who held the group before; `None`: unknown.
    pub from: Option<NodeName>,
    /// Who holds it now.
    pub to: NodeName,
    /// How long it took as the asked node saw it, milliseconds.
    pub took_ms: u64,
}

/// Asks for a server's administrative state, its weight, or both, `POST /v1/servers/{server}`; without `pool`, in every
/// pool that has it. A field that is not known is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetServer {
    /// Only in this pool.
    pub pool: Option<PoolName>,
    /// What is wanted; `None`: as it is.
    pub admin: Option<AdminState>,
    /// With `maint`: the work that it has is cut.
    pub cut: bool,
    /// Why, for those who read the status; at most 200 characters.
    pub reason: String,
    /// With `drain` and `maint`: after so many seconds it is ready again, 1 to 31536000 (a year).
    pub for_seconds: Option<u64>,
    /// Its share from now on, 0 to 256, until the file says another, over restarts too; `None`: as it is.
    pub weight: Option<u16>,
}

/// Which servers were changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Pool and server.
    pub servers: Vec<(PoolName, ServerName)>,
}

/// The file was read again, `POST /v1/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is different since, one sentence each; empty: nothing in the file.
    pub changes: Vec<String>,
    /// What its operator should know, as `relevo check` shows it; empty: nothing.
    pub details: String,
    /// The file now.
    pub file: FileStatus,
}

/// Another process goes on, `POST /v1/upgrade`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// The process that ends when its connections have ended.
    pub from: u32,
    /// The process that goes on.
    pub to: u32,
    /// Its program.
    pub program: PathBuf,
    /// Its program's version.
    pub version: String,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// An answer with a status of 400 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong and what would be right.
    pub error: String,
    /// The mistakes of a cluster file at their places, as `relevo check` shows them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}
