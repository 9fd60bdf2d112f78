//! What the kernel did for connections that go past the process.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use relevo_model::ServiceName;
use serde::{Deserialize, Serialize};

use super::ServicePath;

/// What the kernel's path has counted, `GET /v1/flows`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStatus {
    /// The services that take it.
    pub services: Vec<ServiceFlows>,
    /// The services of mode `tcp` and `udp` that do not, and why.
    pub userspace: BTreeMap<ServiceName, ServicePath>,
    /// Pieces of packets that were refused.
    pub fragments: u64,
}

/// A service of the kernel's path. Counters begin when its rules are set up, with each start of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFlows {
    /// Its name.
    pub name: ServiceName,
    /// Where clients ask.
    pub at: SocketAddr,
    /// Flows that this director remembers.
    pub pins: u64,
    /// What came from clients.
    pub from_clients: Passed,
    /// Packets of flows that it did not remember. Mode `udp`: new flows too.
    pub guesses: u64,
    /// Resets of servers that did not know a flow; the next one is asked.
    pub heals: u64,
    /// Resets of servers whose flow it was not; dropped.
    pub stale: u64,
    /// Packets that nobody could have.
    pub refused: u64,
    /// ICMP errors about its packets that were led to servers.
    #[serde(default)]
    pub errors: u64,
    /// How packets get to servers: `nat`, `nat, source ADDRESS`, `nat, synproxy` or `direct`.
    #[serde(default)]
    pub form: String,
    /// The servers.
    pub servers: Vec<ServerFlows>,
}

/// A server of a service of the kernel's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFlows {
    /// Where it listens.
    pub at: SocketAddr,
    /// Flows that this director remembers.
    pub pins: u64,
    /// What went to it.
    pub sent: Passed,
    /// What came from it.
    pub received: Passed,
}

/// What has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Packets.
    pub packets: u64,
    /// Bytes, IP headers among them.
    pub bytes: u64,
}
