//! Starting, asking, changing and stopping the whole data plane.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::CpuSet;
use relevo_model::cluster::LogTarget;
use relevo_model::{ClusterFile, PoolName, ServerName, ServiceName};
use tokio::runtime::{Builder as RuntimeBuilder, LocalOptions};
use tokio::sync::mpsc;

use crate::backend::Backend;
use crate::bell::Bell;
use crate::check::{self, Order};
use crate::crew::Crew;
use crate::former::{Former, Known};
use crate::generation::{ApplyError, Builder, Generation, Inherited, Wishes};
use crate::log::{AccessLog, TargetError};
use crate::population::Population;
use crate::server::Server;
use crate::slot::Signal;
use crate::snapshot::{Share, Snapshot};
use crate::tls::AcmeDesk;
use crate::worker::{self, Command, Next};
use crate::{Admin, Reach, clock};

/// Longest wait for a worker to go over to a new configuration. It does so between two events.
const ADOPTED_WITHIN: Duration = Duration::from_secs(5);

/// How the engine uses the machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Worker threads; 0: one for each CPU that this process may use.
    pub workers: usize,
    /// The CPU of each worker, used in turn; `None`: the kernel places them.
    pub cpu_pin: Option<Vec<usize>>,
    /// What the operator wanted of servers before; it holds from the first request on. Servers that are not here are
    /// [`Admin::Ready`].
    pub admin: Vec<(PoolName, ServerName, Admin)>,
    /// Time that the work of services and servers has to finish after they were taken out of the configuration.
    pub drain: Duration,
    /// What authorities gave before: it is shown from the first client on.
    pub desk: Arc<AcmeDesk>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 0,
            cpu_pin: None,
            admin: Vec::new(),
            drain: Duration::from_secs(60),
            desk: Arc::default(),
        }
    }
}

/// The running data plane. Dropping it stops it at once; [`Engine::shutdown`] lets requests finish.
#[derive(Debug)]
pub struct Engine {
    current: Mutex<Current>,
    ids: AtomicU64,
    desk: Arc<AcmeDesk>,
    bell: Arc<Bell>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    crew: Arc<Crew>,
    orders: mpsc::UnboundedSender<Order>,
    threads: Vec<JoinHandle<()>>,
}

/// What changes; whoever changes it holds the lock until all threads have been told.
#[derive(Debug)]
struct Current {
    generation: Arc<Generation>,
    wishes: Wishes,
    /// What the first configuration goes on with.
    former: Former,
    /// The access log and where it goes; `None`: nowhere.
    log: Option<(AccessLog, LogTarget)>,
}

/// Why the data plane could not start. Nothing is left listening.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A thread or its event loop could not be made.
    #[error("cannot start the balancer's thread {name}")]
    Thread {
        /// The thread.
        name: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A new configuration is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Addresses that are listened on since.
    pub opened: usize,
    /// Addresses that are listened on no more.
    pub closed: usize,
}

impl Engine {
    /// Listens for all services and starts to balance. Addresses that are not on this machine yet are fine.
    ///
    /// # Errors
    /// See [`StartError`]; then nothing was started.
    pub fn start(settings: Settings, cluster: &ClusterFile) -> Result<Self, StartError> {
        Self::take_over(settings, cluster, Former::default())
    }

