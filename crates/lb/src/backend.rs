//! A pool at run time, as all threads see it: its servers, who of them may get work, and whose turn it is.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use relevo_model::cluster::{Balance, Pool};
use relevo_model::{ServerName, Time};
use relevo_proto::balance::{self, Admin, Ask, Candidate, Table, Tried};
use relevo_proto::health::State;
use relevo_proto::persistence::Cookies;

use crate::counters::{Gauge, ServerCounters, Times};
use crate::figures::Figures;
use crate::persist::AffinityTable;
use crate::server::Server;
use crate::snapshot::{PoolSnapshot, ServerSnapshot};
use crate::tls::Origination;

/// A worker's gauge, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Running(Gauge);

/// A pool in one configuration; the next configuration makes a new one that goes on with the servers that stay.
#[derive(Debug)]
pub(crate) struct Backend {
    /// The pool as the operator wrote it.
    pub(crate) config: Pool,
    /// The servers in the file's order; behind them the fallback, if there is one.
    pub(crate) servers: Box<[Arc<Server>]>,
    /// Who may get new work.
    pub(crate) table: ArcSwap<Table>,
    /// How connections to its servers are made, and those of checks.
    pub(crate) tls: BackendTls,
    /// How clients are told whose they are.
    pub(crate) cookies: Option<Cookies>,
    /// The clients that are known.
    pub(crate) affinity: Option<Arc<AffinityTable>>,
    turn: Arc<AtomicU64>,
    /// What each worker is working on.
    running: Arc<[Running]>,
    /// Makes random numbers out of turns.
    seed: u64,
    /// Held while a server's state changes and the table is made, so that an older one never replaces a newer one.
    making: Mutex<()>,
}

/// TLS with the servers of a pool; `None`: there is none.
#[derive(Debug, Default)]
pub(crate) struct BackendTls {
    /// For clients' connections.
    pub(crate) traffic: Option<Arc<Origination>>,
    /// For checks.
    pub(crate) checks: Option<Arc<Origination>>,
}

impl Backend {
    /// The pool, going on where a former one of its name is. `id` gives numbers that nobody has; `wish` says what the
    /// operator wants of a server that is new.
    pub(crate) fn new(
        config: Pool,
        tls: BackendTls,
        former: Option<&Self>,
        workers: usize,
        now: Time,
        mut id: impl FnMut() -> u64,
        wish: impl Fn(&ServerName) -> Admin,
    ) -> Self {
        let mut servers: Vec<Arc<Server>> = Vec::with_capacity(config.servers.len() + 1);
        let wanted = config.servers.iter().map(|server| (server.name.clone(), server.at));
        let fallback = config.fallback.map(|at| ("fallback".into(), at));
        for (place, (name, at)) in wanted.chain(fallback).enumerate() {
            let is_server = place < config.servers.len();
            let before = former.and_then(|former| match is_server {
                true => former.of_name(&name),
                false => former.fallback().and_then(|place| former.server(place)),
            });
            servers.push(match before {
                Some(before) if before.at == at => Arc::clone(before),
                _ => {
                    let admin = if is_server { wish(&name) } else { Admin::Ready };
                    Arc::new(Server::new(id(), name, at, admin, workers, now))
                }
            });
        }
        let turn = former.map_or_else(Arc::default, |former| Arc::clone(&former.turn));
        let running = former.map_or_else(
            || (0..workers).map(|_| Running::default()).collect(),
            |former| Arc::clone(&former.running),
        );
        let backend = Self {
            cookies: config.cookie.as_ref().map(|cookie| {
                Cookies::new(cookie, config.servers.iter().map(|server| server.cookie.as_str()))
            }),
            affinity: config.affinity.as_ref().map(|affinity| {
                let former = former.and_then(|former| {
                    let same =
                        former.config.affinity.as_ref().is_some_and(|before| before.key == affinity.key);
                    former.affinity.as_ref().filter(|_| same)
                });
                match former {
                    Some(table) if table.resize(affinity) => Arc::clone(table),
                    Some(_) | None => Arc::new(AffinityTable::new(affinity)),
                }
            }),
            seed: RandomState::new().hash_one(0),
            config,
            servers: servers.into(),
            table: ArcSwap::from_pointee(Table::default()),
            tls,
            turn,
            running,
            making: Mutex::new(()),
        };
        backend.rebuild();
        backend
    }

    /// The fallback's number: the one after the last server's.
    pub(crate) fn fallback(&self) -> Option<u16> {
        self.config.fallback.and(u16::try_from(self.config.servers.len()).ok())
    }

