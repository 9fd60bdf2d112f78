//! The director's thread: waits for packets, changes of links and addresses, commands and deadlines, for all groups.
//!
//! What waits in the sockets is taken before deadlines count: a process that was stopped for a while must hear those
//! who took over meanwhile before it decides anything.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use relevo_model::Time;
use relevo_net::address::Address;
use relevo_net::monitor::{Event, Monitor};
use relevo_net::{clock, realtime};
use relevo_proto::vrrp::sign::Key;
use relevo_proto::vrrp::{Input, Told};
use tracing::{debug, error, warn};

use super::board::Board;
use super::holder::{Holder, Kernel};
use super::moving::Keep;
use super::truth::Loss;
use crate::track::Stand;

/// What others ask of the thread. Groups are numbered in the order of the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// How a group stands.
    Stand(usize, Stand),
    Claim(usize),
    Resign(usize),
    /// Sign and verify with these from now on.
    Keys(usize, Vec<Key>),
    /// Which addresses have connections to go on with.
    Keep(Keep),
    /// Something is known beside adverts.
    Told(usize, Told),
    /// Another director is lost.
    Lost(usize, Loss),
    /// End now, and leave what is held to another process.
    HandOver,
    /// Give everything away, then end.
    Shutdown,
    /// End now; the addresses are taken off.
    Stop,
}

/// Everything that the thread owns.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) holders: Vec<Holder>,
    pub(super) kernel: Kernel,
    pub(super) monitor: Monitor,
    pub(super) commands: Receiver<Command>,
    pub(super) wake: Arc<EventFd>,
    pub(super) board: Arc<Board>,
    /// Set by [`Command::Shutdown`]: when to stop waiting for the machines.
    pub(super) deadline: Option<Time>,
    /// Another process goes on.
    pub(super) handed: bool,
    /// Turns in a row that did not sleep.
    pub(super) hurried: u32,
    /// Whether the monitor has events that were not taken in the last turn.
    pub(super) more: bool,
}

impl Worker {
    /// Runs until told to end. Whatever happens, no address stays on: if this thread dies, the kernel's leases run out.
    pub(super) fn run(mut self) {
        if let Err(error) = realtime::prefer_this_thread() {
            debug!(%error, "no real-time priority");
        }
        let tombstone = Tombstone { board: Arc::clone(&self.board) };
        let now = clock::now();
        // How the groups stand, before they are told that they could begin.
        let mut stop = self.take_commands(now);
        for holder in &mut self.holders {
            holder.tell_links(&mut self.kernel, now);
        }
        loop {
            self.publish();
            self.wait();
            let now = clock::now();
            stop |= self.take_commands(now);
            if self.handed {
                break;
            }
            let removed = self.take_events(now);
            for holder in &mut self.holders {
                holder.receive(&mut self.kernel, now);
                holder.fire(&mut self.kernel, now);
            }
            // After the machines had their say: after a stall they give up what the lease took from them.
            if !removed.is_empty() {
                for holder in &mut self.holders {
                    holder.restore(&mut self.kernel, now, &removed);
                }
            }
            self.take_claims(now);
            self.holders.iter_mut().for_each(Holder::tell_moves);
            if stop || self.is_over(now) {
                break;
            }
        }
        if !self.handed {
            for holder in &mut self.holders {
                holder.release(&mut self.kernel);
                holder.dismantle(&mut self.kernel);
            }
        }
        self.publish();
        self.board.stop("it was shut down");
        drop(tombstone);
    }

    fn is_over(&self, now: Time) -> bool {
        let Some(deadline) = self.deadline else { return false };
        if deadline <= now {
            warn!("not all groups could be given away in time");
        }
        deadline <= now || self.holders.iter().all(|holder| holder.finished)
    }

    /// Shows the newest status.
    pub(super) fn publish(&mut self) {
        let groups: Vec<_> = self.holders.iter_mut().map(Holder::status).collect();
        self.board.publish(&groups);
        self.board.show(self.holders.iter().map(Holder::own).collect());
    }