    /// The same, going on with what a former process listened on and knew.
    ///
    /// # Errors
    /// See [`StartError`]; then nothing was started.
    pub fn take_over(settings: Settings, cluster: &ClusterFile, former: Former) -> Result<Self, StartError> {
        let workers = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let wishes = settings.admin.into_iter().map(|(pool, server, admin)| ((pool, server), admin));
        let (hints, hints_out) = mpsc::channel(256);
        let (orders, orders_out) = mpsc::unbounded_channel();
        let (commands, commands_out): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let crew = Arc::new(Crew::new(&commands));
        let mut engine = Self {
            current: Mutex::new(Current {
                generation: Arc::default(),
                wishes: wishes.collect(),
                former,
                log: None,
            }),
            ids: AtomicU64::new(1),
            desk: settings.desk,
            bell: Arc::default(),
            workers: commands,
            crew,
            orders,
            threads: Vec::new(),
        };
        let population = Population::new(workers);
        for (number, commands) in commands_out.into_iter().enumerate() {
            let (hints, drain, population) = (hints.clone(), settings.drain, population.clone());
            let crew = Arc::clone(&engine.crew);
            let parts = worker::Parts { number, drain, hints, commands, population, crew };
            let cpu =
                settings.cpu_pin.as_ref().and_then(|cpus| cpus.get(number.checked_rem(cpus.len())?).copied());
            engine
                .threads
                .push(spawn(format!("worker-{number}"), cpu, async move || worker::run(parts).await)?);
        }
        let parts = check::Parts { hints: hints_out, orders: orders_out, workers: engine.workers.clone() };
        engine.threads.push(spawn("checks".to_owned(), None, async move || {
            // As a task of its own: to wake the future that the thread itself waits for costs a system call each time.
            tokio::task::spawn_local(check::run(parts)).await.map_err(io::Error::other)
        })?);
        engine.apply(cluster)?;
        Ok(engine)
    }

