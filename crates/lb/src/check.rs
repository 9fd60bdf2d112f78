//! The check thread: probes servers as their machines say, and tells everyone what changed.

mod agents;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use relevo_model::Time;
use relevo_model::cluster::OnMarkedDown;
use relevo_proto::balance::Admin;
use relevo_proto::health::{self, Input, Output, ProbeResult, Settings, State};
use tokio::sync::mpsc;

use crate::backend::Backend;
use crate::clock;
use crate::generation::Generation;
use crate::probe::{Means, Question, Target};
use crate::server::Server;
use crate::slot::Signal;
use crate::worker::{Command, Hint};
use agents::{Agents, Told};

/// Why a server is not checked.
const MAINTENANCE: &str = "in maintenance, not checked";

/// What the engine tells the check thread. Servers go by their ids.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Check these servers from now on, those that stay without a break.
    Apply(Arc<Generation>),
    /// What the operator wants of this server is different now: maybe it is not checked any more, or checked again.
    Wish(u64),
    /// End.
    Stop,
}

/// What the check thread is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) hints: mpsc::Receiver<Hint>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) workers: Vec<mpsc::UnboundedSender<Command>>,
}

struct Checks {
    workers: Vec<mpsc::UnboundedSender<Command>>,
    /// Those whose servers may be starting slowly.
    backends: Vec<Arc<Backend>>,
    /// By the server's id.
    checked: BTreeMap<u64, Checked>,
    /// When each machine wants to be woken.
    due: BTreeSet<(Time, u64)>,
    agents: Agents,
    results: mpsc::UnboundedSender<Done>,
    means: Rc<Means>,
}

/// A server that is checked.
struct Checked {
    backend: Arc<Backend>,
    server: Arc<Server>,
    question: Rc<Question>,
    /// The port that is asked.
    port: u16,
    machine: health::Server,
}

struct Done {
    server: u64,
    number: u64,
    result: ProbeResult,
}

/// Runs until it is told to stop. Must be called inside the thread's runtime.
pub(crate) async fn run(parts: Parts) {
    let Parts { mut hints, mut orders, workers } = parts;
    let (results, mut done) = mpsc::unbounded_channel();
    let means = Rc::new(Means::default());
    let (agents, mut told) = Agents::new(Rc::clone(&means));
    let mut checks = Checks {
        workers,
        backends: Vec::new(),
        checked: BTreeMap::new(),
        due: BTreeSet::new(),
        agents,
        results,
        means,
    };
    loop {
        let now = clock::now();
        checks.wake(now);
        let steps = checks.backends.iter().filter_map(|backend| backend.next_step());
        let probe = checks.due.first().map(|(at, _)| *at);
        let next = probe.into_iter().chain(steps).chain(checks.agents.poll_timeout()).min();
        // Nobody to check: wait for orders alone.
        let sleep = tokio::time::sleep(next.map_or(std::time::Duration::from_secs(3600), |at| at.since(now)));
        tokio::select! {
            () = sleep => {}
            Some(Done { server, number, result }) = done.recv() => {
                checks.count(server, &result);
                checks.tell(server, Input::Probed { number, result });
            }
            Some(told) = told.recv() => checks.hear(told),
            Some(hint) = hints.recv() => match hint {
                Hint::Failed(server) => checks.tell(server, Input::TrafficFailed),
                Hint::Row(server) => checks.observed(server),
            },
            order = orders.recv() => match order {
                Some(Order::Apply(generation)) => checks.adopt(&generation),
                Some(Order::Wish(server)) => checks.follow_admin(server),
                Some(Order::Stop) | None => return,
            },
        }
    }
}

impl Checks {
    /// Goes over to another configuration. A server that stays, checked as before, keeps its machine.
    fn adopt(&mut self, generation: &Generation) {
        let now = clock::now();
        let mut former = std::mem::take(&mut self.checked);
        self.due.clear();
        let slow = |backend: &&Arc<Backend>| backend.config.slow_start.is_some();
        self.backends = generation.backends.iter().filter(slow).map(Arc::clone).collect();
        let mut places = 0..;
        for backend in &generation.backends {
            let check = &backend.config.check;
            let Some(question) = Question::of(backend).map(Rc::new) else {
                for (server, from, to) in backend.trust_all(now) {
                    self.announce(backend, server, Some((from, to)).filter(|_| from == State::Down));
                }
                continue;
            };
            for (config, server) in backend.config.servers.iter().zip(&backend.servers) {
                let settings = Settings {
                    interval: check.interval,
                    fast_interval: check.fast_interval,
                    down_interval: check.down_interval,
                    rise: check.rise,
                    fall: check.fall,
                    place: places.next().unwrap_or_default(),
                };
                let port = config.check_port;
                let machine = match former.remove(&server.id) {
                    Some(same) if same.port == port && same.backend.config.check == *check => same.machine,
                    _ => {
                        let state = server.state().clone();
                        let (health, reason) = state.checks;
                        health::Server::resume(settings, health, state.leaving, state.since, reason, now)
                    }
                };
                let (backend, server) = (Arc::clone(backend), Arc::clone(server));
                let question = Rc::clone(&question);
                self.checked.insert(server.id, Checked { backend, server, question, port, machine });
            }
            // What was noted meanwhile went into the former table.
            backend.rebuild(now);
        }
        for told in self.agents.adopt(generation, now) {
            self.hear(told);
        }
        for id in self.checked.keys().copied().collect::<Vec<_>>() {
            self.schedule(id);
            if self.checked.get(&id).is_some_and(|one| one.server.state().admin() == Admin::Maint) {
                self.tell(id, Input::Pause(MAINTENANCE.to_owned()));
            }
        }
    }