    /// A server, or the fallback, by its number.
    pub(crate) fn server(&self, number: u16) -> Option<&Arc<Server>> {
        self.servers.get(usize::from(number))
    }

    /// Requests or connections that are being worked on.
    pub(crate) fn running(&self) -> u32 {
        self.running.iter().map(|one| one.0.value()).fold(0, u32::wrapping_add)
    }

    /// The same of one worker.
    pub(crate) fn running_of(&self, worker: usize) -> &Gauge {
        // One for each worker was made.
        &self.running[worker].0
    }

    /// The number of the server with this id.
    pub(crate) fn number(&self, id: u64) -> Option<u16> {
        let servers = self.servers.iter().take(self.config.servers.len());
        (0..u16::MAX).zip(servers).find(|(_, server)| server.id == id).map(|(number, _)| number)
    }

    /// Takes the next turn. All workers share it, so that consecutive requests go in turn.
    pub(crate) fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Who gets a request.
    pub(crate) fn choose(&self, turn: u64, hash: Option<u64>, tried: &Tried) -> Option<u16> {
        let load = |number| self.server(number).map_or(0, |server| server.running());
        let random = balance::mix(turn ^ self.seed);
        self.table.load().choose(&Ask { turn, random, hash, load, tried }).server()
    }

    /// Notes what the checks say.
    pub(crate) fn set_health(&self, server: &Server, health: State, since: Time, reason: String) {
        let making = self.making();
        let mut state = server.state();
        state.reason = reason;
        if state.health != health {
            let lasted = since.since(state.since);
            match (state.health, health) {
                (State::Down, _) => state.downtime += lasted,
                (_, State::Down) => state.downs += 1,
                (State::Up | State::Unknown, _) => {}
            }
            (state.health, state.since) = (health, since);
            drop(state);
            self.make(&making);
        }
    }

    /// Notes what the operator wants; returns what he wanted before.
    pub(crate) fn set_admin(&self, server: &Server, admin: Admin) -> Admin {
        let making = self.making();
        let before = std::mem::replace(&mut server.state().admin, admin);
        self.make(&making);
        before
    }

    /// Makes the table from what is known of the servers now.
    pub(crate) fn rebuild(&self) {
        self.make(&self.making());
    }

    fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, _: &MutexGuard<'_, ()>) {
        let candidates: Vec<_> = self
            .config
            .servers
            .iter()
            .zip(&self.servers)
            .map(|(config, server)| {
                let state = server.state();
                Candidate {
                    // Others wait for nobody.
                    most: config.max_connections.filter(|_| self.config.balance == Balance::First),
                    backup: config.backup,
                    admin: state.admin,
                    health: state.health,
                    ..Candidate::new(&config.name, config.weight)
                }
            })
            .collect();
        self.table.store(Table::new(&candidates, &self.config.balance, self.config.all_backups).into());
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        let now = crate::clock::now();
        let mut figures = Figures::default();
        for server in &self.servers {
            figures.add(&ServerCounters::figures(&server.counters));
        }
        let times = self.servers.iter().flat_map(|server| server.counters.iter().map(|one| &one.times));
        figures.averages = Times::averages(times);
        figures.most =
            u64::from(self.running.iter().map(|one| one.0.most()).max().unwrap_or(0)).max(figures.current);
        // Whoever reads that a server is up may rely on its getting work.
        let _making = self.making();
        let servers = self.config.servers.iter().zip(&self.servers).map(|(config, server)| {
            let state = server.state().clone();
            ServerSnapshot {
                name: server.name.clone(),
                at: server.at,
                weight: config.weight,
                health: state.health,
                admin: state.admin,
                since: state.since,
                reason: state.reason,
                connections: u64::from(server.running()),
                requests: server.sum(|counters| counters.requests.value()),
                failures: server.sum(|counters| counters.failures.value()),
                backup: config.backup,
                limit: config.max_connections,
                check_failures: state.check_failures,
                downs: state.downs,
                downtime: state.downtime
                    + match state.health {
                        State::Down => now.since(state.since),
                        State::Up | State::Unknown => Duration::ZERO,
                    },
                figures: ServerCounters::figures(&server.counters),
            }
        });
        PoolSnapshot {
            name: self.config.name.clone(),
            balance: self.config.balance.clone(),
            fallback: self.config.fallback.is_some() && self.table.load().is_empty(),
            figures,
            servers: servers.collect(),
        }
    }

    fn of_name(&self, name: &str) -> Option<&Arc<Server>> {
        self.servers.iter().take(self.config.servers.len()).find(|server| *server.name == *name)
    }
}
