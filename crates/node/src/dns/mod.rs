//! DNS at work: sockets on the virtual addresses, questions to other name servers.
//!
//! The sockets are there on every director, whether it holds the addresses or not: who does not hold them is not asked. So nothing
//! has to be opened when an address comes. What is answered is decided by [`relevo_proto::dns`]. One thread does it all, and each
//! question that goes elsewhere has a socket of its own: its port is hard to guess.

mod serve;
mod upstream;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use relevo_api::types::DnsStatus;
use relevo_model::ClusterFile;
use relevo_proto::dns::{Desk, Figures};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::dhcp::Names;

/// Where DNS is (RFC 1035 section 4.2).
const PORT: u16 = 53;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Sockets of one address.
type Pair = (UdpSocket, TcpListener);

/// What the thread is told.
enum Order {
    /// Listen here too.
    Open(IpAddr, Pair),
    /// And not here any more.
    Close(IpAddr),
}

/// What every task has.
struct Shared {
    /// `None`: the cluster file has no `[dns]` now.
    desk: Mutex<Option<Desk>>,
    names: Arc<Names>,
    limits: serve::Limits,
}

/// DNS of this node.
pub(crate) struct Dns {
    shared: Arc<Shared>,
    listens: Mutex<Vec<IpAddr>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    orders: UnboundedSender<Order>,
    thread: JoinHandle<()>,
}

impl Dns {
    /// Does nothing yet.
    pub(crate) fn new(names: Arc<Names>) -> Self {
        let shared = Shared { desk: Mutex::new(None), names, limits: serve::Limits::default() };
        Self { shared: Arc::new(shared), listens: Mutex::default(), running: Mutex::default() }
    }

    /// Answers as this file says, where it says, and nowhere else.
    ///
    /// # Errors
    /// When it cannot listen there; then nothing was changed.
    pub(crate) fn follow(&self, cluster: &ClusterFile) -> io::Result<()> {
        let wanted: Vec<IpAddr> =
            cluster.dns.iter().flat_map(|dns| &dns.listen).map(|listen| listen.ip).collect();
        let mut listens = lock(&self.listens);
        let mut opened = BTreeMap::new();
        for ip in wanted.iter().filter(|ip| !listens.contains(ip)) {
            opened.insert(*ip, open(*ip)?);
        }
        let mut running = lock(&self.running);
        if running.is_none() && !wanted.is_empty() {
            *running = Some(self.start()?);
        }
        {
            let mut desk = lock(&self.shared.desk);
            match (&mut *desk, &cluster.dns) {
                (Some(desk), Some(_)) => desk.follow(cluster),
                (desk, _) => *desk = Desk::new(cluster),
            }
        }
        if let Some(running) = &*running {
            for ip in listens.iter().filter(|ip| !wanted.contains(ip)) {
                let _ = running.orders.send(Order::Close(*ip));
            }
            for (ip, pair) in opened {
                tracing::info!(%ip, "answering DNS");
                let _ = running.orders.send(Order::Open(ip, pair));
            }
        }
        *listens = wanted;
        Ok(())
    }

    /// What it does; `None`: there is no DNS.
    pub(crate) fn status(&self) -> Option<DnsStatus> {
        let figures = lock(&self.shared.desk).as_ref().map(Desk::figures)?;
        let Figures { asked, own, cached, forwarded, failed, dropped, .. } = figures;
        let listen = lock(&self.listens).clone();
        Some(DnsStatus { listen, asked, own, cached, forwarded, failed, dropped })
    }

    /// Closes all sockets.
    pub(crate) fn stop(&self) {
        if let Some(Running { orders, thread }) = lock(&self.running).take() {
            drop(orders);
            let _ = thread.join();
        }
    }

    fn start(&self) -> io::Result<Running> {
        let (orders, receiver) = unbounded_channel();
        let shared = Arc::clone(&self.shared);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("dns".to_owned());
        let thread = thread.spawn(move || runtime.block_on(run(shared, receiver)))?;
        Ok(Running { orders, thread })
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").finish_non_exhaustive()
    }
}

async fn run(shared: Arc<Shared>, mut orders: UnboundedReceiver<Order>) {
    let mut places: BTreeMap<IpAddr, JoinSet<()>> = BTreeMap::new();
    // It ends when nobody can give orders any more; the tasks end with their sets.
    while let Some(order) = orders.recv().await {
        match order {
            Order::Open(ip, (datagrams, connections)) => {
                let sockets = tokio::net::UdpSocket::from_std(datagrams)
                    .and_then(|udp| tokio::net::TcpListener::from_std(connections).map(|tcp| (udp, tcp)));
                match sockets {
                    Ok((udp, tcp)) => {
                        let mut tasks = JoinSet::new();
                        tasks.spawn(serve::datagrams(Arc::clone(&shared), udp));
                        tasks.spawn(serve::connections(Arc::clone(&shared), tcp));
                        places.insert(ip, tasks);
                    }
                    Err(error) => tracing::error!(%ip, %error, "DNS cannot be answered"),
                }
            }
            Order::Close(ip) => {
                places.remove(&ip);
            }
        }
    }
}

/// Sockets of an address that need not be here now. Another process of this node may have some there too: it hands over.
fn open(ip: IpAddr) -> io::Result<Pair> {
    let at = SockAddr::from(SocketAddr::new(ip, PORT));
    let domain = if ip.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let open = |kind: Type, protocol| -> io::Result<Socket> {
        let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))?;
        if ip.is_ipv4() {
            socket.set_freebind_v4(true)?;
        } else {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&at)?;
        Ok(socket)
    };
    let both = || -> io::Result<Pair> {
        let datagrams = open(Type::DGRAM, Protocol::UDP)?;
        let connections = open(Type::STREAM, Protocol::TCP)?;
        connections.listen(BACKLOG)?;
        Ok((datagrams.into(), connections.into()))
    };
    both().map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen for DNS on {ip}, port {PORT}: {error}"))
    })
}

/// Whoever panicked with a lock has left whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
