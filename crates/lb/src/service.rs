//! A service as all threads see it: its table, its turn, its health and its limits.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use relevo_model::Time;
use relevo_model::cluster::{Balance, Pool, Service};
use relevo_proto::balance::{Admin, Candidate, Table, Tried};
use relevo_proto::health::State;
use tokio::sync::Notify;

use crate::counters::Counters;
use crate::snapshot::{ServerSnapshot, ServiceSnapshot};

/// What is shared between the workers, the check thread and the engine's handle.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The service as the operator wrote it.
    pub(crate) config: Service,
    /// Who answers.
    pub(crate) pool: Pool,
    /// Its place among the services.
    pub(crate) index: usize,
    /// Where it really listens.
    pub(crate) listen: Vec<SocketAddrV4>,
    /// The key of its first server in the pools; the fallback has the one after the last.
    pub(crate) first_key: usize,
    /// The Host for clients of HTTP/1.0 that send none.
    pub(crate) host: Vec<u8>,
    /// One for each worker.
    pub(crate) counters: Box<[Counters]>,
    /// Who may get new work.
    pub(crate) table: ArcSwap<Table>,
    turn: AtomicU64,
    connections: AtomicUsize,
    freed: Notify,
    servers: Mutex<Vec<ServerState>>,
}

#[derive(Clone, Debug)]
struct ServerState {
    admin: Admin,
    health: State,
    since: Time,
    reason: String,
}

impl Shared {
    pub(crate) fn new(
        config: Service,
        pool: Pool,
        index: usize,
        listen: Vec<SocketAddrV4>,
        first_key: usize,
        workers: usize,
        now: Time,
    ) -> Self {
        let server = ServerState {
            admin: Admin::Ready,
            health: State::Unknown,
            since: now,
            reason: "not checked yet".to_owned(),
        };
        let count = pool.servers.len() + 1;
        let shared = Self {
            index,
            host: listen.first().map(ToString::to_string).unwrap_or_default().into_bytes(),
            listen,
            first_key,
            counters: (0..workers).map(|_| Counters::new(count)).collect(),
            table: ArcSwap::from_pointee(Table::default()),
            turn: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            freed: Notify::new(),
            servers: Mutex::new(vec![server; pool.servers.len()]),
            config,
            pool,
        };
        shared.rebuild(&shared.lock());
        shared
    }

    /// The fallback's number: the one after the last server's.
    pub(crate) fn fallback(&self) -> u16 {
        u16::try_from(self.pool.servers.len()).unwrap_or(u16::MAX)
    }

    /// Where a server, or the fallback, listens.
    pub(crate) fn at(&self, server: u16) -> Option<SocketAddrV4> {
        match self.pool.servers.get(usize::from(server)) {
            Some(server) => Some(server.at),
            None => self.pool.fallback,
        }
    }

    /// Takes the next turn. All workers share it, so that consecutive requests go in turn.
    pub(crate) fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Who gets a request.
    pub(crate) fn choose(&self, table: &Table, turn: u64, tried: &Tried) -> Option<u16> {
        match self.pool.balance {
            Balance::LeastConn => table.least(turn, |server| self.running(server), tried),
            _ => table.in_turn(turn, tried),
        }
    }

    fn running(&self, server: u16) -> u32 {
        let of = |counters: &Counters| {
            counters.servers.get(usize::from(server)).map_or(0, |server| server.running.value())
        };
        self.counters.iter().map(of).fold(0, u32::wrapping_add)
    }

