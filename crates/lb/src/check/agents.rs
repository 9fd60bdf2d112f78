//! The agents of servers: each is asked in turn, and what it says is noted when it says something else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::Agent as Settings;
use relevo_proto::health::Turns;
use relevo_proto::health::agent::{Agent, Report};
use tokio::sync::mpsc;

use crate::backend::Backend;
use crate::generation::Generation;
use crate::probe::{self, Means};
use crate::server::Server;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// All agents that are asked.
pub(super) struct Agents {
    /// By the server's id.
    asked: BTreeMap<u64, Asked>,
    /// When each wants to be asked.
    due: BTreeSet<(Time, u64)>,
    answers: mpsc::UnboundedSender<Told>,
    means: Rc<Means>,
}

struct Asked {
    backend: Arc<Backend>,
    server: Arc<Server>,
    settings: Settings,
    turns: Turns,
    /// Whether it was silent at the last question; that is logged once.
    silent: bool,
}

/// What became of a question.
#[derive(Debug)]
pub(super) enum Told {
    /// An agent was asked.
    Answer { server: u64, number: u64, answer: Result<Report, String> },
    /// A server has no agent any more.
    NoAgent(Arc<Backend>, Arc<Server>),
}

impl Agents {
    pub(super) fn new(means: Rc<Means>) -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (answers, told) = mpsc::unbounded_channel();
        (Self { asked: BTreeMap::new(), due: BTreeSet::new(), answers, means }, told)
    }

    /// Goes over to another configuration; what there is to hear at once.
    pub(super) fn adopt(&mut self, generation: &Generation, now: Time) -> Vec<Told> {
        let mut former = std::mem::take(&mut self.asked);
        let mut told = Vec::new();
        self.due.clear();
        let mut places = 0..;
        for backend in &generation.backends {
            for server in backend.servers.iter().take(backend.config.servers.len()) {
                let Some(settings) = backend.config.agent else {
                    if !server.state().agent.is_silent() {
                        told.push(Told::NoAgent(Arc::clone(backend), Arc::clone(server)));
                    }
                    continue;
                };
                let place = places.next().unwrap_or_default();
                let (turns, silent) = match former.remove(&server.id) {
                    Some(same) if same.settings == settings => (same.turns, same.silent),
                    _ => (Turns::new(settings.interval, place, now), false),
                };
                self.due.extend(turns.poll_timeout().map(|at| (at, server.id)));
                let (backend, server) = (Arc::clone(backend), Arc::clone(server));
                self.asked.insert(server.id, Asked { backend, server, settings, turns, silent });
            }
        }
        told
    }

    /// When to call [`Self::wake`].
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Asks those whose turn it is.
    pub(super) fn wake(&mut self, now: Time) {
        while let Some(&(at, id)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            let Some(asked) = self.asked.get_mut(&id) else { continue };
            let Some(number) = asked.turns.handle_timeout(now) else { continue };
            let at = SocketAddr::new(asked.server.at.ip(), asked.settings.port);
            let timeout = asked.settings.interval.min(PATIENCE);
            let (answers, means) = (self.answers.clone(), Rc::clone(&self.means));
            tokio::task::spawn_local(async move {
                let _place = means.probes.acquire().await;
                let answer = probe::ask_agent(at, timeout).await;
                // The receiver is gone only when the thread ends.
                let _ = answers.send(Told::Answer { server: id, number, answer });
            });
        }
    }

    /// What is known now, if it is not what was known.
    pub(super) fn take_in(&mut self, told: Told, now: Time) -> Option<(Arc<Backend>, Arc<Server>, Agent)> {
        let (server, number, answer) = match told {
            Told::NoAgent(backend, server) => return Some((backend, server, Agent::default())),
            Told::Answer { server, number, answer } => (server, number, answer),
        };
        let asked = self.asked.get_mut(&server)?;
        if !asked.turns.answered(number, now) {
            return None;
        }
        self.due.extend(asked.turns.poll_timeout().map(|at| (at, server)));
        let (pool, name) = (&asked.backend.config.name, &asked.server.name);
        match answer {
            Ok(report) => {
                asked.silent = false;
                let mut agent = asked.server.state().agent.clone();
                agent.follow(report).then(|| (Arc::clone(&asked.backend), Arc::clone(&asked.server), agent))
            }
            Err(error) => {
                // Connectivity is what checks are for.
                if !std::mem::replace(&mut asked.silent, true) {
                    tracing::warn!(%pool, "{name}: its agent says nothing of use, what it said before holds: {error}");
                }
                None
            }
        }
    }
}
