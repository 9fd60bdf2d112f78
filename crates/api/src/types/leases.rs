//! What DHCP gave away, and how DHCP and DNS are.

use std::net::IpAddr;

use relevo_model::NetworkName;
use serde::{Deserialize, Serialize};

/// What is with an address that DHCP gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseKind {
    /// A machine has it.
    Bound,
    /// Somebody who was not asked uses it; it is left alone for a while.
    Declined,
    /// The lease has ended; the machine gets the same address if it asks again.
    Ended,
}

/// An address that DHCP gave, `GET /v1/leases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// The network.
    pub network: NetworkName,
    /// The address.
    pub ip: std::net::Ipv4Addr,
    /// The hardware address that has or had it.
    pub mac: String,
    /// What the machine is called; empty: it has no name.
    pub name: String,
    /// What is with it.
    pub kind: LeaseKind,
    /// When that ends, or ended.
    pub until: u64,
    /// Whether the cluster file gives it to this machine.
    pub fixed: bool,
}

/// DHCP on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpStatus {
    /// The network.
    pub network: NetworkName,
    /// Whether this director answers clients now.
    pub answering: bool,
    /// Addresses that machines have.
    pub bound: usize,
    /// Addresses for whoever asks.
    pub room: usize,
}

/// DNS of this node. Counts are since its process started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsStatus {
    /// Where it answers.
    pub listen: Vec<IpAddr>,
    /// Questions.
    pub asked: u64,
    /// Answered from the cluster file and leases.
    pub own: u64,
    /// Answered with what others said before.
    pub cached: u64,
    /// Asked elsewhere.
    pub forwarded: u64,
    /// Asked elsewhere, and nobody answered.
    pub failed: u64,
    /// Not answered: not allowed, too many, or no DNS.
    pub dropped: u64,
}
