//! The statistics page's sockets, thread and connections. Everything has a limit.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Source;
use super::answer::Shared;
use crate::seats::Seats;

/// Connections at a time; more wait in the kernel.
const MOST_CONNECTIONS: usize = 64;
/// Of them from one address; more are closed at once.
const MOST_OF_ONE: usize = 16;
/// Threads for what takes time: checking passwords, writing to the disk.
const BLOCKING_THREADS: usize = 4;
/// Time for a request's head, and longest idle time of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest life of a connection.
const LONGEST_LIFE: Duration = Duration::from_secs(60);
/// How often totals are looked at for rates.
const LOOK: Duration = Duration::from_secs(1);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// The statistics page cannot be served. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// Someone listens there.
    #[error("statistics page: {at} is in use by another program; stop it or change `listen` in [stats]")]
    InUse {
        /// The address and port.
        at: SocketAddr,
    },
    /// The kernel refused.
    #[error("statistics page: cannot listen on {at}")]
    Listen {
        /// The address and port.
        at: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No thread, event loop or randomness is to be had.
    #[error("cannot start the statistics page")]
    System(#[source] io::Error),
}

/// The running server of the statistics page; dropping it stops it.
pub(crate) struct Server {
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
    /// Where it listens: as wanted, and as it is.
    places: Mutex<BTreeMap<SocketAddr, Listening>>,
    /// Sockets of a former process that may be wanted.
    inherited: Mutex<BTreeMap<SocketAddr, OwnedFd>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("places", &self.places).finish_non_exhaustive()
    }
}

/// A socket that is listened on.
#[derive(Debug)]
struct Listening {
    /// Where it really is.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask for port 0"))]
    at: SocketAddr,
    /// For a process that takes over.
    copy: OwnedFd,
}

/// Listen there too, and on these alone.
struct Order {
    opened: Vec<(SocketAddr, TcpListener)>,
    wanted: Vec<SocketAddr>,
}

impl Server {
    /// Starts the thread. It listens nowhere yet. `inherited` is used instead of new sockets.
    ///
    /// # Errors
    /// When there is no thread, event loop or randomness to be had.
    pub(crate) fn start(
        source: Arc<dyn Source>,
        inherited: Vec<(SocketAddr, OwnedFd)>,
    ) -> Result<Self, StatsError> {
        let mut key = [0; 32];
        let random = std::fs::File::open("/dev/urandom")
            .and_then(|mut file| io::Read::read_exact(&mut file, &mut key));
        random.map_err(StatsError::System)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("stats-work")
            .build()
            .map_err(StatsError::System)?;
        let (orders, received) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(source, key));
        let body = move || {
            runtime.block_on(run(shared, received));
            // Work that still blocks is not waited for.
            runtime.shutdown_background();
        };
        let thread =
            std::thread::Builder::new().name("stats".to_owned()).spawn(body).map_err(StatsError::System)?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
            places: Mutex::default(),
            inherited: Mutex::new(inherited.into_iter().collect()),
        })
    }

    /// Listens on these addresses alone. Those that stay are not touched; they may be on another machine yet.
    ///
    /// # Errors
    /// When one cannot be listened on; then nothing was changed.
    pub(crate) fn listen(&self, wanted: &[SocketAddr]) -> Result<(), StatsError> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut opened = Vec::new();
        for at in wanted.iter().filter(|at| !places.contains_key(at)) {
            let inherited = self.inherited.lock().unwrap_or_else(PoisonError::into_inner).remove(at);
            let listener = inherited.map_or_else(|| open(*at), |socket| Ok(TcpListener::from(socket)));
            let copied = listener.and_then(|listener| {
                let copy = listener.as_fd().try_clone_to_owned()?;
                Ok((listener, copy))
            });
            let (listener, copy) = copied.map_err(|source| {
                if source.kind() == io::ErrorKind::AddrInUse {
                    StatsError::InUse { at: *at }
                } else {
                    StatsError::Listen { at: *at, source }
                }
            })?;
            opened.push((*at, listener, copy));
        }
        places.retain(|at, _| wanted.contains(at));
        // What was not wanted at first is not wanted.
        self.inherited.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut listeners = Vec::new();
        for (at, listener, copy) in opened {
            let real = listener.local_addr().unwrap_or(at);
            places.insert(at, Listening { at: real, copy });
            listeners.push((at, listener));
        }
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order { opened: listeners, wanted: wanted.to_vec() });
        }
        Ok(())
    }

    /// Copies of all sockets, for a process that takes over.
    ///
    /// # Errors
    /// When there are too few descriptors.
    pub(crate) fn copies(&self) -> io::Result<Vec<(SocketAddr, OwnedFd)>> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().map(|(at, one)| Ok((*at, one.copy.try_clone()?))).collect()
    }

    /// Where it listens; a port 0 is the one that the kernel chose.
    #[cfg(test)]
    pub(super) fn places(&self) -> Vec<SocketAddr> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).values().map(|one| one.at).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Listens on an address that may not be on this machine yet.
fn open(at: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    match at {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn run(shared: Arc<Shared>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let seats = Seats::new(MOST_CONNECTIONS, MOST_OF_ONE);
    let mut listening: BTreeMap<SocketAddr, AbortHandle> = BTreeMap::new();
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(Order { opened, wanted }) = order else { return };
                listening.retain(|at, task| {
                    let stays = wanted.contains(at);
                    if !stays {
                        task.abort();
                    }
                    stays
                });
                for (at, listener) in opened {
                    match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => {
                            let task = tokio::spawn(accept(listener, Arc::clone(&shared), Arc::clone(&seats)));
                            listening.insert(at, task.abort_handle());
                        }
                        Err(error) => tracing::error!(%at, %error, "the statistics page cannot be served"),
                    }
                }
            }
            _ = looks.tick() => {
                let report = shared.source.report();
                shared.rates.lock().unwrap_or_else(PoisonError::into_inner).look(&report);
            }
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>, seats: Arc<Seats>) {
    loop {
        let Some(free) = seats.free().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the statistics page cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let from = peer.ip();
        let Some(seat) = seats.take(free, from) else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, std::convert::Infallible>(shared.answer(from, request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            match tokio::time::timeout(LONGEST_LIFE, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a connection to the statistics page ended"),
                Err(_) => tracing::debug!("a connection to the statistics page took too long"),
            }
            drop(seat);
        });
    }
}
