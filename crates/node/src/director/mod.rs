//! The director: holds this node's virtual addresses, or watches the node that does.
//!
//! ```text
//!   Director (handle) ── Command, eventfd ──► Worker (one thread for all groups)
//!        ▲                                      │  ppoll: VRRP sockets, netlink monitor, commands, deadlines
//!        └────── Board: status, a bell ─────────┤
//!                                               └─ Holder (one per group): proto::vrrp::Group + Legs + addresses
//! ```
//!
//! Who shall be active is decided by [`relevo_proto::vrrp`]; here its inputs are gathered and its outputs done.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use relevo_api::types::{GroupState, GroupStatus, Switched};
use relevo_model::cluster::ClusterFile;
use relevo_model::{GroupName, NodeName};
use relevo_net::arp::ArpSocket;
use relevo_net::clock;
use relevo_net::conflict::ConflictWatch;
use relevo_net::monitor::Monitor;
use relevo_net::route::Route;
use relevo_net::virtual_mac::VirtualLink;
use relevo_proto::vrrp::Handed;

mod along;
mod board;
mod conflict;
mod error;
mod herald;
mod holder;
mod keys;
mod leg;
pub(crate) mod moving;
mod queue;
mod setup;
mod tidings;
mod truth;
mod virtual_mac;
mod worker;

use crate::duty::Bell;
use crate::track::Stand;
use board::Board;
pub use error::{StartError, SwitchoverError};
use holder::{Holder, Kernel};
use leg::Leg;
use setup::Member;
pub(crate) use truth::Teller;
use virtual_mac::Undo;
use worker::{Command, Worker};

/// A handle to the director of this node. Dropping it takes the addresses off at once, without waiting for a successor.
pub struct Director {
    node: NodeName,
    members: Vec<Member>,
    board: Arc<Board>,
    commands: Sender<Command>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Director {
    /// Opens all that the director of `node` needs for the groups that it is of: everything that can fail for a reason that
    /// an operator must mend. Nothing is sent and no address is touched before [`Prepared::start`]. It works in the network
    /// namespace of the calling thread.
    ///
    /// # Errors
    /// An interface that is not there, a missing permission; see [`StartError`].
    pub fn prepare(cluster: &ClusterFile, node: &NodeName) -> Result<Prepared, StartError> {
        let members = setup::members(cluster, node)?;
        // Before the tables are read, so that no change falls between.
        let monitor = Monitor::open()?;
        let addresses = members.iter().flat_map(|member| &member.addresses).map(|address| address.ip);
        let watch = ConflictWatch::open(addresses.collect())?;
        let mut kernel = Kernel { route: Route::open()?, arp: ArpSocket::open()?, watch };
        let (mut legs, mut undo) = (Vec::new(), Undo::default());
        for member in &members {
            legs.push(open_legs(node, member, &mut kernel.route, &mut undo)?);
        }
        let owner = VirtualLink::owner(&cluster.name, node);
        Ok(Prepared { node: node.clone(), owner, members, legs, monitor, kernel, undo })
    }

    /// [`Director::prepare`] and [`Prepared::start`] at once.
    ///
    /// # Errors
    /// As both.
    pub fn start(cluster: &ClusterFile, node: &NodeName) -> Result<Self, StartError> {
        Self::prepare(cluster, node)?.start()
    }

    /// What this node is for each of its groups, in the file's order. A router that is active but not in the cluster file
    /// goes by its address.
    pub fn status(&self) -> Vec<GroupStatus> {
        let mut groups = self.board.groups();
        if let Some(reason) = self.board.stopped() {
            for group in &mut groups {
                group.state = GroupState::Fault;
                group.active = group.active.take().filter(|active| *active != self.node);
                group.reason = format!("the director is not running: {reason}");
            }
        }
        groups
    }

    /// Rings this bell on each change of the status; only one can be there.
    pub(crate) fn listen(&self, bell: Bell) {
        self.board.listen(bell);
    }

    /// The status, for those who listen.
    pub(crate) fn view(&self) -> View {
        View(Arc::clone(&self.board))
    }

    /// Moves a group, and waits until it has moved, at most 5 s. To this node: it claims the group. Otherwise this node
    /// must be active and gives it away: to whoever is next, or to `to` if that one is next.
    ///
    /// # Errors
    /// See [`SwitchoverError`].
    pub fn switchover(&self, group: &str, to: Option<&NodeName>) -> Result<Switched, SwitchoverError> {
        let begin = Instant::now();
        let index = self.index_of(group)?;
        let before = self.status_of(index)?;
        let from = before.active.clone();
        let to = match to {
            Some(to) if *to == self.node => self.claim(index, &before)?,
            to => self.give(index, &before, to)?,
        };
        let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Switched { from, to, took_ms })
    }

