//! The tables of clients and their servers.

use relevo_model::{PoolName, ServerName, ServiceName};
use serde::{Deserialize, Serialize};

/// Which clients are meant, `POST /v1/affinity` and `POST /v1/affinity/clear`. What is left out means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AffinityClients {
    /// Those of this pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// Those of the pools that this service uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The one that is known by this, as it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Those who belong to this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
    /// How many are shown of each table, those who came last first; 1000 unless said, at most 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<usize>,
}

/// A pool's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AffinityStatus {
    /// The pool.
    pub pool: PoolName,
    /// What clients are known by: `source`, `header NAME` or `cookie NAME`.
    pub by: String,
    /// Most clients in it.
    pub size: u32,
    /// How long a client is known that does not come, milliseconds.
    pub expire_ms: u64,
    /// Clients in it now.
    pub known: usize,
    /// How many of them were meant.
    pub found: usize,
    /// Of these, those that are shown.
    pub clients: Vec<AffinityClient>,
}

/// A client and its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AffinityClient {
    /// What it is known by.
    pub key: String,
    /// Its server; nothing: that one is not in the pool any more.
    pub server: Option<ServerName>,
    /// How long ago it came, milliseconds.
    pub idle_ms: u64,
    /// How long it is known yet, milliseconds.
    pub left_ms: u64,
}

/// What was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// How many clients of which pool.
    pub pools: Vec<(PoolName, usize)>,
}
