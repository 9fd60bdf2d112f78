//! The check thread: probes servers as their machines say, and tells everyone what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use relevo_model::Time;
use relevo_model::cluster::{CheckKind, OnMarkedDown};
use relevo_proto::balance::Admin;
use relevo_proto::health::{self, Input, Output, ProbeResult, Settings, State};
use tokio::sync::mpsc;

use crate::backend::Backend;
use crate::clock;
use crate::generation::Generation;
use crate::probe;
use crate::server::Server;
use crate::slot::Signal;
use crate::worker::{Command, Hint};

/// What the engine tells the check thread. Servers go by their ids.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Check these servers from now on, those that stay without a break.
    Apply(Arc<Generation>),
    /// Check this server no more.
    Pause(u64),
    /// Check it again.
    Resume(u64),
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
    results: mpsc::UnboundedSender<Done>,
}

/// A server that is checked.
struct Checked {
    backend: Arc<Backend>,
    server: Arc<Server>,
    /// Its place in the backend.
    place: usize,
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
    let mut checks =
        Checks { workers, backends: Vec::new(), checked: BTreeMap::new(), due: BTreeSet::new(), results };
    loop {
        let now = clock::now();
        checks.wake(now);
        let steps = checks.backends.iter().filter_map(|backend| backend.next_step());
        let next = checks.due.first().map(|(at, _)| *at).into_iter().chain(steps).min();
        // Nobody to check: wait for orders alone.
        let sleep = tokio::time::sleep(next.map_or(std::time::Duration::from_secs(3600), |at| at.since(now)));
        tokio::select! {
            () = sleep => {}
            Some(Done { server, number, result }) = done.recv() => {
                checks.count(server, &result);
                checks.tell(server, Input::Probed { number, result });
            }
            Some(Hint { server }) = hints.recv() => checks.tell(server, Input::TrafficFailed),
            order = orders.recv() => match order {
                Some(Order::Apply(generation)) => checks.adopt(&generation),
                Some(Order::Pause(server)) => checks.tell(server, Input::Pause),
                Some(Order::Resume(server)) => checks.tell(server, Input::Resume),
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
        for backend in &generation.backends {
            let check = &backend.config.check;
            let places = u32::try_from(backend.config.servers.len()).unwrap_or(u32::MAX);
            for (place, (_, server)) in backend.config.servers.iter().zip(&backend.servers).enumerate() {
                if check.kind == CheckKind::None {
                    backend.set_health(server, State::Up, now, "not checked, counts as up".to_owned());
                    continue;
                }
                let settings = Settings {
                    interval: check.interval,
                    rise: check.rise,
                    fall: check.fall,
                    place: u32::try_from(place).unwrap_or(u32::MAX),
                    places,
                };
                let machine = match former.remove(&server.id) {
                    Some(same) if same.is_checked_as(backend, place) => same.machine,
                    _ => {
                        let state = server.state().clone();
                        health::Server::resume(settings, state.health, state.since, state.reason, now)
                    }
                };
                let (backend, server) = (Arc::clone(backend), Arc::clone(server));
                self.checked.insert(server.id, Checked { backend, server, place, machine });
            }
            // What was noted meanwhile went into the former table.
            backend.rebuild(now);
        }
        for id in self.checked.keys().copied().collect::<Vec<_>>() {
            self.schedule(id);
            if self.checked.get(&id).is_some_and(|one| one.server.state().admin == Admin::Maint) {
                self.tell(id, Input::Pause);
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

    /// Counts a check that failed.
    fn count(&self, id: u64, result: &ProbeResult) {
        if let (Some(checked), ProbeResult::Bad(_) | ProbeResult::TimedOut(_)) =
            (self.checked.get(&id), result)
        {
            checked.server.state().check_failures += 1;
        }
    }

    /// Does what a machine wants.
    fn follow(&mut self, id: u64) {
        while let Some(checked) = self.checked.get_mut(&id)
            && let Some(output) = checked.machine.poll_output()
        {
            match output {
                Output::Probe { number } => checked.probe(number, self.results.clone()),
                Output::Changed { from, to, reason } => {
                    checked.note((from, to), reason);
                    if from != to && to == State::Down {
                        let signal = match checked.backend.config.on_marked_down {
                            OnMarkedDown::Retry => Signal::ServerDown,
                            OnMarkedDown::ShutdownSessions => Signal::Cut,
                        };
                        for worker in &self.workers {
                            // A worker that has ended has no connections.
                            let _ = worker.send(Command::Server { server: id, signal });
                        }
                    }
                }
            }
        }
        self.schedule(id);
    }
}

impl Checked {
    /// Whether the server at this place of a new backend is asked the same question in the same rhythm.
    fn is_checked_as(&self, backend: &Backend, place: usize) -> bool {
        let port = |backend: &Backend, place: usize| {
            backend.config.servers.get(place).map(|server| server.check_port)
        };
        self.backend.config.check == backend.config.check
            && port(&self.backend, self.place) == port(backend, place)
    }

    fn probe(&self, number: u64, results: mpsc::UnboundedSender<Done>) {
        let (backend, server) = (Arc::clone(&self.backend), Arc::clone(&self.server));
        tokio::task::spawn_local(async move {
            let (check, proxy_protocol) = (&backend.config.check, backend.config.proxy_protocol);
            let way = probe::Way { tls: backend.tls.checks.as_ref(), proxy_protocol };
            let result = probe::run(server.at, check, way).await;
            // The receiver is gone only when the thread ends.
            let _ = results.send(Done { server: server.id, number, result });
        });
    }

    fn note(&self, (from, to): (State, State), reason: String) {
        let (name, pool) = (&self.server.name, &self.backend.config.name);
        match to {
            _ if from == to => tracing::debug!(%pool, "{name} is still {to:?}: {reason}"),
            State::Down => tracing::warn!(%pool, "{name} is down: {reason}"),
            State::Up => tracing::info!(%pool, "{name} is up: {reason}"),
            State::Unknown => tracing::info!(%pool, "{name} is unknown: {reason}"),
        }
        self.backend.set_health(&self.server, to, clock::now(), reason);
    }
}