    /// Counts a client connection in; waits while there are as many as allowed. Those who wait are not read from.
    pub(crate) async fn admit(&self) {
        let mut waited = false;
        loop {
            let freed = self.freed.notified();
            let most = self.config.limits.connections;
            let free = |count| (count < most).then_some(count + 1);
            if let Ok(before) = self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free) {
                if waited && before + 1 < most {
                    // Several places became free at once, and only the first was told: pass it on.
                    self.freed.notify_one();
                }
                return;
            }
            freed.await;
            waited = true;
        }
    }

    /// Counts a client connection out.
    pub(crate) fn release(&self) {
        if self.connections.fetch_sub(1, Ordering::Relaxed) >= self.config.limits.connections {
            self.freed.notify_one();
        }
    }

    /// Notes what the checks say.
    pub(crate) fn set_health(&self, server: usize, health: State, since: Time, reason: String) {
        let mut servers = self.lock();
        if let Some(state) = servers.get_mut(server) {
            state.reason = reason;
            if state.health == health {
                return;
            }
            (state.health, state.since) = (health, since);
        }
        self.rebuild(&servers);
    }

    /// Notes what the operator wants; returns what he wanted before.
    pub(crate) fn set_admin(&self, server: usize, admin: Admin) -> Option<Admin> {
        let mut servers = self.lock();
        let before = servers.get_mut(server).map(|state| std::mem::replace(&mut state.admin, admin));
        self.rebuild(&servers);
        before
    }

    /// Whether the operator has stopped this server.
    pub(crate) fn is_stopped(&self, server: usize) -> bool {
        self.lock().get(server).is_some_and(|state| state.admin == Admin::Stop)
    }

    pub(crate) fn snapshot(&self) -> ServiceSnapshot {
        let states = self.lock().clone();
        let sum =
            |value: &dyn Fn(&Counters) -> u64| self.counters.iter().map(value).fold(0, u64::wrapping_add);
        let server = |(index, (server, state)): (usize, (&relevo_model::cluster::Server, ServerState))| {
            ServerSnapshot {
                name: server.name.clone(),
                at: server.at,
                weight: server.weight,
                health: state.health,
                admin: state.admin,
                since: state.since,
                reason: state.reason,
                connections: u64::from(self.running(u16::try_from(index).unwrap_or(u16::MAX))),
                requests: sum(&|counters| {
                    counters.servers.get(index).map_or(0, |server| server.requests.value())
                }),
                failures: sum(&|counters| {
                    counters.servers.get(index).map_or(0, |server| server.failures.value())
                }),
            }
        };
        ServiceSnapshot {
            name: self.config.name.clone(),
            mode: self.config.mode,
            listen: self.listen.clone(),
            connections: self.connections.load(Ordering::Relaxed) as u64,
            requests: sum(&|counters| counters.requests.value()),
            errors: sum(&|counters| counters.errors.value()),
            fallback: self.pool.fallback.is_some() && self.table.load().is_empty(),
            servers: self.pool.servers.iter().zip(states).enumerate().map(server).collect(),
        }
    }

    fn rebuild(&self, servers: &[ServerState]) {
        let candidate = |(server, state): (&relevo_model::cluster::Server, &ServerState)| Candidate {
            weight: server.weight,
            admin: state.admin,
            health: state.health,
        };
        let candidates: Vec<_> = self.pool.servers.iter().zip(servers).map(candidate).collect();
        self.table.store(Table::new(&candidates).into());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ServerState>> {
        // Whole values are written under it: a panic elsewhere leaves nothing half done.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const CLUSTER: &str = r#"
name = "loop"
[network.lan]
subnet = "192.168.99.0/24"
[node.lb1]
roles = ["director"]
address.lan = "192.168.99.1"
[service.web]
listen = "127.0.0.1:8000"
max_connections = 3
servers = ["192.168.99.21:80"]
"#;

    #[tokio::test(start_paused = true)]
    async fn places_that_become_free_at_once_are_all_taken() {
        let cluster = relevo_model::read(CLUSTER).cluster.unwrap();
        let (config, pool) = (cluster.services[0].clone(), cluster.pools[0].clone());
        let shared = Arc::new(Shared::new(config, pool, 0, Vec::new(), 0, 1, Time::ZERO));
        for _ in 0..3 {
            shared.admit().await;
        }
        // One for each worker.
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let shared = Arc::clone(&shared);
            waiting.spawn(async move { shared.admit().await });
        }
        tokio::task::yield_now().await;
        for _ in 0..3 {
            shared.release();
        }
        for _ in 0..3 {
            let admitted = tokio::time::timeout(Duration::from_secs(1), waiting.join_next()).await;
            assert!(admitted.is_ok(), "one waits though there is a place");
        }
        assert_eq!(shared.connections.load(Ordering::Relaxed), 3);
    }
}
