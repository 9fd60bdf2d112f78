//! The check thread: probes servers as their machines say, and tells everyone what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use relevo_model::Time;
use relevo_model::cluster::CheckKind;
use relevo_proto::health::{Input, Output, ProbeResult, Server, Settings, State};
use tokio::sync::mpsc;

use crate::clock;
use crate::probe;
use crate::service::Shared;
use crate::slot::Signal;
use crate::worker::{Command, Hint};

/// What the engine tells the check thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Check this server no more.
    Pause(Hint),
    /// Check it again.
    Resume(Hint),
    /// End.
    Stop,
}

/// What the check thread is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) services: Vec<Arc<Shared>>,
    pub(crate) hints: mpsc::Receiver<Hint>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) workers: Vec<mpsc::UnboundedSender<Command>>,
}

struct Checks {
    services: Vec<Arc<Shared>>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    machines: Vec<Vec<Server>>,
    /// When each machine wants to be woken.
    due: BTreeMap<(Time, usize, usize), ()>,
    results: mpsc::UnboundedSender<Done>,
}

struct Done {
    service: usize,
    server: usize,
    number: u64,
    result: ProbeResult,
}

/// Runs until it is told to stop. Must be called inside the thread's runtime.
pub(crate) async fn run(parts: Parts) {
    let Parts { services, mut hints, mut orders, workers } = parts;
    let (results, mut done) = mpsc::unbounded_channel();
    let mut checks = Checks::new(services, workers, results, clock::now());
    loop {
        let now = clock::now();
        checks.wake(now);
        let next = checks.due.first_key_value().map(|((at, _, _), ())| at.since(now));
        // Nobody to check: wait for orders alone.
        let sleep = tokio::time::sleep(next.unwrap_or(std::time::Duration::from_secs(3600)));
        tokio::select! {
            () = sleep => {}
            Some(Done { service, server, number, result }) = done.recv() => {
                checks.tell(service, server, Input::Probed { number, result });
            }
            Some(Hint { service, server }) = hints.recv() => {
                checks.tell(service, usize::from(server), Input::TrafficFailed);
            }
            order = orders.recv() => match order {
                Some(Order::Pause(hint)) => checks.tell(hint.service, usize::from(hint.server), Input::Pause),
                Some(Order::Resume(hint)) => checks.tell(hint.service, usize::from(hint.server), Input::Resume),
                Some(Order::Stop) | None => return,
            },
        }
    }
}

impl Checks {
    fn new(
        services: Vec<Arc<Shared>>,
        workers: Vec<mpsc::UnboundedSender<Command>>,
        results: mpsc::UnboundedSender<Done>,
        now: Time,
    ) -> Self {
        let machines = services.iter().map(|shared| machines(shared, now)).collect();
        let mut checks = Self { services, workers, machines, due: BTreeMap::new(), results };
        for service in 0..checks.machines.len() {
            for server in 0..checks.machines.get(service).map_or(0, Vec::len) {
                checks.schedule(service, server);
                if checks.services.get(service).is_some_and(|shared| shared.is_stopped(server)) {
                    checks.tell(service, server, Input::Pause);
                }
            }
        }
        checks
    }

    fn machine(&mut self, service: usize, server: usize) -> Option<&mut Server> {
        self.machines.get_mut(service)?.get_mut(server)
    }

    fn schedule(&mut self, service: usize, server: usize) {
        if let Some(at) = self.machine(service, server).and_then(|machine| machine.poll_timeout()) {
            self.due.insert((at, service, server), ());
        }
    }

    fn wake(&mut self, now: Time) {
        while let Some((&(at, service, server), ())) = self.due.first_key_value()
            && at <= now
        {
            self.due.pop_first();
            if let Some(machine) = self.machine(service, server) {
                machine.handle_timeout(now);
            }
            self.follow(service, server);
        }
    }

    fn tell(&mut self, service: usize, server: usize, input: Input) {
        let Some(machine) = self.machine(service, server) else { return };
        let before = machine.poll_timeout();
        machine.handle_input(clock::now(), input);
        if let Some(before) = before {
            self.due.remove(&(before, service, server));
        }
        self.follow(service, server);
    }

    /// Does what a machine wants.
    fn follow(&mut self, service: usize, server: usize) {
        while let Some(output) = self.machine(service, server).and_then(Server::poll_output) {
            match output {
                Output::Probe { number } => self.probe(service, server, number),
                Output::Changed { from, to, reason } => self.changed(service, server, (from, to), reason),
            }
        }
        self.schedule(service, server);
    }

    fn probe(&self, service: usize, server: usize, number: u64) {
        let Some(shared) = self.services.get(service).map(Arc::clone) else { return };
        let results = self.results.clone();
        tokio::task::spawn_local(async move {
            let Some(at) = shared.pool.servers.get(server).map(|server| server.at) else { return };
            let result = probe::run(at, &shared.pool.check).await;
            // The receiver is gone only when the thread ends.
            let _ = results.send(Done { service, server, number, result });
        });
    }

    fn changed(&mut self, service: usize, server: usize, (from, to): (State, State), reason: String) {
        let Some(shared) = self.services.get(service).map(Arc::clone) else { return };
        let name = shared.pool.servers.get(server).map_or("?", |server| server.name.as_str());
        let service_name = &shared.config.name;
        match to {
            _ if from == to => tracing::debug!(service = %service_name, "{name} is still {to:?}: {reason}"),
            State::Down => tracing::warn!(service = %service_name, "{name} is down: {reason}"),
            State::Up => tracing::info!(service = %service_name, "{name} is up: {reason}"),
            State::Unknown => tracing::info!(service = %service_name, "{name} is unknown: {reason}"),
        }
        shared.set_health(server, to, clock::now(), reason);
        if from != to
            && to == State::Down
            && let Ok(server) = u16::try_from(server)
        {
            for worker in &self.workers {
                // A worker that has ended has no connections.
                let _ = worker.send(Command::Server { service, server, signal: Signal::ServerDown });
            }
        }
    }
}

fn machines(shared: &Shared, now: Time) -> Vec<Server> {
    let check = &shared.pool.check;
    if check.kind == CheckKind::None {
        for server in 0..shared.pool.servers.len() {
            shared.set_health(server, State::Up, now, "not checked, counts as up".to_owned());
        }
        return Vec::new();
    }
    let places = u32::try_from(shared.pool.servers.len()).unwrap_or(u32::MAX);
    let settings =
        |place| Settings { interval: check.interval, rise: check.rise, fall: check.fall, place, places };
    (0..places).map(|place| Server::new(settings(place), now)).collect()
}