    /// Tells how this node stands in a group. It does not wait; telling the same again changes nothing.
    pub(crate) fn stand(&self, group: &str, stand: &Stand) {
        if let Ok(index) = self.index_of(group) {
            // A thread that is gone holds nothing.
            let _ = self.command(Command::Stand(index, stand.clone()));
        }
    }

    /// Gives away what it holds, waits until somebody else has it (3 s, or six adverts if that is longer), and removes the
    /// addresses.
    pub fn shutdown(mut self) {
        self.end(Command::Shutdown);
    }

    /// Ends and leaves what is held to another process, which must go on at once: by group, what it has to know.
    pub(crate) fn hand_over(mut self) -> Vec<(GroupName, Handed)> {
        self.end(Command::HandOver);
        let names = self.members.iter().map(|member| member.name.clone());
        names.zip(self.board.handed()).collect()
    }

    /// Something that ends the director while [`Director::shutdown`] waits for a successor.
    pub fn brake(&self) -> Brake {
        let (commands, wake) = (self.commands.clone(), Arc::clone(&self.wake));
        Brake { commands, wake, board: Arc::clone(&self.board) }
    }

    fn claim(&self, index: usize, before: &GroupStatus) -> Result<NodeName, SwitchoverError> {
        if matches!(before.state, GroupState::Fault | GroupState::Init) {
            return Err(SwitchoverError::Fault { group: before.name.clone(), reason: before.reason.clone() });
        }
        self.command(Command::Claim(index))?;
        let claimed = |status: &GroupStatus| (status.state == GroupState::Active).then(|| self.node.clone());
        self.board.wait(index, PATIENCE, claimed).ok_or_else(|| self.not_moved(index))
    }

    fn give(
        &self,
        index: usize,
        before: &GroupStatus,
        to: Option<&NodeName>,
    ) -> Result<NodeName, SwitchoverError> {
        let member = &self.members[index];
        if let Some(to) = to
            && !member.directors.iter().any(|peer| peer.node == *to)
        {
            let known: Vec<&str> = member.directors.iter().map(|peer| peer.node.as_str()).collect();
            return Err(SwitchoverError::NotMember {
                to: to.clone(),
                group: member.name.clone(),
                known: known.join(", "),
            });
        }
        if before.state != GroupState::Active {
            return Err(SwitchoverError::NotActive {
                group: member.name.clone(),
                active: before.active.clone(),
            });
        }
        if let (Some(to), Some(winner)) = (to, member.successor_of(&self.node))
            && winner.node != *to
        {
            return Err(SwitchoverError::WouldNotWin {
                group: member.name.clone(),
                to: to.clone(),
                winner: winner.node.clone(),
            });
        }
        self.command(Command::Resign(index))?;
        // While active the reason changes twice when nobody comes: to that it resigns, and to that nobody took over.
        let mut reason = before.reason.clone();
        let mut reasons = 0;
        let given = |status: &GroupStatus| {
            if status.state == GroupState::Active {
                if status.reason != reason {
                    reason.clone_from(&status.reason);
                    reasons += 1;
                }
                return (reasons > 1).then_some(None);
            }
            status.active.clone().filter(|active| *active != self.node).map(Some)
        };
        match self.board.wait(index, PATIENCE, given) {
            Some(Some(successor)) => Ok(successor),
            Some(None) => {
                Err(SwitchoverError::NobodyTook { group: member.name.clone(), node: self.node.clone() })
            }
            None => Err(self.not_moved(index)),
        }
    }

    fn not_moved(&self, index: usize) -> SwitchoverError {
        match self.status_of(index) {
            Err(error) => error,
            Ok(status) => SwitchoverError::TimedOut {
                group: status.name,
                seconds: PATIENCE.as_secs(),
                active: status.active,
            },
        }
    }

    fn index_of(&self, group: &str) -> Result<usize, SwitchoverError> {
        self.members.iter().position(|member| member.name.as_str() == group).ok_or_else(|| {
            let known: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            SwitchoverError::NoSuchGroup { node: self.node.clone(), group: group.to_owned(), known }
        })
    }

    fn status_of(&self, index: usize) -> Result<GroupStatus, SwitchoverError> {
        let stopped = |reason| SwitchoverError::Stopped { reason };
        if let Some(reason) = self.board.stopped() {
            return Err(stopped(reason));
        }
        self.board.groups().into_iter().nth(index).ok_or_else(|| stopped("it has no status yet".to_owned()))
    }

    fn command(&self, command: Command) -> Result<(), SwitchoverError> {
        let gone = |_| SwitchoverError::Stopped { reason: self.board.stopped().unwrap_or_default() };
        self.commands.send(command).map_err(gone)?;
        // It fails only when 2^64 wakes wait; then the thread wakes anyway.
        let _ = self.wake.write(1);
        Ok(())
    }

    fn end(&mut self, command: Command) {
        let Some(thread) = self.thread.take() else { return };
        let _ = self.command(command);
        // A thread that panicked has said so already.
        let _ = thread.join();
    }
}

