//! DHCP at work: sockets on the networks whose group is active here, leases on disk, the channel to the other directors.
//!
//! ```text
//!   socket ─► dhcp-in (one for each network, while active) ─┐
//!   channel ─► dhcp-peers ──────────────────────────────────┼─► dhcp: proto::dhcp::Server, leases-NETWORK.log
//!   duties, reload, relevo leases ──────────────────────────┘
//! ```
//! Who gets which address is decided by [`relevo_proto::dhcp`]. A lease is confirmed after one fsync, which serves all that came in
//! meanwhile.

mod desk;
mod journal;
mod names;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use relevo_api::types::{DhcpStatus, LeaseStatus};
use relevo_model::{ClusterFile, GroupName, NetworkName, NodeName};

use crate::duty::{Duty, Leaving};
use crate::peers::{Message, Peers};
use desk::Desk;
pub(crate) use names::Names;

/// The topic of leases on the channel.
const TOPIC: u8 = 2;
/// Things that wait for the thread; what comes from the network beyond that is dropped.
const MOST_WAITING: usize = 1024;
/// How long somebody waits for the thread.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the thread is told.
enum Event {
    Packet(NetworkName, Vec<u8>),
    /// Somebody answers for an address.
    Used(NetworkName, std::net::Ipv4Addr, relevo_model::cluster::Mac),
    Peer(Vec<u8>),
    Channel(Arc<Peers>),
    Take(GroupName, Sender<io::Result<()>>),
    Leave(GroupName, Leaving, Sender<()>),
    Follow(Arc<ClusterFile>),
    List(Sender<Vec<LeaseStatus>>),
    Status(Sender<Vec<DhcpStatus>>),
    Stop,
}

/// DHCP of this node, for all its networks.
pub(crate) struct Dhcp {
    events: SyncSender<Event>,
    names: Arc<Names>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Dhcp {
    /// Reads the leases that are in the state folder, and waits.
    ///
    /// # Errors
    /// When they cannot be read, or the system has no more threads.
    pub(crate) fn start(cluster: &Arc<ClusterFile>, node: &NodeName, state: &Path) -> io::Result<Self> {
        let (events, receiver) = sync_channel(MOST_WAITING);
        let names = Arc::new(Names::default());
        let desk = Desk::new(cluster, node.clone(), state, Arc::clone(&names), events.clone())?;
        let thread = std::thread::Builder::new().name("dhcp".to_owned());
        let thread = thread.spawn(move || desk.run(&receiver))?;
        Ok(Self { events, names, thread: Mutex::new(Some(thread)) })
    }

    /// What goes with the groups that are active here.
    pub(crate) fn duty(&self) -> Box<dyn Duty> {
        Box::new(DhcpDuty { events: self.events.clone() })
    }

    /// Tells the other directors from now on, and hears them.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn connect(&self, peers: &Arc<Peers>) -> io::Result<()> {
        let messages: Receiver<Message> = peers.subscribe(TOPIC);
        let events = self.events.clone();
        let listen = move || {
            // It ends with the channel, or with the desk.
            for message in messages {
                if events.send(Event::Peer(message.bytes)).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("dhcp-peers".to_owned()).spawn(listen)?;
        let _ = self.events.send(Event::Channel(Arc::clone(peers)));
        Ok(())
    }

    /// The names and addresses of all who have a lease.
    pub(crate) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names)
    }

    /// All leases that this director knows of.
    pub(crate) fn leases(&self) -> Vec<LeaseStatus> {
        let (to, list) = channel();
        let _ = self.events.send(Event::List(to));
        list.recv_timeout(PATIENCE).unwrap_or_default()
    }

    /// Each network with DHCP. Empty as well when the thread is busy for long.
    pub(crate) fn status(&self) -> Vec<DhcpStatus> {
        let (to, status) = channel();
        let _ = self.events.send(Event::Status(to));
        status.recv_timeout(PATIENCE).unwrap_or_default()
    }

    /// Ends the thread and closes the sockets.
    pub(crate) fn stop(&self) {
        let _ = self.events.send(Event::Stop);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Dhcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dhcp").finish_non_exhaustive()
    }
}

struct DhcpDuty {
    events: SyncSender<Event>,
}

impl Duty for DhcpDuty {
    fn name(&self) -> &'static str {
        "DHCP"
    }

    fn take(&mut self, group: &GroupName) -> io::Result<()> {
        let (to, answer) = channel();
        let gone = || io::Error::other("its thread is gone");
        self.events.send(Event::Take(group.clone(), to)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    fn leave(&mut self, group: &GroupName, why: Leaving) {
        let (to, answer) = channel();
        if self.events.send(Event::Leave(group.clone(), why, to)).is_ok() {
            let _ = answer.recv_timeout(PATIENCE);
        }
    }

    fn follow(&mut self, cluster: &Arc<ClusterFile>) {
        let _ = self.events.send(Event::Follow(Arc::clone(cluster)));
    }
}
