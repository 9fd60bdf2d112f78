//! The thread that has all servers, and does what they say.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relevo_api::types::{DhcpStatus, LeaseKind, LeaseStatus};
use relevo_model::cluster::{Dhcp, Family, Mac, MacSource};
use relevo_model::{ClusterFile, NetworkName, NodeName, Time};
use relevo_net::address_probe::AddressProbe;
use relevo_net::dhcp_socket::DhcpSocket;
use relevo_net::link::Interface;
use relevo_net::route::Route;
use relevo_net::virtual_mac;
use relevo_proto::dhcp::{Input, Lease, LeaseState, Output, Server, Settings};

use super::journal::Journal;
use super::{Event, Names, TOPIC};
use crate::duty::Leaving;
use crate::peers::Peers;

/// Largest datagram of a client that is read, bytes.
const DATAGRAM_BYTES: usize = 2048;
/// How often a reader looks whether it shall go on.
const LOOK: Duration = Duration::from_millis(200);
/// Most events before the disk and the clock have their turn.
const MOST_EVENTS: usize = 256;

pub(super) struct Desk {
    cluster: Arc<ClusterFile>,
    node: NodeName,
    state: PathBuf,
    names: Arc<Names>,
    events: SyncSender<Event>,
    peers: Option<Arc<Peers>>,
    networks: BTreeMap<NetworkName, Network>,
}

struct Network {
    dhcp: Dhcp,
    server: Server,
    journal: Journal,
    line: Option<Line>,
    /// Another process has the file.
    handed_over: bool,
}

/// The way to the clients, while the group is active here.
struct Line {
    socket: DhcpSocket,
    probe: AddressProbe,
    open: Arc<AtomicBool>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.open.store(false, Ordering::Release);
    }
}

impl Desk {
    pub(super) fn new(
        cluster: &Arc<ClusterFile>,
        node: NodeName,
        state: &Path,
        names: Arc<Names>,
        events: SyncSender<Event>,
    ) -> io::Result<Self> {
        let mut desk = Self {
            cluster: Arc::clone(cluster),
            node,
            state: state.to_owned(),
            names,
            events,
            peers: None,
            networks: BTreeMap::new(),
        };
        for dhcp in &cluster.dhcp {
            desk.open(dhcp)?;
        }
        Ok(desk)
    }

    pub(super) fn run(mut self, events: &Receiver<Event>) {
        loop {
            let now = utc();
            let due = self.networks.values().filter_map(|network| network.server.poll_timeout()).min();
            let wait = due.map_or(Duration::from_secs(3600), |due| due.since(now));
            let mut next = match events.recv_timeout(wait) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut taken = 0;
            while let Some(event) = next {
                if !self.take(event) {
                    return;
                }
                taken += 1;
                next = if taken < MOST_EVENTS { events.try_recv().ok() } else { None };
            }
            let now = utc();
            for network in self.networks.values_mut() {
                if network.server.poll_timeout().is_some_and(|due| due <= now) {
                    network.server.handle_timeout(now);
                }
                network.work(now, &self.names, self.peers.as_deref());
            }
        }
    }

    /// Whether to go on.
    fn take(&mut self, event: Event) -> bool {
        let now = utc();
        match event {
            Event::Packet(network, bytes) => {
                if let Some(network) = self.networks.get_mut(&network) {
                    network.server.handle_input(now, Input::Packet(&bytes));
                }
            }
            Event::Used(network, ip, mac) => {
                if let Some(network) = self.networks.get_mut(&network) {
                    network.server.handle_input(now, Input::Used { ip, mac });
                }
            }
            Event::Peer(bytes) => {
                for network in self.networks.values_mut() {
                    network.server.handle_input(now, Input::Peer(&bytes));
                }
            }
            Event::Channel(peers) => self.peers = Some(peers),
            Event::Take(group, answer) => {
                let names: Vec<NetworkName> = self
                    .networks
                    .iter()
                    .filter(|(_, one)| one.dhcp.group == group)
                    .map(|(name, _)| name.clone())
                    .collect();
                let taken = names.iter().try_for_each(|name| self.begin(name));
                let _ = answer.send(taken);
            }
            Event::Leave(group, why, answer) => {
                for network in self.networks.values_mut().filter(|network| network.dhcp.group == group) {
                    network.server.handle_input(now, Input::Leave);
                    network.line = None;
                    network.handed_over = why == Leaving::HandedOver;
                }
                let _ = answer.send(());
            }
            Event::Follow(cluster) => self.follow(cluster),
            Event::List(answer) => {
                let _ = answer.send(self.list(now));
            }
            Event::Status(answer) => {
                let _ = answer.send(self.networks.values().map(|network| network.status(now)).collect());
            }
            Event::Stop => return false,
        }
        true
    }

