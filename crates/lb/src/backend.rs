//! A pool at run time, as all threads see it: its servers, who of them may get work, and whose turn it is.

mod standing;
#[cfg(test)]
mod tests;
mod warmth;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use relevo_model::cluster::{CheckKind, Pool};
use relevo_model::{ServerName, Time};
use relevo_proto::balance::{self, Admin, Ask, Candidate, Choice, Table, Tried};
use relevo_proto::health::State;
use relevo_proto::health::agent::Agent;
use relevo_proto::persistence::Cookies;

use crate::bell::Bell;
use crate::counters::{Gauge, ServerCounters, Times};
use crate::figures::Figures;
use crate::persist::AffinityTable;
use crate::queue::Queue;
use crate::server::Server;
use crate::snapshot::{PoolSnapshot, ServerSnapshot, Share};
use crate::tls::Origination;
use standing::Standing;

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
    /// Who waits for a place.
    pub(crate) queue: Arc<Queue>,
    turn: Arc<AtomicU64>,
    /// Whether any server could get new work when that was last looked at; a change is logged.
    could_work: AtomicBool,
    /// The same over all its configurations, for statistics.
    standing: Arc<Mutex<Standing>>,
    /// When a slow start takes its next step, nanoseconds since boot; `u64::MAX`: there is none.
    step: AtomicU64,
    /// What each worker is working on.
    running: Arc<[Running]>,
    /// Makes random numbers out of turns.
    seed: u64,
    /// Rung when the table is another one.
    pub(crate) bell: Arc<Bell>,
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