    /// Goes over to another configuration without a break: listening sockets that stay are not touched, servers that stay
    /// keep what is known of them and their connections, and from the return on all new requests follow it, on old
    /// connections too. Work of services and servers that are gone may finish within [`Settings::drain`].
    ///
    /// # Errors
    /// See [`ApplyError`]; then nothing was changed.
    pub fn apply(&self, cluster: &ClusterFile) -> Result<Applied, ApplyError> {
        let mut current = self.current();
        let former = Arc::clone(&current.generation);
        let Former { sockets, servers: known, .. } = std::mem::take(&mut current.former);
        let builder = Builder {
            cluster,
            former: &former,
            wishes: &current.wishes,
            desk: &self.desk,
            bell: &self.bell,
            workers: self.workers.len(),
            inherited: RefCell::new(sockets),
            now: clock::now(),
        };
        let (generation, sockets) = builder.build(|| self.ids.fetch_add(1, Ordering::Relaxed))?;
        let log = current.open_log(&cluster.log.target)?;
        let opened = sockets.first().map_or(0, Vec::len);
        let applied = Applied { opened, closed: former.doors.len() + opened - generation.doors.len() };
        let generation = Arc::new(generation);
        let now = clock::now();
        for backend in &generation.backends {
            let before = former.backends.iter().find(|before| before.config.name == backend.config.name);
            for (config, server) in backend.config.servers.iter().zip(&backend.servers) {
                let weight = before.and_then(|before| before.weight_beside(config));
                server.state().weight = weight;
            }
            known.iter().for_each(|known| known.tell(backend));
            backend.rebuild(now);
        }
        for frontend in &generation.frontends {
            frontend.gate.set_most(frontend.config.limits.connections);
        }
        // Threads that have ended need no orders.
        let _ = self.orders.send(Order::Apply(Arc::clone(&generation)));
        let (done, adopted) = std_mpsc::channel();
        for (worker, sockets) in self.workers.iter().zip(sockets) {
            let journal = current.log.as_ref().and_then(|(log, _)| log.journal(cluster.log.format));
            let next = Next { generation: Arc::clone(&generation), sockets, journal, done: done.clone() };
            let _ = worker.send(Command::Apply(next));
        }
        drop(done);
        let until = Instant::now() + ADOPTED_WITHIN;
        for _ in &self.workers {
            match adopted.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a worker cannot wait for a new listening socket"),
                Err(_) => {
                    tracing::warn!("a worker has not gone over to the new configuration yet");
                    break;
                }
            }
        }
        let servers = generation.backends.iter().flat_map(|backend| &backend.servers);
        let stay: BTreeSet<u64> = servers.map(|server| server.id).collect();
        for backend in &former.backends {
            for server in backend.servers.iter().filter(|server| !stay.contains(&server.id)) {
                server.set_open(false, false);
            }
            if !generation.backends.iter().any(|next| Arc::ptr_eq(next, backend)) {
                // Who waits for its servers waits for those of the next one.
                backend.queue.dissolve();
            }
        }
        current.generation = generation;
        // Now nobody writes into a log that is no more.
        drop(log);
        Ok(applied)
    }

    /// Where whoever orders certificates puts them.
    pub fn acme(&self) -> Arc<AcmeDesk> {
        Arc::clone(&self.desk)
    }

    /// Whether a pool has anybody to send requests to; `None`: there is no such pool. It costs little.
    pub fn reach(&self, pool: &str) -> Option<Reach> {
        let generation = Arc::clone(&self.current().generation);
        let backend = generation.backends.iter().find(|backend| *backend.config.name == *pool);
        backend.map(|backend| backend.reach())
    }

    /// Rings when it has changed who gets the work of a pool.
    pub fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// The parts that servers have in the work of their pools, both in the file's order.
    pub fn shares(&self) -> Vec<(PoolName, Vec<Share>)> {
        let generation = Arc::clone(&self.current().generation);
        generation.backends.iter().map(|backend| (backend.config.name.clone(), backend.shares())).collect()
    }

    /// The configuration that new requests follow.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.current().generation)
    }

    /// Everything as it is now, in the file's order.
    pub fn snapshot(&self) -> Snapshot {
        let generation = Arc::clone(&self.current().generation);
        Snapshot {
            services: generation.frontends.iter().map(|frontend| frontend.snapshot()).collect(),
            pools: generation.backends.iter().map(|backend| backend.snapshot()).collect(),
            workers: self.crew.snapshot(),
            lost_lines: self.current().log.as_ref().map_or(0, |(log, _)| log.lost()),
        }
    }

    /// Sets what the operator wants of a server, in one pool or in all that have it; with `cut`, the work that it has is cut.
    /// Returns those that have it; empty: there is no such server.
    pub fn set_admin(
        &self,
        pool: Option<&str>,
        server: &str,
        admin: Admin,
        cut: bool,
    ) -> Vec<(PoolName, ServerName)> {
        let mut current = self.current();
        let changed = for_each(&current.generation, pool, server, |backend, server| {
            self.set_one(backend, server, admin, cut);
        });
        for key in &changed {
            current.wishes.insert(key.clone(), admin);
        }
        changed
    }

    /// Sets what a server weighs until the configuration is applied again, in one pool or in all that have it; `None`:
    /// what the file says. Returns those that have it; empty: there is no such server.
    pub fn set_weight(
        &self,
        pool: Option<&str>,
        server: &str,
        weight: Option<u16>,
    ) -> Vec<(PoolName, ServerName)> {
        let now = clock::now();
        for_each(&self.current().generation, pool, server, |backend, server| {
            backend.set_weight(server, weight, now);
        })
    }

    /// Asks the clients of these services, in the answers to them, not to use their connections again, or ends it. Nothing is
    /// closed by it, and new connections are served.
    pub fn ask_to_leave(&self, services: &[ServiceName], leaving: bool) {
        let generation = Arc::clone(&self.current().generation);
        for frontend in generation.frontends.iter().filter(|one| services.contains(&one.config.name)) {
            frontend.gate.set_leaving(leaving);
        }
    }

    /// Cuts the connections that clients have to these services.
    pub fn cut(&self, services: &[ServiceName]) {
        for (worker, service) in
            self.workers.iter().flat_map(|worker| services.iter().map(move |it| (worker, it)))
        {
            // A thread that has ended has none.
            let _ = worker.send(Command::Cut(service.clone()));
        }
    }

    /// Opens the access log's file again: it was moved away.
    pub fn reopen_log(&self) {
        if let Some((log, _)) = &self.current().log {
            log.reopen();
        }
    }

    /// What another process needs to go on with all this: copies of the listening sockets, and what is known of the servers.
    ///
    /// # Errors
    /// When a worker does not answer, or there are too few descriptors.
    pub fn copies(&self) -> io::Result<Former> {
        let mut sockets = Inherited::new();
        // One after the other: each has its own socket for each place.
        for worker in &self.workers {
            let (to, copies) = std_mpsc::channel();
            let gone = || io::Error::other("a worker does not answer");
            worker.send(Command::Copies(to)).map_err(|_| gone())?;
            for (place, socket) in copies.recv_timeout(ADOPTED_WITHIN).map_err(|_| gone())?? {
                sockets.entry(place).or_default().push(socket);
            }
        }
        let generation = Arc::clone(&self.current().generation);
        let servers = generation.backends.iter().flat_map(|backend| Known::all(backend)).collect();
        Ok(Former { workers: self.workers.len(), sockets, servers })
    }

    /// Leaves the listening sockets to another process: accepts nothing new, tells clients to close with their next answer,
    /// waits at most `grace` for what is running. Connections that stay idle are closed after half a minute.
    pub fn leave(mut self, grace: Duration) {
        self.end(Command::Leave, grace);
    }

    /// Stops: accepts nothing new, tells clients to close, waits at most `grace` for what is running, closes.
    pub fn shutdown(mut self, grace: Duration) {
        self.end(Command::Stop, grace);
    }

    fn set_one(&self, backend: &Backend, server: &Server, admin: Admin, cut: bool) {
        backend.set_admin(server, admin, clock::now());
        // Threads that have ended need no orders. The checks are told in any case: a slow start may begin.
        let _ = self.orders.send(Order::Wish(server.id));
        if cut {
            for worker in &self.workers {
                let _ = worker.send(Command::Server { server: server.id, signal: Signal::Cut });
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Whole values are put into it: a panic elsewhere leaves nothing half done.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&mut self, how: impl Fn(Instant) -> Command, grace: Duration) {
        let until = Instant::now() + grace;
        self.crew.close();
        let _ = self.orders.send(Order::Stop);
        for worker in &self.workers {
            let _ = worker.send(how(until));
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the balancer had panicked");
            }
        }
    }
}