    fn settings(&self, dhcp: &Dhcp) -> Option<Settings> {
        Settings::new(&self.cluster, dhcp, &self.node)
    }

    fn path(&self, dhcp: &Dhcp) -> PathBuf {
        self.state.join(format!("leases-{}.log", dhcp.network))
    }

    fn open(&mut self, dhcp: &Dhcp) -> io::Result<()> {
        let Some(settings) = self.settings(dhcp) else { return Ok(()) };
        let (journal, table) = Journal::open(&self.path(dhcp))?;
        table.iter().for_each(|lease| self.names.note(lease));
        let server = Server::new(settings, table, utc());
        let network = Network { dhcp: dhcp.clone(), server, journal, line: None, handed_over: false };
        self.networks.insert(dhcp.network.clone(), network);
        Ok(())
    }

    /// The group is active here: clients are heard.
    fn begin(&mut self, name: &NetworkName) -> io::Result<()> {
        let (node, cluster) = (&self.node, Arc::clone(&self.cluster));
        let Some(network) = self.networks.get_mut(name) else { return Ok(()) };
        if network.line.is_some() {
            return Ok(());
        }
        let own = cluster.node(node).and_then(|node| node.address_on(name));
        let own = own.ok_or_else(|| io::Error::other(format!("{node} has no address on {name}")))?;
        let interface = Route::open().and_then(|mut route| route.interface(own.ip, own.interface.as_deref()));
        let interface = interface.map_err(io::Error::other)?;
        let socket = DhcpSocket::open(&interface, network.dhcp.server).map_err(io::Error::other)?;
        // What is sent to a virtual hardware address comes in by an interface of its own, and broadcasts come in there too.
        let heard = match own_interface(&cluster, &network.dhcp, &interface)? {
            Some(own) => DhcpSocket::open(&own, network.dhcp.server).map_err(io::Error::other)?,
            None => socket.try_clone()?,
        };
        let probe = AddressProbe::open(&interface.link).map_err(io::Error::other)?;
        // A former process of this node may have written since.
        let (journal, table) = Journal::open(&self.state.join(format!("leases-{name}.log")))?;
        network.journal = journal;
        network.handed_over = false;
        network.server.restore(table.iter());
        let open = Arc::new(AtomicBool::new(true));
        let reader = Reader {
            socket: heard,
            open: Arc::clone(&open),
            network: name.clone(),
            events: self.events.clone(),
        };
        std::thread::Builder::new().name("dhcp-in".to_owned()).spawn(move || reader.run())?;
        let answers = Answers {
            probe: probe.try_clone().map_err(io::Error::other)?,
            open: Arc::clone(&open),
            network: name.clone(),
            events: self.events.clone(),
        };
        std::thread::Builder::new().name("dhcp-arp".to_owned()).spawn(move || answers.run())?;
        network.line = Some(Line { socket, probe, open });
        network.server.handle_input(utc(), Input::Take);
        tracing::info!(network = %name, interface = interface.link.name, leases = network.server.table().len(), "giving addresses");
        Ok(())
    }

    fn follow(&mut self, cluster: Arc<ClusterFile>) {
        self.cluster = Arc::clone(&cluster);
        self.networks.retain(|name, _| cluster.dhcp.iter().any(|dhcp| dhcp.network == *name));
        for dhcp in &cluster.dhcp {
            let settings = self.settings(dhcp);
            match (self.networks.get_mut(&dhcp.network), settings) {
                (Some(network), Some(settings)) => {
                    if network.dhcp.server != dhcp.server || network.dhcp.group != dhcp.group {
                        // The next `take` opens it anew.
                        network.server.handle_input(utc(), Input::Leave);
                        network.line = None;
                    }
                    network.dhcp = dhcp.clone();
                    network.server.follow(utc(), settings);
                }
                (None, Some(_)) => {
                    if let Err(error) = self.open(dhcp) {
                        tracing::error!(network = %dhcp.network, %error, "the leases cannot be read; nobody gets an address");
                    }
                }
                (Some(_) | None, None) => {
                    self.networks.remove(&dhcp.network);
                }
            }
        }
    }

    fn list(&self, now: Time) -> Vec<LeaseStatus> {
        let now_s = now.as_nanos() / 1_000_000_000;
        let status = |network: &Network, lease: &Lease| {
            let kind = match lease.state {
                LeaseState::Declined if lease.until > now_s => LeaseKind::Declined,
                LeaseState::Bound if lease.until > now_s => LeaseKind::Bound,
                LeaseState::Bound | LeaseState::Declined | LeaseState::Free => LeaseKind::Ended,
            };
            LeaseStatus {
                network: network.dhcp.network.clone(),
                ip: lease.ip,
                mac: lease.mac.to_string(),
                name: lease.name.clone(),
                kind,
                until: lease.until.saturating_mul(1000),
                fixed: network.dhcp.host(lease.mac).is_some_and(|host| host.ip == lease.ip),
            }
        };
        let networks = self.networks.values();
        networks
            .flat_map(|network| network.server.table().iter().map(move |lease| status(network, lease)))
            .collect()
    }
}

