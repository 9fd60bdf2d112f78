//! What a node says of the balancer: services, pools and their servers.

use std::net::SocketAddr;

use relevo_model::cluster::Mode;
use relevo_model::{PoolName, ServerName, ServiceName};
use serde::{Deserialize, Serialize};

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

/// What the operator wants of a server, the least work last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// What the operator, its agent and the server itself (`disable_on_404`) want together: the least work.
    #[serde(default)]
    pub wanted: AdminState,
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

impl ServerStatus {
    /// What is wanted of it, whoever wants it. A node of an older version says only what the operator wants.
    pub fn wanted(&self) -> AdminState {
        self.wanted.max(self.admin)
    }
}