    /// Sleeps until something is readable or the next deadline has come.
    fn wait(&mut self) {
        let deadlines = self.holders.iter().filter_map(Holder::timeout).chain(self.deadline);
        let timeout = deadlines.min().map(|due| due.since(clock::now()));
        let timeout = if self.more { Some(Duration::ZERO) } else { timeout };
        self.hurried = if timeout.is_some_and(|timeout| timeout.is_zero()) { self.hurried + 1 } else { 0 };
        if self.hurried > MOST_HURRIED {
            // A deadline that does not move would be a mistake in a machine. A real-time thread must not hang a CPU for it.
            std::thread::sleep(Duration::from_millis(1));
        }
        let sockets = self.holders.iter().flat_map(|holder| &holder.legs).flat_map(|leg| leg.fds());
        let mut fds = vec![
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.monitor.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.kernel.watch.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(sockets.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match ppoll(&mut fds, timeout.map(TimeSpec::from_duration), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                error!(%error, "cannot wait for sockets");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Returns whether to end at once.
    fn take_commands(&mut self, now: Time) -> bool {
        // Not readable: nobody woke us, and the channel is empty or will wake us.
        let _ = self.wake.read();
        loop {
            let (index, input) = match self.commands.try_recv() {
                Ok(Command::Stand(index, stand)) => {
                    if let Some(holder) = self.holders.get_mut(index) {
                        holder.stand(&mut self.kernel, now, stand);
                    }
                    continue;
                }
                Ok(Command::Claim(index)) => (index, Input::Claim),
                Ok(Command::Resign(index)) => (index, Input::Resign),
                Ok(Command::Keys(index, keys)) => {
                    if let Some(holder) = self.holders.get_mut(index) {
                        holder.input(&mut self.kernel, now, Input::Keys(&keys));
                    }
                    continue;
                }
                Ok(Command::Told(index, told)) => (index, Input::Told(told)),
                Ok(Command::Keep(keep)) => {
                    for holder in &mut self.holders {
                        holder.follow(keep.clone());
                    }
                    continue;
                }
                Ok(Command::Lost(index, loss)) => {
                    if let Some(holder) = self.holders.get_mut(index) {
                        holder.lost(&mut self.kernel, now, loss);
                    }
                    continue;
                }
                Ok(Command::Shutdown) => {
                    self.shutdown(now);
                    continue;
                }
                Ok(Command::HandOver) => {
                    let holders = self.holders.iter_mut();
                    let handed: Vec<_> =
                        holders.map(|holder| holder.hand_over(&mut self.kernel, now)).collect();
                    self.board.hand_over(handed);
                    self.handed = true;
                    return true;
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            };
            if let Some(holder) = self.holders.get_mut(index) {
                holder.input(&mut self.kernel, now, input);
            }
        }
    }

    fn shutdown(&mut self, now: Time) {
        let slowest =
            self.holders.iter().map(|holder| holder.member.settings.advert).max().unwrap_or_default();
        self.deadline = Some(now + SHUTDOWN.max(slowest * 6));
        for holder in &mut self.holders {
            holder.input(&mut self.kernel, now, Input::Shutdown);
        }
    }

    /// Takes what the kernel reported, but not so much in one turn that the timers have to wait. Returns the virtual
    /// addresses that were removed, by interface.
    ///
    /// A machine may have thousands of addresses that come and go (containers). Only our own and the virtual ones make
    /// work: reading the kernel's tables for each of the others would take longer than the adverts can wait.
    fn take_events(&mut self, now: Time) -> BTreeSet<(u32, IpAddr)> {
        let mut removed = BTreeSet::new();
        let mut look = false;
        let mut taken = 0;
        loop {
            self.more = taken == MOST_EVENTS;
            if self.more {
                break;
            }
            taken += 1;
            match self.monitor.next(Duration::ZERO) {
                Ok(None) => break,
                Ok(Some(Event::AddressAdded(address))) => look |= self.is_own(&address),
                Ok(Some(Event::AddressRemoved(address))) => {
                    look |= self.is_own(&address);
                    if self.is_virtual(address.ip) {
                        removed.insert((address.index, address.ip));
                    }
                }
                Ok(Some(Event::Link(_) | Event::LinkRemoved(_))) => look = true,
                Ok(Some(Event::Overrun)) => {
                    look = true;
                    // Any of ours may be among the lost messages; restoring asks the kernel first.
                    for holder in &self.holders {
                        removed.extend(holder.places());
                    }
                }
                Err(error) => {
                    error!(error = super::chain(&error), "the monitor broke; opening another");
                    match Monitor::open() {
                        Ok(monitor) => self.monitor = monitor,
                        Err(error) => {
                            error!(error = super::chain(&error), "no monitor");
                            std::thread::sleep(Duration::from_millis(10));
                        }
                    }
                    look = true;
                    break;
                }
            }
        }
        if look {
            for holder in &mut self.holders {
                holder.refresh(&mut self.kernel, now);
            }
        }
        removed
    }

    /// Takes what others say of our addresses. After the adverts: a successor says that it is active before it says
    /// that it has the addresses.
    fn take_claims(&mut self, now: Time) {
        for _ in 0..MOST_EVENTS {
            let Some(claim) = self.kernel.watch.receive() else { break };
            for holder in &mut self.holders {
                holder.claimed(now, &claim);
            }
        }
    }

    /// Whether it is this node's own on a network of a group: where it is tells which interface to use.
    fn is_own(&self, address: &Address) -> bool {
        let mut legs = self.holders.iter().flat_map(|holder| &holder.legs);
        legs.any(|leg| {
            let is_source = match address.ip {
                IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                    leg.setup.source.is_none() && leg.link().is_some_and(|link| link.index == address.index)
                }
                ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => leg.setup.source == Some(ip),
            };
            is_source || IpAddr::V4(leg.setup.ip) == address.ip
        })
    }

    fn is_virtual(&self, ip: IpAddr) -> bool {
        let mut addresses = self.holders.iter().flat_map(|holder| &holder.member.addresses);
        addresses.any(|address| address.ip == ip)
    }
}

/// Says that the thread is gone, however it went.
struct Tombstone {
    board: Arc<Board>,
}

impl Drop for Tombstone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(
                "the director's thread failed; the kernel removes its addresses when their leases run out"
            );
        }
        self.board.stop("its thread failed; see the log");
    }
}

const MOST_HURRIED: u32 = 1000;
/// Most events, and most claims of addresses, taken in one turn. What is left makes the next turn begin at once.
const MOST_EVENTS: usize = 256;
/// How long a shutdown waits for successors, unless six adverts take longer.
const SHUTDOWN: Duration = Duration::from_secs(3);
