//! What a process that takes over gets from the one before it. How it gets there is not known here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use relevo_model::{PoolName, ServerName, Time};
use relevo_proto::health::agent::Report;

use crate::Health;
use crate::backend::Backend;

/// What a former process listened on, and knew.
#[derive(Debug, Default)]
pub struct Former {
    /// How many workers it had; each needs a socket of its own for each place.
    pub workers: usize,
    /// Its listening sockets, by the words of their places: as many for each as it had workers. Those that the
    /// configuration does not want are closed.
    pub sockets: BTreeMap<String, Vec<OwnedFd>>,
    /// What it knew of servers.
    pub servers: Vec<Known>,
}

/// What was known of a server. It counts for one of the same name at the same address in the same pool; checks go on from
/// there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its pool.
    pub pool: PoolName,
    /// Its name.
    pub server: ServerName,
    /// Where it listens.
    pub at: SocketAddr,
    /// What the checks said.
    pub health: Health,
    /// Whether it said to its checks that it wants no new work.
    pub leaving: bool,
    /// What its agent said, in words of the agent protocol.
    pub agent: Option<String>,
    /// Since when (`CLOCK_BOOTTIME`).
    pub since: Time,
    /// The evidence.
    pub reason: String,
    /// What the operator wanted it to weigh.
    pub weight: Option<u16>,
}

impl Known {
    /// What is known of all servers of a pool.
    pub(crate) fn all(backend: &Backend) -> impl Iterator<Item = Self> {
        let servers = backend.config.servers.iter().zip(&backend.servers);
        servers.map(|(_, server)| {
            let state = server.state().clone();
            Self {
                pool: backend.config.name.clone(),
                server: server.name.clone(),
                at: server.at,
                health: state.health,
                leaving: state.leaving,
                agent: state.agent.words(),
                since: state.since,
                reason: state.reason,
                weight: state.weight,
            }
        })
    }

    /// Tells the server that this is about, if it is here.
    pub(crate) fn tell(&self, backend: &Backend) {
        if backend.config.name != self.pool {
            return;
        }
        let servers = backend.servers.iter().take(backend.config.servers.len());
        for server in servers.filter(|server| server.name == self.server && server.at == self.at) {
            let mut state = server.state();
            (state.health, state.since, state.weight) = (self.health, self.since, self.weight);
            state.reason.clone_from(&self.reason);
            // Else one bad check would take it down, or one good one bring it up.
            state.checks = (self.health, self.reason.clone());
            state.leaving = self.leaving;
            let said = self.agent.as_deref().map(|words| Report::parse(words.as_bytes()));
            if let Some(Ok(report)) = said {
                state.agent.follow(report);
            }
        }
    }
}
