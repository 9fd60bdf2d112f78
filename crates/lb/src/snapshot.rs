//! What the engine tells about itself.

use std::net::SocketAddr;
use std::time::Duration;

use relevo_model::cluster::{Balance, Mode};
use relevo_model::{PoolName, ServerName, ServiceName, Time};

use crate::{Admin, CertificateSnapshot, Figures, Health, WorkerSnapshot};

/// Everything at one moment, in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The services.
    pub services: Vec<ServiceSnapshot>,
    /// The pools.
    pub pools: Vec<PoolSnapshot>,
    /// The worker threads.
    pub workers: Vec<WorkerSnapshot>,
    /// Lines of the access log that could not be written since it is there.
    pub lost_lines: u64,
}

/// A server's part of its pool's work at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Where it listens.
    pub at: SocketAddr,
    /// Its part beside the others', in sixteenths of a weight of 1; at least 1.
    pub share: u32,
    /// Whether it may get new work.
    pub open: bool,
    /// Whether it may keep the work that it has.
    pub keeps: bool,
}

/// One service at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSnapshot {
    /// Its name.
    pub name: ServiceName,
    /// How it looks at the traffic.
    pub mode: Mode,
    /// The pool that answers unless a rule says otherwise.
    pub pool: PoolName,
    /// Where it listens; a port 0 of the file is the one that the kernel chose.
    pub listen: Vec<SocketAddr>,
    /// Client connections now.
    pub connections: u64,
    /// Requests (mode `http`) or connections (mode `tcp`) since the start.
    pub requests: u64,
    /// Of them, those that the balancer itself answered with an error, or had to close.
    pub errors: u64,
    /// Most client connections at a time.
    pub limit: u64,
    /// All that is counted.
    pub figures: Figures,
    /// The certificates that clients may get.
    pub certificates: Vec<CertificateSnapshot>,
}

/// One pool at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSnapshot {
    /// Its name.
    pub name: PoolName,
    /// How the next server is chosen.
    pub balance: Balance,
    /// Since when any server may get new work, or none (`CLOCK_BOOTTIME`).
    pub since: Time,
    /// Times that the last server went that could work.
    pub downs: u64,
    /// How long none could, up to now.
    pub downtime: Duration,
    /// Requests or connections that wait for a server.
    pub queued: u64,
    /// Whether the fallback is answering: there is one, and no server may get new work.
    pub fallback: bool,
    /// All that is counted: the sum of the servers, and of the fallback.
    pub figures: Figures,
    /// The servers, in the file's order.
    pub servers: Vec<ServerSnapshot>,
}

/// One server of a pool at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSnapshot {
    /// Its name.
    pub name: ServerName,
    /// Where it listens.
    pub at: SocketAddr,
    /// Its share: what the operator said, or else the file.
    pub weight: u16,
    /// As much of it as its agent and a slow start leave: what it has beside the others.
    pub effective: u16,
    /// What checks say.
    pub health: Health,
    /// What the operator wants.
    pub admin: Admin,
    /// What the operator, its agent and itself want together: the least work.
    pub wanted: Admin,
    /// Whether it says to its checks that it wants no new work (`disable_on_404`).
    pub leaving: bool,
    /// Checks in a row that speak against `health`: so many of `fall` or `rise` were made.
    pub against: u32,
    /// What its agent says, in words of the agent protocol; `None`: nothing that makes a difference.
    pub agent: Option<String>,
    /// Since when `health` is so (`CLOCK_BOOTTIME`).
    pub since: Time,
    /// The evidence: what the last check that speaks for `health` saw, in words.
    pub reason: String,
    /// Requests (mode `http`) or connections (mode `tcp`) that it is working on.
    pub connections: u64,
    /// Requests or connections that it got since the start.
    pub requests: u64,
    /// Of them, those that could not connect or were cut by it.
    pub failures: u64,
    /// Whether it is one of the backups.
    pub backup: bool,
    /// Most requests or connections at a time; `None`: no limit.
    pub limit: Option<u32>,
    /// Checks that failed while it was not down.
    pub check_failures: u64,
    /// Times that it went down.
    pub downs: u64,
    /// How long it was down, up to now.
    pub downtime: Duration,
    /// All that is counted.
    pub figures: Figures,
}
