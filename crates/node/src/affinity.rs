//! Answers about the tables of clients and their servers.

use std::time::Duration;

use relevo_api::server::Refusal;
use relevo_api::types::{AffinityClient, AffinityClients, AffinityStatus, Forgotten};
use relevo_lb::{ClientSnapshot, Engine, TableSnapshot, Which};
use relevo_model::cluster::AffinityKey;
use relevo_model::{ClusterFile, PoolName};

use crate::control::listed;

/// Clients of a table that are shown unless said, and at most.
const SHOWN: usize = 1000;
const MOST_SHOWN: usize = 100_000;

/// The tables that are meant.
pub(crate) fn tables(
    engine: &Engine,
    cluster: &ClusterFile,
    which: &AffinityClients,
) -> Result<Vec<AffinityStatus>, Refusal> {
    let most = which.most.unwrap_or(SHOWN).min(MOST_SHOWN);
    let pools = pools(cluster, which)?;
    let meant = meant(which);
    Ok(pools.iter().filter_map(|pool| engine.table(pool, meant, most)).map(status).collect())
}

/// Forgets the clients that are meant.
pub(crate) fn forget(
    engine: &Engine,
    cluster: &ClusterFile,
    which: &AffinityClients,
) -> Result<Forgotten, Refusal> {
    let meant = meant(which);
    let mut forgotten = Vec::new();
    for pool in pools(cluster, which)? {
        if let Some(count) = engine.forget(&pool, meant) {
            tracing::info!(%pool, "the operator has {count} clients of {pool} forgotten");
            forgotten.push((pool, count));
        }
    }
    Ok(Forgotten { pools: forgotten })
}

fn meant(which: &AffinityClients) -> Which<'_> {
    Which { key: which.key.as_deref(), server: which.server.as_ref().map(|server| server.as_str()) }
}

/// The pools with a table, as far as they are meant.
fn pools(cluster: &ClusterFile, which: &AffinityClients) -> Result<Vec<PoolName>, Refusal> {
    let used = match &which.service {
        None => None,
        Some(name) => {
            let Some(service) = cluster.services.iter().find(|service| service.name == *name) else {
                let there = listed("service", cluster.services.iter().map(|service| service.name.as_str()));
                return Err(Refusal::Unknown(format!("there is no service {name:?}; {there}")));
            };
            Some(service.pools())
        }
    };
    let with_table: Vec<&PoolName> =
        cluster.pools.iter().filter(|pool| pool.affinity.is_some()).map(|pool| &pool.name).collect();
    if let Some(pool) = &which.pool
        && !with_table.contains(&pool)
    {
        let there = listed("pool", with_table.iter().map(|pool| pool.as_str()));
        return Err(Refusal::Unknown(format!("no pool {pool:?} has an affinity table; {there} with one")));
    }
    let is_meant = |pool: &&PoolName| {
        which.pool.as_ref().is_none_or(|only| only == *pool)
            && used.as_ref().is_none_or(|used| used.contains(pool))
    };
    Ok(with_table.into_iter().filter(is_meant).cloned().collect())
}

fn status(table: TableSnapshot) -> AffinityStatus {
    let TableSnapshot { pool, by, size, expire, known, found, clients } = table;
    let clients = clients.into_iter().map(|client| {
        let ClientSnapshot { key, server, idle } = client;
        AffinityClient { key, server, idle_ms: ms(idle), left_ms: ms(expire.saturating_sub(idle)) }
    });
    let by = match by {
        AffinityKey::Source => "source".to_owned(),
        AffinityKey::Header(name) => format!("header {name}"),
        AffinityKey::Cookie(name) => format!("cookie {name}"),
    };
    AffinityStatus { pool, by, size, expire_ms: ms(expire), known, found, clients: clients.collect() }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
