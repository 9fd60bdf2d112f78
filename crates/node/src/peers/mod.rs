//! The channel between the directors at work: a UDP socket on every network that this node shares with another director.
//!
//! ```text
//!   publish(topic, bytes) ──► seal for each director and network ──► sockets
//!   subscribe(topic) ◄── Message { from, network, bytes } ◄── open ◄── thread "peers" ◄── sockets
//! ```
//! Datagrams may be lost, come twice over different networks, and in any order. Publishing never waits; a subscriber that
//! does not take what is there loses the newest. What a datagram is made of is [`relevo_proto::peers`]'s.

mod key;
mod socket;
mod start;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use relevo_model::{NetworkName, NodeName, Time};
use relevo_net::{clock, realtime};
use relevo_proto::peers::{Channel, DropReason, GREETING, Keys};

pub use key::new as new_key;
pub(crate) use key::read as read_key;
pub use start::PeersError;

use socket::Way;

/// The topic of [`crate::ownership`].
pub(crate) const OWNERSHIP: u8 = 1;

/// Something that another director said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Who.
    pub(crate) from: NodeName,
    /// Over which network.
    pub(crate) network: NetworkName,
    /// When it came in.
    pub(crate) at: Time,
    /// What.
    pub(crate) bytes: Vec<u8>,
}

/// The channel to all other directors.
pub(crate) struct Peers {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    own: NodeName,
    others: Vec<NodeName>,
    port: u16,
    key: PathBuf,
    boots: PathBuf,
    channel: Mutex<Channel>,
    ways: Mutex<Vec<Way>>,
    subscribers: Mutex<Vec<(u8, SyncSender<Message>)>>,
    /// When a director was heard last, by network.
    heard: Mutex<BTreeMap<(NodeName, NetworkName), Time>>,
    /// The sockets are closed: another process of this node has the channel.
    paused: AtomicBool,
    stopped: AtomicBool,
    wake: EventFd,
}

/// A way to another director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) to: NodeName,
    pub(crate) network: NetworkName,
    /// When it was heard there last.
    pub(crate) heard: Option<Time>,
}

impl Peers {
    /// Says something to all other directors, over every network. At most
    /// [`MOST_BYTES`](relevo_proto::peers::MOST_BYTES) bytes. It does not wait.
    pub(crate) fn publish(&self, topic: u8, bytes: &[u8]) {
        for to in &self.shared.others {
            self.publish_to(to, topic, bytes);
        }
    }

    /// Says something to one director, over every network.
    pub(crate) fn publish_to(&self, to: &NodeName, topic: u8, bytes: &[u8]) {
        let now = clock::now();
        let ways = lock(&self.shared.ways);
        for way in ways.iter() {
            if let Some(at) = way.address_of(to) {
                let datagram = lock(&self.shared.channel).seal(now, to, &way.network, topic, bytes);
                way.send(at, self.shared.port, &datagram);
            }
        }
    }

    /// Hears what others say about a topic from now on. Whoever does not take it in time loses the newest.
    pub(crate) fn subscribe(&self, topic: u8) -> Receiver<Message> {
        let (to, messages) = sync_channel(MOST_WAITING);
        lock(&self.shared.subscribers).push((topic, to));
        messages
    }

    /// All ways to other directors, and when they were heard there last.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let heard = lock(&self.shared.heard);
        let ways = lock(&self.shared.ways);
        let each = ways.iter().flat_map(|way| way.others().map(move |to| (to, &way.network)));
        each.map(|(to, network)| Path {
            to: to.clone(),
            network: network.clone(),
            heard: heard.get(&(to.clone(), network.clone())).copied(),
        })
        .collect()
    }

    /// The number of this run, higher than that of all before.
    pub(crate) fn boot(&self) -> u64 {
        lock(&self.shared.channel).boot()
    }

    /// Reads the key file again.
    ///
    /// # Errors
    /// When it cannot be used; then nothing has changed.
    pub(crate) fn read_key_again(&self) -> Result<(), PeersError> {
        let keys = read_key(&self.shared.key)?;
        lock(&self.shared.channel).set_keys(keys);
        Ok(())
    }

    /// Closes the sockets: another process of this node shall have them.
    pub(crate) fn pause(&self) {
        self.shared.paused.store(true, Ordering::Release);
        for way in lock(&self.shared.ways).iter_mut() {
            way.close();
        }
        self.shared.ring();
    }

    /// Goes on after [`Peers::pause`], as a new run: the other process may have said something.
    pub(crate) fn go_on(&self) {
        match (start::next_boot(&self.shared.boots), read_key(&self.shared.key)) {
            (Ok(boot), Ok(keys)) => *lock(&self.shared.channel) = self.shared.new_channel(boot, keys),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!("the channel between directors cannot go on: {}", crate::in_full(&error));
                return;
            }
        }
        self.shared.paused.store(false, Ordering::Release);
        self.shared.ring();
    }

    /// Ends the thread and closes the sockets; subscribers hear nothing more.
    pub(crate) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.ring();
        if let Some(thread) = lock(&self.thread).take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
        lock(&self.shared.subscribers).clear();
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("own", &self.shared.own).finish_non_exhaustive()
    }
}

