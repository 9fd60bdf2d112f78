//! What an operator sees of the tables of clients and their servers, and forgets of them.

use std::time::Duration;

use relevo_model::cluster::AffinityKey;
use relevo_model::{PoolName, ServerName};
use relevo_proto::persistence::Entry;

use crate::backend::Backend;
use crate::clock;
use crate::engine::Engine;

/// Which clients are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Which<'a> {
    /// The one that is known by this, as it is shown.
    pub key: Option<&'a str>,
    /// Those who belong to this server.
    pub server: Option<&'a str>,
}

/// A pool's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSnapshot {
    /// The pool.
    pub pool: PoolName,
    /// What clients are known by.
    pub by: AffinityKey,
    /// Most clients in it.
    pub size: u32,
    /// How long a client is known that does not come.
    pub expire: Duration,
    /// Clients in it now.
    pub known: usize,
    /// How many of them are meant.
    pub found: usize,
    /// Of these, so many as were wanted, those who came last first.
    pub clients: Vec<ClientSnapshot>,
}

/// A client and its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSnapshot {
    /// What it is known by.
    pub key: String,
    /// Its server; `None`: that one is not in the pool any more.
    pub server: Option<ServerName>,
    /// How long ago it came.
    pub idle: Duration,
}

impl Engine {
    /// The table of a pool with at most so many clients; `None`: it has none, or there is no such pool.
    pub fn table(&self, pool: &str, which: Which<'_>, most: usize) -> Option<TableSnapshot> {
        let generation = self.generation();
        let backend = generation.backends.iter().find(|backend| *backend.config.name == *pool)?;
        let (config, table) = (backend.config.affinity.as_ref()?, backend.affinity.as_ref()?);
        let now = clock::now();
        let mut entries = table.entries(now);
        let known = entries.len();
        entries.retain(|entry| is_meant(backend, which, entry));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        let found = entries.len();
        let clients = entries.iter().take(most).map(|entry| ClientSnapshot {
            key: entry.key.to_string(),
            server: name(backend, entry).cloned(),
            idle: now.since(entry.used),
        });
        Some(TableSnapshot {
            pool: backend.config.name.clone(),
            by: config.key.clone(),
            size: config.size,
            expire: config.expire,
            known,
            found,
            clients: clients.collect(),
        })
    }

    /// Forgets clients of a pool: they get a server anew when they come again. How many; `None`: it has no table, or there is
    /// no such pool. What is under way goes on.
    pub fn forget(&self, pool: &str, which: Which<'_>) -> Option<usize> {
        let generation = self.generation();
        let backend = generation.backends.iter().find(|backend| *backend.config.name == *pool)?;
        Some(backend.affinity.as_ref()?.forget(clock::now(), |entry| is_meant(backend, which, entry)))
    }
}

fn name<'a>(backend: &'a Backend, entry: &Entry) -> Option<&'a ServerName> {
    Some(&backend.server(backend.number(entry.server)?)?.name)
}

fn is_meant(backend: &Backend, which: Which<'_>, entry: &Entry) -> bool {
    which.server.is_none_or(|server| name(backend, entry).is_some_and(|name| **name == *server))
        && which.key.is_none_or(|key| entry.key.to_string() == key)
}