/// What a director says of its groups, as long as it runs.
#[derive(Debug)]
pub(crate) struct View(Arc<Board>);

impl View {
    /// The newest status of every group; none when the director has ended.
    pub(crate) fn groups(&self) -> Vec<GroupStatus> {
        if self.0.stopped().is_some() { Vec::new() } else { self.0.groups() }
    }
}

/// Ends a director at once; see [`Director::brake`].
pub struct Brake {
    commands: Sender<Command>,
    wake: Arc<EventFd>,
    board: Arc<Board>,
}

impl Brake {
    /// Takes the addresses off without waiting for a successor. Returns when that is done, at most after 500 ms.
    pub fn pull(&self) {
        // A thread that is gone has taken them off already.
        if self.commands.send(Command::Stop).is_ok() {
            let _ = self.wake.write(1);
            self.board.wait_for_the_end(BRAKING);
        }
    }
}

impl fmt::Debug for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brake").finish_non_exhaustive()
    }
}

/// A director that has all it needs and has not begun.
pub struct Prepared {
    node: NodeName,
    members: Vec<Member>,
    legs: Vec<Vec<Leg>>,
    monitor: Monitor,
    kernel: Kernel,
    /// Whose the interfaces with virtual hardware addresses are.
    owner: String,
    undo: Undo,
}

impl Prepared {
    /// Begins to listen, on a thread of its own.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(self) -> Result<Director, StartError> {
        self.go_on(&[], &[])
    }

    /// The same; groups that another process of this node handed over go on as they were. `stands`: how the groups stand
    /// to begin with; others stand as the file says.
    ///
    /// # Errors
    /// As [`Prepared::start`].
    pub(crate) fn go_on(
        self,
        handed: &[(GroupName, Handed)],
        stands: &[(GroupName, Stand)],
    ) -> Result<Director, StartError> {
        let Self { node, owner, members, legs, monitor, mut kernel, mut undo } = self;
        undo.forget();
        let now = clock::now();
        let holders: Vec<Holder> = members
            .iter()
            .zip(legs)
            .map(|(member, legs)| {
                let handed = handed.iter().find(|(name, _)| *name == member.name).map(|(_, handed)| *handed);
                Holder::new(&node, member.clone(), legs, &mut kernel, now, handed)
            })
            .collect();
        let going_on: Vec<_> = holders.iter().map(Holder::along).collect();
        along::remove_leftovers(&mut kernel.route, &going_on);
        let all = holders.iter().flat_map(|holder| &holder.legs);
        virtual_mac::remove_leftovers(&mut kernel.route, &owner, all);
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let wake =
            EventFd::from_value_and_flags(0, flags).map_err(|error| StartError::Thread(error.into()))?;
        let wake = Arc::new(wake);
        let board = Arc::new(Board::default());
        let (commands, receiver) = channel();
        for (index, member) in members.iter().enumerate() {
            if let Some((_, stand)) = stands.iter().find(|(name, _)| *name == member.name) {
                // The receiver is there.
                let _ = commands.send(Command::Stand(index, stand.clone()));
            }
        }
        let mut worker = Worker {
            holders,
            kernel,
            monitor,
            commands: receiver,
            wake: Arc::clone(&wake),
            board: Arc::clone(&board),
            deadline: None,
            handed: false,
            hurried: 0,
            more: false,
        };
        worker.publish();
        let thread = std::thread::Builder::new().name("director".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(StartError::Thread)?;
        Ok(Director { node, members, board, commands, wake, thread: Some(thread) })
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        self.end(Command::Stop);
    }
}

impl fmt::Debug for Director {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Director").field("node", &self.node).finish_non_exhaustive()
    }
}

fn open_legs(
    node: &NodeName,
    member: &Member,
    route: &mut Route,
    undo: &mut Undo,
) -> Result<Vec<Leg>, StartError> {
    let legs = member.legs.iter();
    legs.map(|leg| {
        let opened = Leg::open(leg.clone(), route).inspect(|leg| undo.note(leg));
        opened.map_err(|source| StartError::Interface {
            node: node.clone(),
            network: leg.network.clone(),
            source,
        })
    })
    .collect()
}

/// An error with its causes, for a log line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// How long a switch-over is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a [`Brake`] waits for the thread, which has some requests to the kernel to make.
const BRAKING: Duration = Duration::from_millis(500);

/// A stage for those who follow a director.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A director that says what the test wants.
    #[derive(Debug, Default)]
    pub(crate) struct Stage(Arc<Board>);

    impl Stage {
        pub(crate) fn listen(&self, bell: Bell) {
            self.0.listen(bell);
        }

        pub(crate) fn view(&self) -> View {
            View(Arc::clone(&self.0))
        }

        pub(crate) fn publish(&self, groups: &[GroupStatus]) {
            self.0.publish(groups);
        }

        pub(crate) fn stop(&self, reason: &str) {
            self.0.stop(reason);
        }
    }
}