impl Shared {
    fn new_channel(&self, boot: u64, keys: Keys) -> Channel {
        Channel::new(self.own.clone(), boot, keys, self.others.iter().cloned())
    }

    fn ring(&self) {
        // It fails only when 2^64 wakes wait; then the thread wakes anyway.
        let _ = self.wake.write(1);
    }

    /// The thread: opens sockets that are missing, and takes what comes in.
    fn run(&self) {
        if let Err(error) = realtime::prefer_this_thread() {
            tracing::debug!(%error, "no real-time priority");
        }
        let mut drops = Drops::default();
        while !self.stopped.load(Ordering::Acquire) {
            let now = clock::now();
            if !self.paused.load(Ordering::Acquire) {
                for way in lock(&self.ways).iter_mut() {
                    way.open_if_due(now, self.port);
                }
            }
            self.wait();
            // Not readable: nobody woke us.
            let _ = self.wake.read();
            self.take(&mut drops);
        }
        for way in lock(&self.ways).iter_mut() {
            way.close();
        }
    }

    fn wait(&self) {
        // Copies of the descriptors: others may send while this thread sleeps.
        let sockets: Vec<_> = lock(&self.ways).iter().filter_map(Way::copy).collect();
        let mut fds = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        fds.extend(sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        if let Err(error) = ppoll(&mut fds, Some(TimeSpec::from_duration(socket::RETRY)), None)
            && error != nix::errno::Errno::EINTR
        {
            tracing::error!(%error, "cannot wait for the channel's sockets");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn take(&self, drops: &mut Drops) {
        let mut buffer = [0; socket::DATAGRAM_BYTES];
        let count = lock(&self.ways).len();
        for index in 0..count {
            for _ in 0..MOST_DATAGRAMS {
                let (network, taken) = {
                    let mut ways = lock(&self.ways);
                    let way = &mut ways[index];
                    (way.network.clone(), way.receive(&mut buffer))
                };
                let Some((source, length)) = taken else { break };
                let now = clock::now();
                if let Err(reason) = self.take_one(now, index, &network, source, &buffer[..length]) {
                    drops.tell(now, &network, source, reason);
                }
            }
        }
    }

    fn take_one(
        &self,
        now: Time,
        index: usize,
        network: &NetworkName,
        source: Ipv4Addr,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let mut channel = lock(&self.channel);
        let (from, topic, bytes) = match channel.open(now, network, datagram) {
            Ok(opened) => (opened.from, opened.topic, opened.bytes),
            Err(DropReason::Unacquainted) => {
                let greeting = channel.greet(now, datagram, network);
                drop(channel);
                if let Some((to, greeting)) = greeting {
                    let ways = lock(&self.ways);
                    if let Some(at) = ways[index].address_of(&to).filter(|at| *at == source) {
                        ways[index].send(at, self.port, &greeting);
                    }
                }
                return Err(DropReason::Unacquainted);
            }
            Err(reason) => return Err(reason),
        };
        drop(channel);
        if lock(&self.ways)[index].address_of(&from) != Some(source) {
            return Err(DropReason::Address);
        }
        lock(&self.heard).insert((from.clone(), network.clone()), now);
        if topic == GREETING {
            return Ok(());
        }
        let mut subscribers = lock(&self.subscribers);
        subscribers.retain(|(wanted, to)| {
            if *wanted != topic {
                return true;
            }
            let message =
                Message { from: from.clone(), network: network.clone(), at: now, bytes: bytes.to_vec() };
            !matches!(to.try_send(message), Err(std::sync::mpsc::TrySendError::Disconnected(_)))
        });
        Ok(())
    }
}

/// Tells of datagrams that were dropped: one line in ten seconds.
#[derive(Debug, Default)]
struct Drops {
    told: Option<Time>,
    silent: u64,
}

impl Drops {
    fn tell(&mut self, now: Time, network: &NetworkName, source: Ipv4Addr, reason: DropReason) {
        // Every start begins so.
        if reason == DropReason::Unacquainted {
            tracing::debug!(%network, %source, "a datagram of the channel was not used: {reason}");
        } else if self.told.is_some_and(|told| now.since(told) < QUIET) {
            self.silent += 1;
        } else {
            self.told = Some(now);
            let silent = std::mem::take(&mut self.silent);
            tracing::warn!(%network, %source, silent, "dropped a datagram of the channel between directors: {reason}");
        }
    }
}

/// Whoever panicked with a lock has left whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Messages that wait for a subscriber.
const MOST_WAITING: usize = 1024;
/// Most datagrams taken from one socket in one turn.
const MOST_DATAGRAMS: usize = 256;
const QUIET: Duration = Duration::from_secs(10);