impl Network {
    fn status(&self, now: Time) -> DhcpStatus {
        let now_s = now.as_nanos() / 1_000_000_000;
        DhcpStatus {
            network: self.dhcp.network.clone(),
            answering: self.line.is_some() && self.server.is_answering(now),
            bound: self.server.table().iter().filter(|lease| lease.is_bound(now_s)).count(),
            room: self.server.room(),
        }
    }

    /// Does what the server says, until it says nothing more. Leases go to the disk together.
    fn work(&mut self, now: Time, names: &Names, peers: Option<&Peers>) {
        loop {
            let mut leases = Vec::new();
            let mut last = None;
            while let Some(output) = self.server.poll_output() {
                match output {
                    Output::Send { to: (ip, port), bytes } => {
                        let Some(line) = &self.line else { continue };
                        if let Err(error) = line.socket.send(SocketAddrV4::new(ip, port), &bytes) {
                            tracing::warn!(network = %self.dhcp.network, %ip, %error, "an answer to a DHCP client cannot be sent");
                        }
                    }
                    Output::Store { number, lease } => {
                        names.note(&lease);
                        leases.push(lease);
                        last = Some(number);
                    }
                    Output::Probe(ip) => {
                        let Some(line) = &self.line else { continue };
                        if let Err(error) = line.probe.ask(ip) {
                            tracing::debug!(network = %self.dhcp.network, %ip, "not asked for: {}", crate::in_full(&error));
                        }
                    }
                    Output::Publish(bytes) => {
                        if let Some(peers) = peers {
                            peers.publish(TOPIC, &bytes);
                        }
                    }
                }
            }
            let Some(last) = last else { return };
            if self.handed_over {
                return;
            }
            match self.journal.write(&leases, self.server.table()) {
                Ok(()) => self.server.handle_input(now, Input::Stored(last)),
                Err(error) => {
                    // Nobody is told; clients ask again, and the whole table is written then.
                    self.journal.doubt();
                    tracing::error!(network = %self.dhcp.network, %error, "leases cannot be written to the state folder; clients get no answer");
                    return;
                }
            }
        }
    }
}

/// The interface with the virtual hardware address that DHCP's address is on, if it has one.
fn own_interface(cluster: &ClusterFile, dhcp: &Dhcp, base: &Interface) -> io::Result<Option<Interface>> {
    let group = cluster.group(&dhcp.group).filter(|group| group.mac == MacSource::Virtual);
    let Some(vrid) = group.and_then(|group| group.vrid_on(&dhcp.network)) else { return Ok(None) };
    let name = virtual_mac::name(Family::V4, vrid, &base.link.name);
    let links = Route::open().and_then(|mut route| route.links()).map_err(io::Error::other)?;
    Ok(links.into_iter().find(|link| link.name == name).map(|link| Interface { link, ip: base.ip }))
}

/// Hears who answers for addresses.
struct Answers {
    probe: AddressProbe,
    open: Arc<AtomicBool>,
    network: NetworkName,
    events: SyncSender<Event>,
}

impl Answers {
    fn run(self) {
        while self.open.load(Ordering::Acquire) {
            if let Some((ip, mac)) = self.probe.answer(LOOK) {
                // When the desk is busy the client asks again.
                let _ = self.events.try_send(Event::Used(self.network.clone(), ip, Mac(mac)));
            }
        }
    }
}

/// Hears the clients of one network.
struct Reader {
    socket: DhcpSocket,
    open: Arc<AtomicBool>,
    network: NetworkName,
    events: SyncSender<Event>,
}

impl Reader {
    fn run(self) {
        let mut buffer = [0; DATAGRAM_BYTES];
        if let Err(error) = self.socket.set_patience(LOOK) {
            tracing::error!(network = %self.network, %error, "DHCP clients cannot be heard");
            return;
        }
        while self.open.load(Ordering::Acquire) {
            match self.socket.receive(&mut buffer) {
                Ok(Some(length)) => {
                    let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                    // When the desk is busy the client asks again.
                    let _ = self.events.try_send(Event::Packet(self.network.clone(), bytes));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(network = %self.network, %error, "DHCP clients are not heard for a moment");
                    std::thread::sleep(LOOK);
                }
            }
        }
    }
}

/// The time since 1970.
fn utc() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