/// Most servers that are named when none is left.
const MOST_NAMED: usize = 8;

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
                    let server = Server::new(id(), name, at, admin, workers, now);
                    if is_server && config.check.kind == CheckKind::None {
                        server.state().trust(now);
                    }
                    Arc::new(server)
                }
            });
        }
        let turn = former.map_or_else(Arc::default, |former| Arc::clone(&former.turn));
        let queue = former.map_or_else(Arc::default, |former| Arc::clone(&former.queue));
        let running = former.map_or_else(
            || (0..workers).map(|_| Running::default()).collect(),
            |former| Arc::clone(&former.running),
        );
        let could_work = former.map_or(!config.servers.is_empty(), Self::can_work);
        let standing = former.map_or_else(
            || Arc::new(Mutex::new(Standing::new(now, could_work))),
            |former| Arc::clone(&former.standing),
        );
        let backend = Self {
            could_work: AtomicBool::new(could_work),
            standing,
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
            bell: Arc::default(),
            config,
            servers: servers.into(),
            table: ArcSwap::from_pointee(Table::default()),
            tls,
            queue,
            turn,
            step: AtomicU64::new(u64::MAX),
            running,
            making: Mutex::new(()),
        };
        backend.table.store(backend.make(now).into());
        let servers = &backend.servers;
        backend.queue.keep_only(|id| servers.iter().any(|server| server.id == id));
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
    pub(crate) fn choose(&self, turn: u64, hash: Option<u64>, tried: &Tried) -> Choice {
        let load = |number| self.server(number).map_or(0, |server| server.running());
        let random = balance::mix(turn ^ self.seed);
        self.table.load().choose(&Ask { turn, random, hash, load, tried })
    }

    /// Whether any server may get new work. The fallback is none.
    pub(crate) fn can_work(&self) -> bool {
        !self.table.load().is_empty()
    }

    /// Makes room at a server: `None`, it has none, or others wait already; `Some(true)`: a place was taken;
    /// `Some(false)`: its places are not counted.
    pub(crate) fn place(&self, number: u16) -> Option<bool> {
        let server = self.server(number)?;
        if !server.is_limited() {
            return Some(false);
        }
        (self.queue.len() == 0 && server.take()).then_some(true)
    }

    /// Gives what is free to those who wait.
    pub(crate) fn offer_all(&self) {
        self.servers.iter().take(self.config.servers.len()).for_each(|server| self.queue.offer(server));
    }

    /// Notes what the checks say. What it was and is, if it is not the same.
    pub(crate) fn set_health(
        &self,
        server: &Server,
        (health, leaving): (State, bool),
        now: Time,
        reason: String,
    ) -> Option<(State, State)> {
        let making = self.making();
        let mut state = server.state();
        state.checks = (health, reason);
        let before = std::mem::replace(&mut state.leaving, leaving);
        let changed = state.settle(now);
        drop(state);
        if changed.is_some() || before != leaving {
            self.publish(&making, now);
        }
        changed
    }

    /// Notes that nobody is checked. All at once: the first one that is up would get everything until the next one is, too.
    /// Those whose health is not what it was, and what that was.
    pub(crate) fn trust_all(&self, now: Time) -> Vec<(&Arc<Server>, State, State)> {
        let making = self.making();
        let servers = self.servers.iter().take(self.config.servers.len());
        let changed = servers.filter_map(|server| {
            let (from, to) = server.state().trust(now)?;
            Some((server, from, to))
        });
        let changed: Vec<_> = changed.collect();
        self.publish(&making, now);
        changed
    }

    /// Notes what the server's agent says. What its health was and is, if it is not the same.
    pub(crate) fn set_agent(&self, server: &Server, agent: Agent, now: Time) -> Option<(State, State)> {
        let making = self.making();
        let mut state = server.state();
        let before = state.admin();
        state.agent = agent;
        if before == Admin::Maint && state.admin() != Admin::Maint {
            state.back = Some(now);
        }
        let changed = state.settle(now);
        drop(state);
        self.publish(&making, now);
        changed
    }

    /// Notes what the operator wants.
    pub(crate) fn set_admin(&self, server: &Server, admin: Admin, now: Time) {
        let making = self.making();
        let mut state = server.state();
        if std::mem::replace(&mut state.admin, admin) == Admin::Maint && admin != Admin::Maint {
            state.back = Some(now);
        }
        drop(state);
        self.publish(&making, now);
    }

    /// Notes what the operator wants it to weigh; `None`: what the file says.
    pub(crate) fn set_weight(&self, server: &Server, weight: Option<u16>, now: Time) {
        let making = self.making();
        server.state().weight = weight;
        self.publish(&making, now);
    }

    /// What the operator wants a server to weigh that the next configuration has, too; `None`: nothing, or the file says
    /// another weight now, which is the newer word.
    pub(crate) fn weight_beside(&self, next: &relevo_model::cluster::Server) -> Option<u16> {
        let mut servers = self.config.servers.iter().zip(&self.servers);
        let (_, server) =
            servers.find(|(before, _)| before.name == next.name && before.weight == next.weight)?;
        server.state().weight
    }

    /// When [`Self::rebuild`] would say something else by itself.
    pub(crate) fn next_step(&self) -> Option<Time> {
        let at = self.step.load(Ordering::Relaxed);
        (at != u64::MAX).then(|| Time::from_nanos(at))
    }

    /// Makes the table from what is known of the servers now.
    pub(crate) fn rebuild(&self, now: Time) {
        self.publish(&self.making(), now);
    }

    fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody see the table of now, and those who wait what it means for them.
    fn publish(&self, _: &MutexGuard<'_, ()>, now: Time) {
        let table = self.make(now);
        let is_empty = table.is_empty();
        let servers = self.config.servers.iter().zip(&self.servers);
        for (number, (config, server)) in (0..).zip(servers.clone()) {
            server.set_most(self.most_now(config, &server.state(), now));
            server.set_open(table.contains(number), table.keeps(number));
        }
        let could_work = self.could_work.swap(!is_empty, Ordering::Relaxed);
        self.standing().turn(!is_empty, now);
        self.table.store(table.into());
        self.bell.ring();
        match (could_work, !is_empty) {
            (true, false) => {
                tracing::error!("pool {} has no server left: {}", self.config.name, self.why_none())
            }
            (false, true) => tracing::info!("pool {} has a server again", self.config.name),
            (false, false) | (true, true) => {}
        }
        for (_, server) in servers.filter(|(_, server)| !server.is_open(true)) {
            self.queue.dissolve_bound(server);
        }
        if is_empty {
            self.queue.dissolve();
        } else {
            self.offer_all();
        }
    }

    /// Why no server may get work, in words; of many servers the first ones.
    fn why_none(&self) -> String {
        let servers = self.config.servers.iter().zip(&self.servers);
        let words = servers.take(MOST_NAMED).map(|(config, server)| {
            let state = server.state();
            let name = &config.name;
            match (state.admin(), state.health) {
                (Admin::Maint, _) => format!("{name} is in maintenance"),
                (_, State::Down) => format!("{name} is down ({})", state.reason),
                (Admin::Drain, _) if state.leaving => format!("{name} is leaving ({})", state.reason),
                (Admin::Drain, _) => format!("{name} is drained"),
                (Admin::Ready, State::Up | State::Unknown) => format!("{name} has no weight"),
            }
        });
        let mut words: Vec<_> = words.collect();
        if let Some(more @ 1..) = self.config.servers.len().checked_sub(MOST_NAMED) {
            words.push(format!("and {more} more"));
        }
        words.push(
            if self.config.fallback.is_some() { "the fallback answers" } else { "nobody answers" }.to_owned(),
        );
        words.join("; ")
    }

    fn make(&self, now: Time) -> Table {
        let mut step: Option<Time> = None;
        let candidates: Vec<_> = self
            .config
            .servers
            .iter()
            .zip(&self.servers)
            .map(|(config, server)| {
                let state = server.state();
                let (percent, next) = self.warmth(&state, now);
                step = step.into_iter().chain(next).min();
                // What the agent says is of the whole weight.
                let said = u32::from(state.agent.percent.unwrap_or(100));
                let share = (u32::from(percent) * said).div_ceil(100);
                Candidate {
                    percent: u16::try_from(share).unwrap_or(u16::MAX),
                    most: self.most_now(config, &state, now),
                    backup: config.backup,
                    admin: state.admin(),
                    health: state.health,
                    ..Candidate::new(&config.name, state.weight.unwrap_or(config.weight))
                }
            })
            .collect();
        self.step.store(step.map_or(u64::MAX, Time::as_nanos), Ordering::Relaxed);
        Table::new(&candidates, &self.config.balance, self.config.all_backups)
    }

    /// The parts of its servers, in the file's order.
    pub(crate) fn shares(&self) -> Vec<Share> {
        let table = self.table.load();
        let servers = (0..).zip(&self.config.servers);
        let share = servers.map(|(number, config): (u16, &relevo_model::cluster::Server)| {
            // Who gets nothing new keeps its place beside the others.
            let whole = config.weight.saturating_mul(16).max(1);
            Share {
                at: config.at,
                share: u32::from(table.share(number).unwrap_or(whole).max(1)),
                open: table.contains(number),
                keeps: table.keeps(number),
            }
        });
        share.collect()
    }

    /// How many wait for this server alone, because they are bound to it, or for whoever is free; and the most at a time.
    fn waits(&self, only: Option<u64>) -> (u64, u64) {
        let waits = self.queue.waits(only);
        (waits.now as u64, waits.most as u64)
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        let now = crate::clock::now();
        let mut figures = Figures::default();
        for server in &self.servers {
            figures.add(&ServerCounters::figures(&server.counters));
        }
        let times = self.servers.iter().flat_map(|server| server.counters.iter().map(|one| &one.times));
        figures.averages = Times::averages(times);
        (figures.queue, figures.queue_most) = self.waits(None);
        figures.most =
            u64::from(self.running.iter().map(|one| one.0.most()).max().unwrap_or(0)).max(figures.current);
        // Whoever reads that a server is up may rely on its getting work.
        let _making = self.making();
        let servers = self.config.servers.iter().zip(&self.servers).map(|(config, server)| {
            let state = server.state().clone();
            ServerSnapshot {
                name: server.name.clone(),
                at: server.at,
                weight: state.weight.unwrap_or(config.weight),
                effective: self.weighs_now(state.weight.unwrap_or(config.weight), &state, now),
                health: state.health,
                admin: state.admin,
                wanted: state.admin(),
                leaving: state.leaving,
                // Checks do not decide while its agent says that it is down.
                against: if state.agent.down.is_some() { 0 } else { state.against },
                agent: state.agent.words(),
                since: state.since,
                limit: state.most(config.max_connections),
                reason: match &state.agent {
                    agent if agent.is_silent() => state.reason,
                    agent => format!("{}; its agent: {agent}", state.reason),
                },
                connections: u64::from(server.running()),
                requests: server.sum(|counters| counters.requests.value()),
                failures: server.sum(|counters| counters.failures.value()),
                backup: config.backup,
                check_failures: state.check_failures,
                downs: state.downs,
                downtime: state.downtime
                    + match state.health {
                        State::Down => now.since(state.since),
                        State::Up | State::Unknown => Duration::ZERO,
                    },
                figures: {
                    let mut figures = ServerCounters::figures(&server.counters);
                    (figures.queue, figures.queue_most) = self.waits(Some(server.id));
                    figures
                },
            }
        });
        let standing = *self.standing();
        PoolSnapshot {
            name: self.config.name.clone(),
            since: standing.since,
            downs: standing.downs,
            downtime: standing.downtime(now),
            balance: self.config.balance.clone(),
            queued: self.queue.len() as u64,
            fallback: self.config.fallback.is_some() && self.table.load().is_empty(),
            figures,
            servers: servers.collect(),
        }
    }

    fn of_name(&self, name: &str) -> Option<&Arc<Server>> {
        self.servers.iter().take(self.config.servers.len()).find(|server| *server.name == *name)
    }
}