    fn schedule(&mut self, id: u64) {
        if let Some(at) = self.checked.get(&id).and_then(|checked| checked.machine.poll_timeout()) {
            self.due.insert((at, id));
        }
    }

    fn wake(&mut self, now: Time) {
        for backend in self.backends.iter().filter(|backend| backend.next_step().is_some_and(|at| at <= now))
        {
            backend.rebuild(now);
        }
        self.agents.wake(now);
        while let Some(&(at, id)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            if let Some(checked) = self.checked.get_mut(&id) {
                checked.machine.handle_timeout(now);
            }
            self.follow(id);
        }
    }

    fn tell(&mut self, id: u64, input: Input) {
        let Some(checked) = self.checked.get_mut(&id) else { return };
        let before = checked.machine.poll_timeout();
        checked.machine.handle_input(clock::now(), input);
        if let Some(before) = before {
            self.due.remove(&(before, id));
        }
        self.follow(id);
    }

    /// Checks a server or not, as the operator and its agent want.
    fn follow_admin(&mut self, id: u64) {
        let Some(checked) = self.checked.get(&id) else { return };
        let admin = checked.server.state().admin();
        self.tell(
            id,
            match admin {
                Admin::Maint => Input::Pause(MAINTENANCE.to_owned()),
                Admin::Ready | Admin::Drain => Input::Resume,
            },
        );
    }

    /// Traffic to a server failed often enough.
    fn observed(&mut self, id: u64) {
        let Some(checked) = self.checked.get(&id) else { return };
        let pool = &checked.backend.config;
        let reason = format!("{} failures in a row in traffic", pool.error_limit);
        self.tell(id, Input::TrafficBad { then: pool.on_error, reason });
    }

    /// Takes in what an agent says.
    fn hear(&mut self, told: Told) {
        let Some((backend, server, agent)) = self.agents.take_in(told, clock::now()) else { return };
        let before = server.state().admin();
        tracing::info!(pool = %backend.config.name, "{}: its agent says {agent}", server.name);
        let changed = backend.set_agent(&server, agent, clock::now());
        self.announce(&backend, &server, changed);
        if (before == Admin::Maint) != (server.state().admin() == Admin::Maint) {
            self.follow_admin(server.id);
        }
    }

    /// Logs a change of health once, and lets connections react.
    fn announce(&self, backend: &Backend, server: &Server, changed: Option<(State, State)>) {
        let Some((_, to)) = changed else { return };
        let (name, pool, reason) = (&server.name, &backend.config.name, server.state().reason.clone());
        match to {
            State::Down => tracing::warn!(%pool, "{name} is down: {reason}"),
            State::Up => tracing::info!(%pool, "{name} is up: {reason}"),
            State::Unknown => tracing::info!(%pool, "{name} is unknown: {reason}"),
        }
        if to == State::Down {
            let signal = match backend.config.on_marked_down {
                OnMarkedDown::Retry => Signal::ServerDown,
                OnMarkedDown::ShutdownSessions => Signal::Cut,
            };
            for worker in &self.workers {
                // A worker that has ended has no connections.
                let _ = worker.send(Command::Server { server: server.id, signal });
            }
        }
    }

    /// Counts a check that failed, unless that is nothing new.
    fn count(&self, id: u64, result: &ProbeResult) {
        if let (Some(checked), ProbeResult::Bad(_) | ProbeResult::TimedOut(_)) =
            (self.checked.get(&id), result)
        {
            checked.server.state().check_failures += u64::from(checked.machine.state() != State::Down);
        }
    }

    /// Does what a machine wants.
    fn follow(&mut self, id: u64) {
        while let Some(checked) = self.checked.get_mut(&id)
            && let Some(output) = checked.machine.poll_output()
        {
            match output {
                Output::Probe { number } => {
                    checked.probe(number, self.results.clone(), Rc::clone(&self.means));
                }
                Output::Changed { from: _, to, leaving, reason } => {
                    let (backend, server) = (Arc::clone(&checked.backend), Arc::clone(&checked.server));
                    let (pool, name) = (&backend.config.name, &server.name);
                    tracing::debug!(%pool, "{name}: {reason}");
                    match (server.state().leaving, leaving) {
                        (false, true) => {
                            tracing::warn!(%pool, "{name} gets no new work, as it wants: {reason}")
                        }
                        (true, false) if to == State::Up => {
                            tracing::info!(%pool, "{name} gets work again: {reason}")
                        }
                        (true, _) | (false, false) => {}
                    }
                    let changed = backend.set_health(&server, (to, leaving), clock::now(), reason);
                    self.announce(&backend, &server, changed);
                }
            }
        }
        if let Some(checked) = self.checked.get(&id) {
            checked.server.state().against = checked.machine.against();
        }
        self.schedule(id);
    }
}

impl Checked {
    fn probe(&self, number: u64, results: mpsc::UnboundedSender<Done>, means: Rc<Means>) {
        let (backend, server) = (Arc::clone(&self.backend), Arc::clone(&self.server));
        let (question, port) = (Rc::clone(&self.question), self.port);
        tokio::task::spawn_local(async move {
            let target = Target {
                name: &server.name,
                at: server.at,
                port,
                tls: backend.tls.checks.as_ref(),
                protocols: if port == server.at.port() { &backend.config.protocols } else { &[] },
                proxy_protocol: backend.config.proxy_protocol,
            };
            let result = question.ask(&target, backend.config.check.timeout, &means).await;
            // The receiver is gone only when the thread ends.
            let _ = results.send(Done { server: server.id, number, result });
        });
    }
}
