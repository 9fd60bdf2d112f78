//! Groups move on purpose, and the connections of the userspace engine stay whole: a thread that does what
//! [`relevo_proto::moves`] decides.
//!
//! ```text
//!   director ── Happened ──►┐                        ┌─► nft: relevo_moves        packets of others' connections
//!   other directors ─ Word ─┼─► moves, a thread ─────┼─► rtnetlink: lo            silent addresses, with a lease
//!   the kernel's sockets ───┘   a Mover each group   ├─► engine                   asks clients to leave, cuts them
//!                                                    └─► channel, raw socket      words, clients, tickles
//! ```
//! The rules stand on every director from its start, so that a move has to change a few of them only. Where the kernel does not
//! take them, no address is kept and nothing is forwarded: connections are reset, as they always were.

mod clients;
mod facts;
mod kernel;
mod tickles;
mod work;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use relevo_api::types::MoveStatus;
use relevo_model::{GroupName, NodeName};
use relevo_proto::moves::STRAYS;

use crate::control::Node;
use crate::director::Director;
use crate::peers::{Message, Peers};
use work::Work;

/// The topic of the channel between directors.
const TOPIC: u8 = 4;
/// How long somebody waits for what must stand before an address is asked for.
const PREPARED_WITHIN: Duration = Duration::from_secs(1);
/// How long a process that stops waits until what its director said last is done, and until nothing is left. Longer than rules are
/// waited for.
const DONE_WITHIN: Duration = Duration::from_secs(15);

/// What a director says of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// It has the addresses now; `from`: who gave them away on purpose.
    Took { from: Option<NodeName> },
    /// That one is about to give them away.
    Offered { from: NodeName },
    /// It is not any more.
    Withdrawn,
    /// They went from one to another, and this director is neither.
    Passed { from: NodeName, to: NodeName },
    /// It does not have them any more, and they are kept.
    Gave { to: Option<NodeName> },
    /// It does not have them any more, and nothing is kept.
    Lost,
}

/// What comes from the director's side.
#[derive(Debug)]
pub(crate) enum News {
    /// By the director: what happened to which group.
    Happened(GroupName, Happened),
    /// Answer when all is done that was said before.
    Done(Sender<()>),
}

/// What the thread is told.
enum Order {
    /// By the director.
    News(News),
    /// By another director.
    Heard(Message),
    /// This is the channel.
    Peers(Arc<Peers>),
    /// The file, or the path of a service, is another one.
    Follow,
    /// This node is about to claim a group: answer when all stands.
    Prepare(GroupName, NodeName, Sender<()>),
    /// End; whether to remove what stands.
    End(bool),
}