impl Current {
    /// Lets the access log go there from now on. The log that is not needed any more.
    fn open_log(&mut self, target: &LogTarget) -> Result<Option<AccessLog>, TargetError> {
        match &mut self.log {
            _ if *target == LogTarget::None => return Ok(self.log.take().map(|(log, _)| log)),
            Some((_, same)) if same == target => {}
            Some((log, former)) => {
                log.change(target)?;
                former.clone_from(target);
            }
            None => self.log = Some((AccessLog::start(target)?, target.clone())),
        }
        Ok(None)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end(Command::Stop, Duration::ZERO);
    }
}

/// Does something with each server of this name, in one pool or in all; returns which they were.
fn for_each(
    generation: &Generation,
    pool: Option<&str>,
    server: &str,
    what: impl Fn(&Backend, &Server),
) -> Vec<(PoolName, ServerName)> {
    let mut list = Vec::new();
    for backend in generation.backends.iter().filter(|one| pool.is_none_or(|name| *one.config.name == *name))
    {
        let servers = backend.config.servers.iter().zip(&backend.servers);
        for (_, found) in servers.filter(|(_, one)| *one.name == *server) {
            what(backend, found);
            list.push((backend.config.name.clone(), found.name.clone()));
        }
    }
    list
}

/// Starts a thread with an event loop of its own; returns when the loop is there.
fn spawn<F>(name: String, cpu: Option<usize>, main: F) -> Result<JoinHandle<()>, StartError>
where
    F: AsyncFnOnce() -> io::Result<()> + Send + 'static,
{
    let (ready, started) = std_mpsc::channel();
    let body = move || {
        let runtime = match pin(cpu).and_then(|()| {
            RuntimeBuilder::new_current_thread().enable_all().build_local(LocalOptions::default())
        }) {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let _ = ready.send(Ok(()));
        if let Err(error) = runtime.block_on(main()) {
            tracing::error!(%error, "a thread of the balancer ended");
        }
    };
    let failed = |source| StartError::Thread { name: name.clone(), source };
    let thread = std::thread::Builder::new().name(name.clone()).spawn(body).map_err(failed)?;
    match started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(failed(io::Error::other("it ended at once"))),
    }
}

fn pin(cpu: Option<usize>) -> io::Result<()> {
    let Some(cpu) = cpu else { return Ok(()) };
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    Ok(nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus)?)
}
