//! A worker: one thread, one event loop, its share of every service's connections.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use relevo_model::cluster::Mode;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::counters::{Counters, ServerCounters};
use crate::http::fields::Fields;
use crate::pool::Pool;
use crate::service::Shared;
use crate::slot::{Signal, Slot, Slots, TICK};
use crate::stream::Client;
use crate::{clock, http, tcp};

/// Bytes read at a time. One buffer for each worker, so that it can be large.
const SCRATCH: usize = 128 * 1024;

/// Shortest time between two lines in the log about connections that cannot be accepted.
const COMPLAIN: Duration = Duration::from_secs(10);

/// What the engine tells a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Something happened to a server: its connections must react.
    Server {
        /// The service's place.
        service: usize,
        /// The server's number.
        server: u16,
        /// To whom uses it.
        signal: Signal,
    },
    /// Stop: accept nothing more, and end when all is done or at this time.
    Stop(std::time::Instant),
}

/// Traffic to a server failed: the checks should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) service: usize,
    pub(crate) server: u16,
}

/// What all connections of one worker share. Nothing of it is borrowed across an await.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) number: usize,
    /// What is being read.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// What is being written.
    pub(crate) output: RefCell<Vec<u8>>,
    /// The head that is being parsed.
    pub(crate) fields: RefCell<Fields>,
    pub(crate) slots: Slots,
    pub(crate) pool: RefCell<Pool>,
    /// The engine stops: no connection is kept alive.
    pub(crate) closing: Cell<bool>,
    hints: mpsc::Sender<Hint>,
}

/// A service in one worker.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) worker: Rc<Worker>,
    pub(crate) shared: Arc<Shared>,
}

impl Local {
    pub(crate) fn counters(&self) -> &Counters {
        // One for each worker was made.
        &self.shared.counters[self.worker.number]
    }

    pub(crate) fn server_counters(&self, server: u16) -> &ServerCounters {
        // One for each server and the fallback was made.
        &self.counters().servers[usize::from(server)]
    }

    /// Counts a failure of a server and lets the checks look at it.
    pub(crate) fn server_failed(&self, server: u16) {
        self.server_counters(server).failures.add();
        // A full queue means that they have been told enough.
        let _ = self.worker.hints.try_send(Hint { service: self.shared.index, server });
    }

    pub(crate) fn key(&self, server: u16) -> usize {
        self.shared.first_key + usize::from(server)
    }
}

/// A client connection's place in the books; leaving it is noted when this is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    pub(crate) local: Rc<Local>,
    pub(crate) slot: Rc<Slot>,
}

impl Presence {
    fn new(local: Rc<Local>) -> Self {
        let slot = local.worker.slots.open();
        Self { local, slot }
    }

    pub(crate) fn set_deadline(&self, after: Duration) {
        self.local.worker.slots.set_deadline(&self.slot, after);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.local.worker.slots.close(&self.slot);
        self.local.shared.release();
    }
}

/// What a worker is made of; the parts that are not bound to its thread.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) number: usize,
    pub(crate) services: Vec<(Arc<Shared>, Vec<TcpListener>)>,
    pub(crate) hints: mpsc::Sender<Hint>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
}

/// Runs until it is told to stop. Must be called inside the worker's runtime.
pub(crate) async fn run(parts: Parts) -> io::Result<()> {
    let Parts { number, services, hints, mut commands } = parts;
    let keys = services.iter().map(|(shared, _)| shared.pool.servers.len() + 1).sum();
    let largest_head = services.iter().map(|(shared, _)| shared.config.limits.header).max().unwrap_or(0);
    let worker = Rc::new(Worker {
        number,
        scratch: RefCell::new(vec![0; SCRATCH + largest_head].into()),
        output: RefCell::new(Vec::with_capacity(SCRATCH)),
        fields: RefCell::new(Fields::new()),
        slots: Slots::default(),
        pool: RefCell::new(Pool::new(keys)),
        closing: Cell::new(false),
        hints,
    });
    worker.slots.tick(clock::now().as_millis());
    let keys: Vec<usize> = services.iter().map(|(shared, _)| shared.first_key).collect();
    let (stop, stopped) = tokio::sync::watch::channel(());
    // Without one of these the worker would be half alive.
    let mut vital = tokio::task::JoinSet::new();
    for (shared, listeners) in services {
        let local = Rc::new(Local { worker: Rc::clone(&worker), shared });
        for listener in listeners {
            let listener = watch(listener)?;
            vital.spawn_local(accept(Rc::clone(&local), listener, stopped.clone()));
        }
    }
    drop(stopped);
    let ticking = Rc::clone(&worker);
    vital.spawn_local(async move {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = clock::now().as_millis();
            ticking.slots.tick(now);
            ticking.pool.borrow_mut().prune(now);
        }
    });
    let until = loop {
        let command = tokio::select! {
            biased;
            command = commands.recv() => command,
            // They end when they are told to, after this loop. A panic here, outside a task, is the whole worker's.
            Some(ended) = vital.join_next() => panic!("a task of worker {number} has ended: {ended:?}"),
        };
        match command {
            Some(Command::Server { service, server, signal }) => {
                worker.slots.signal_server((service, server), signal);
                if let Some(first) = keys.get(service) {
                    worker.pool.borrow_mut().clear(first + usize::from(server));
                }
            }
            Some(Command::Stop(until)) => break until,
            None => break std::time::Instant::now(),
        }
    };
    // What the kernel has accepted for us is served, as far as there are places in time; then the listeners are gone.
    let until = Instant::from_std(until);
    worker.closing.set(true);
    worker.slots.signal_all(Signal::Closing);
    let _ = stop.send(());
    let _ = tokio::time::timeout_at(until, stop.closed()).await;
    worker.slots.signal_all(Signal::Closing);
    while worker.slots.len() > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn accept(
    local: Rc<Local>,
    listener: AsyncFd<TcpListener>,
    mut stop: tokio::sync::watch::Receiver<()>,
) {
    let mut complained: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.async_io(Interest::READABLE, accept_now) => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // One connection more than allowed is taken, and waits here; the others wait in the kernel.
                tokio::select! {
                    biased;
                    () = local.shared.admit() => start(&local, stream, peer),
                    _ = stop.changed() => break,
                }
            }
            // The client left before it was accepted (accept(2): pending network errors).
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Out of descriptors or memory: let some connections end.
                if complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
                    complained = Some(Instant::now());
                    tracing::warn!(service = %local.shared.config.name, %error, "cannot accept connections; they wait");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    while let Ok((stream, peer)) = accept_now(listener.get_ref()) {
        local.shared.admit().await;
        start(&local, stream, peer);
    }
}

/// Registers a listener with the event loop; unlike tokio's own listener, it does not register what it accepts.
#[allow(unsafe_code, reason = "tokio offers the registration of a descriptor only so")]
fn watch(listener: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    // SAFETY: a `TcpListener` owns its descriptor, always gives the same one, and closes it only when it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }?)
}

fn accept_now(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, peer))
}

/// Serves a connection that was admitted.
fn start(local: &Rc<Local>, stream: TcpStream, peer: SocketAddr) {
    let presence = Presence::new(Rc::clone(local));
    let client = Client::plain(stream);
    match local.shared.config.mode {
        Mode::Http => drop(tokio::task::spawn_local(http::connection::serve(presence, client, peer))),
        Mode::Tcp | Mode::Udp => drop(tokio::task::spawn_local(tcp::serve(presence, client))),
    }
}