/// A handle to the thread. Without one nothing is kept.
pub(crate) struct Moves {
    orders: Sender<Order>,
    news: Sender<News>,
    waiting: Mutex<Option<(Receiver<Order>, Receiver<News>)>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What others look at.
#[derive(Debug, Default)]
struct Shared {
    status: Mutex<Vec<(GroupName, MoveStatus)>>,
    /// Whether the director's own thread was told what to keep.
    busy: AtomicBool,
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Vec<(GroupName, MoveStatus)>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moves {
    /// Nothing stands yet.
    pub(crate) fn new() -> Self {
        let (orders, waiting) = channel();
        let (news, heard) = channel();
        Self {
            orders,
            news,
            waiting: Mutex::new(Some((waiting, heard))),
            shared: Arc::default(),
            thread: Mutex::default(),
        }
    }

    /// Sets up the rules and begins to follow the director. `active`: groups that a former process of this node has handed over;
    /// `None`: there was none.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn begin(node: &Arc<Node>, active: Option<BTreeSet<GroupName>>) -> std::io::Result<()> {
        let moves = &node.moves;
        let waiting = moves.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((orders, heard)) = waiting else { return Ok(()) };
        // One queue for all: what the director says comes in through a thread that does nothing else.
        let to = moves.orders.clone();
        std::thread::Builder::new().name("moves-in".to_owned()).spawn(move || {
            while let Ok(news) = heard.recv() {
                if to.send(Order::News(news)).is_err() {
                    break;
                }
            }
        })?;
        let mut work = Work::new(node, Arc::clone(&moves.shared), active.as_ref());
        work.install(active.is_none());
        let thread = std::thread::Builder::new().name("moves".to_owned()).spawn(move || work.run(&orders))?;
        *moves.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Follows this director from now on.
    pub(crate) fn watch(&self, director: &Director, node: &Node) {
        director.follow_moves(&self.news, &work::kept(node, &self.shared));
    }

    /// Speaks with the other directors from now on.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn connect(&self, peers: &Arc<Peers>) -> std::io::Result<()> {
        let messages = peers.subscribe(TOPIC);
        let to = self.orders.clone();
        let _ = to.send(Order::Peers(Arc::clone(peers)));
        let listen = move || {
            while let Ok(message) = messages.recv() {
                if to.send(Order::Heard(message)).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("moves-peers".to_owned()).spawn(listen).map(drop)
    }

    /// The file is another one.
    pub(crate) fn follow(&self) {
        let _ = self.orders.send(Order::Follow);
    }

    /// This node is about to claim a group that `from` has: what must stand before that does, when this returns.
    pub(crate) fn prepare(&self, group: &str, from: &NodeName) {
        let (to, done) = channel();
        if self.orders.send(Order::Prepare(GroupName::new(group), from.clone(), to)).is_ok() {
            let _ = done.recv_timeout(PREPARED_WITHIN);
        }
    }

    /// Who was claimed from has the group still.
    pub(crate) fn withdraw(&self, group: &str) {
        let _ = self.orders.send(Order::News(News::Happened(GroupName::new(group), Happened::Withdrawn)));
    }

    /// What becomes of a group's connections.
    pub(crate) fn of(&self, group: &str) -> Option<MoveStatus> {
        self.shared.status().iter().find(|(name, _)| name.as_str() == group).map(|(_, status)| status.clone())
    }

    /// Whether connections are just on their way from one director to another.
    pub(crate) fn is_busy(&self) -> bool {
        let is_moving = |status: &MoveStatus| match status {
            MoveStatus::Draining { .. } | MoveStatus::Forwarding { .. } => true,
            MoveStatus::Ready | MoveStatus::Unavailable { .. } => false,
        };
        self.shared.status().iter().any(|(_, status)| is_moving(status))
    }

    /// For how long this node goes on with connections at most; `None`: it has none to go on with.
    pub(crate) fn left(&self) -> Option<Duration> {
        let status = self.shared.status();
        let seconds = status.iter().filter_map(|(_, status)| match status {
            MoveStatus::Draining { seconds, .. } => Some(*seconds),
            MoveStatus::Ready | MoveStatus::Unavailable { .. } | MoveStatus::Forwarding { .. } => None,
        });
        seconds.max().map(Duration::from_secs)
    }

    /// Waits until neighbours know where the addresses are that this node has just given away, if it goes on with their
    /// connections: new ones may come here until then.
    pub(crate) fn wait_for_strays(&self) {
        // What the director said last may be on its way, or the rules for it: on a busy machine they take long.
        let (to, done) = channel();
        if self.news.send(News::Done(to)).is_ok() {
            let _ = done.recv_timeout(DONE_WITHIN);
        }
        if self.left().is_some() {
            std::thread::sleep(STRAYS);
        }
    }

    /// Waits until the last connection has gone, or its time is over.
    pub(crate) fn wait_for_the_last(&self) {
        while self.left().is_some() && !self.shared.busy.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the thread. `remove`: no address is kept any more, and the rules go.
    pub(crate) fn end(&self, remove: bool) {
        self.shared.busy.store(true, Ordering::Release);
        let _ = self.orders.send(Order::End(remove));
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // What it is at may take long on a busy machine. A thread that panicked has said so already.
            let until = Instant::now() + if remove { DONE_WITHIN } else { PREPARED_WITHIN };
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

impl std::fmt::Debug for Moves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moves").finish_non_exhaustive()
    }
}
