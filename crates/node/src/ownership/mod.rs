//! What the directors know of each other, at work: a thread that tells the others what this one is, hears them, and tells the
//! director, the log and the status what comes of it. What is decided is [`relevo_proto::ownership`]'s.

mod setup;
mod status;
mod verify;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use relevo_model::{GroupName, Time};
use relevo_net::{clock, realtime};
use relevo_proto::ownership::{Event, Output, Own, Ownership};
use relevo_proto::vrrp::State;

use crate::control::Node;
use crate::peers::{Message, OWNERSHIP, Peers};
use verify::Verify;

/// How often the director is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Messages that are taken in one turn.
const MOST: usize = 256;

/// What is known of the other directors.
pub(crate) struct Truth {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    machine: Mutex<Ownership>,
    groups: Vec<GroupName>,
    stopped: AtomicBool,
}

impl Truth {
    /// Begins. The cluster file has a channel.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(node: &Arc<Node>, peers: &Arc<Peers>) -> std::io::Result<Self> {
        let cluster = node.loaded().cluster;
        let settings = setup::settings(&cluster, &node.name, peers);
        let groups = settings.groups.iter().map(|group| group.name.clone()).collect();
        let machine = Mutex::new(Ownership::new(settings, peers.boot(), clock::now()));
        let shared = Arc::new(Shared { machine, groups, stopped: AtomicBool::new(false) });
        let messages = peers.subscribe(OWNERSHIP);
        let verify = Verify::new(&cluster, &node.name);
        let turns = Turns {
            shared: Arc::clone(&shared),
            node: Arc::downgrade(node),
            peers: Arc::clone(peers),
            messages,
            verify,
        };
        let thread = std::thread::Builder::new().name("ownership".to_owned()).spawn(move || turns.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    fn end(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Truth").finish_non_exhaustive()
    }
}

impl Shared {
    /// Whoever panicked has left a whole machine behind.
    fn machine(&self) -> MutexGuard<'_, Ownership> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread.
struct Turns {
    shared: Arc<Shared>,
    node: Weak<Node>,
    peers: Arc<Peers>,
    messages: Receiver<Message>,
    verify: Verify,
}

impl Turns {
    fn run(mut self) {
        if let Err(error) = realtime::prefer_this_thread() {
            tracing::debug!(%error, "no real-time priority");
        }
        while !self.shared.stopped.load(Ordering::Acquire) {
            let Some(node) = self.node.upgrade() else { return };
            let now = clock::now();
            let outputs = self.turn(&node, now);
            for output in outputs {
                self.act(&node, output);
            }
            drop(node);
            let due = self.shared.machine().poll_timeout().since(clock::now());
            match self.messages.recv_timeout(due.min(LOOK)) {
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn hear(&self, first: Message) {
        let mut machine = self.shared.machine();
        for message in std::iter::once(first).chain(self.messages.try_iter().take(MOST)) {
            if !machine.handle_message(message.at, &message.from, &message.network, &message.bytes) {
                tracing::debug!(from = %message.from, "it says what this version does not understand");
            }
        }
    }

    fn turn(&mut self, node: &Node, now: Time) -> Vec<Output> {
        let owns = match &*node.director.read().unwrap_or_else(PoisonError::into_inner) {
            Some(director) => director.owns(),
            None => Vec::new(),
        };
        let mut machine = self.shared.machine();
        for group in 0..self.shared.groups.len() {
            machine.handle_own(now, group, owns.get(group).cloned().unwrap_or_else(|| ended(now)));
        }
        self.verify.turn(now, &owns, &mut machine);
        machine.handle_timeout(now);
        std::iter::from_fn(|| machine.poll_output()).collect()
    }

    fn act(&self, node: &Node, output: Output) {
        let director = node.director.read().unwrap_or_else(PoisonError::into_inner);
        let director = director.as_ref();
        match output {
            Output::Publish(bytes) => self.peers.publish(OWNERSHIP, &bytes),
            Output::Proven { group, until } => {
                if let Some(director) = director {
                    director.proven(group, until);
                }
            }
            Output::Lost { group, node: lost } => {
                if let Some(director) = director {
                    director.lost(group, &lost);
                }
            }
            Output::Yield { group, to } => {
                if let Some(director) = director {
                    director.yield_to(group, &to);
                }
            }
            Output::Reannounce { group } => {
                if let Some(director) = director {
                    director.reannounce(group);
                }
            }
            Output::Event(event) => tell(&event),
        }
    }
}

/// A group of a director that has ended.
fn ended(now: Time) -> Own {
    Own {
        state: State::Init,
        resigning: false,
        since: now,
        priority: 0,
        owner: None,
        heard: Vec::new(),
        hardware: Vec::new(),
    }
}

fn tell(event: &Event) {
    let text = event.to_string();
    if event.is_trouble() {
        tracing::warn!(kind = event.kind(), "{text}");
    } else {
        tracing::info!(kind = event.kind(), "{text}");
    }
    let fields: Vec<(&str, String)> = match event {
        Event::Path { node, network, .. } => {
            vec![("node", node.to_string()), ("network", network.to_string())]
        }
        Event::TwoActives { group, other, winner } => {
            vec![("group", group.to_string()), ("other", other.to_string()), ("winner", winner.to_string())]
        }
        Event::OneActive { group, other, .. } => {
            vec![("group", group.to_string()), ("other", other.to_string())]
        }
        Event::HeldBack { group, active, network } => vec![
            ("group", group.to_string()),
            ("active", active.to_string()),
            ("network", network.to_string()),
        ],
        Event::NotHeldBack { group } => vec![("group", group.to_string())],
    };
    crate::incidents::note(event.kind(), &text, &fields);
}
