//! Starting, asking, changing and stopping the whole data plane.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::CpuSet;
use relevo_model::cluster::Service;
use relevo_model::{ClusterFile, ServerName, ServiceName};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::check::{self, Order};
use crate::service::Shared;
use crate::slot::Signal;
use crate::snapshot::ServiceSnapshot;
use crate::worker::{self, Command, Hint};
use crate::{Admin, clock, listener};

/// How the engine uses the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Worker threads; 0: one for each CPU that this process may use.
    pub workers: usize,
    /// The CPU of each worker, used in turn; `None`: the kernel places them.
    pub cpu_pin: Option<Vec<usize>>,
    /// What the operator wanted of servers before; it holds from the first request on. Servers that are not here are
    /// [`Admin::Ready`].
    pub admin: Vec<(ServiceName, ServerName, Admin)>,
}

/// The running data plane. Dropping it stops it at once; [`Engine::shutdown`] lets requests finish.
#[derive(Debug)]
pub struct Engine {
    services: Vec<Arc<Shared>>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    orders: mpsc::UnboundedSender<Order>,
    threads: Vec<JoinHandle<()>>,
}

/// Why the data plane could not start. Nothing is left listening.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process, or another service of the same file, listens there.
    #[error("service {service}: {at} is in use by another program; stop it or change `listen`")]
    AddressInUse {
        /// The service that wanted it.
        service: ServiceName,
        /// The address and port.
        at: SocketAddrV4,
    },
    /// The kernel refused to listen there.
    #[error("service {service}: cannot listen on {at}")]
    Listen {
        /// The service.
        service: ServiceName,
        /// The address and port.
        at: SocketAddrV4,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
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

impl Engine {
    /// Listens for all services and starts to balance. Addresses that are not on this machine yet are fine.
    ///
    /// # Errors
    /// See [`StartError`]; then nothing was started.
    pub fn start(settings: Settings, cluster: &ClusterFile) -> Result<Self, StartError> {
        let workers = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let services = &cluster.services;
        ensure_all_free(services)?;
        let mut first_key = 0;
        let mut listening = Vec::new();
        for (index, service) in services.iter().enumerate() {
            let (at, sockets) = listen(service, workers)?;
            // The reader of the file has made sure of the pool.
            let Some(pool) = cluster.pool_of(service).cloned() else { continue };
            let shared = Shared::new(service.clone(), pool, index, at, first_key, workers, clock::now());
            let of_this = settings.admin.iter().filter(|(name, ..)| *name == service.name);
            for (_, server, admin) in of_this {
                for (index, _) in
                    shared.pool.servers.iter().enumerate().filter(|(_, config)| config.name == *server)
                {
                    shared.set_admin(index, *admin);
                }
            }
            first_key += shared.pool.servers.len() + 1;
            listening.push((shared, sockets));
        }
        let listening: Vec<_> =
            listening.into_iter().map(|(shared, sockets)| (Arc::new(shared), sockets)).collect();
        let (hints, hints_out) = mpsc::channel(256);
        let (orders, orders_out) = mpsc::unbounded_channel();
        let shared = listening.iter().map(|(shared, _)| Arc::clone(shared)).collect();
        let mut engine = Self { services: shared, workers: Vec::new(), orders, threads: Vec::new() };
        // Sockets were made service by service; each worker gets its own of all.
        let mut of_worker: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        for (shared, sockets) in listening {
            for (parts, sockets) in of_worker.iter_mut().zip(sockets) {
                parts.push((Arc::clone(&shared), sockets));
            }
        }
        for (number, services) in of_worker.into_iter().enumerate() {
            let (commands, commands_out) = mpsc::unbounded_channel();
            engine.workers.push(commands);
            let parts = worker::Parts { number, services, hints: hints.clone(), commands: commands_out };
            let cpu =
                settings.cpu_pin.as_ref().and_then(|cpus| cpus.get(number.checked_rem(cpus.len())?).copied());
            engine
                .threads
                .push(spawn(format!("relevo-lb-{number}"), cpu, async move || worker::run(parts).await)?);
        }
        let parts = check::Parts {
            services: engine.services.clone(),
            hints: hints_out,
            orders: orders_out,
            workers: engine.workers.clone(),
        };
        engine.threads.push(spawn("relevo-check".to_owned(), None, async move || {
            check::run(parts).await;
            Ok(())
        })?);
        Ok(engine)
    }

    /// Every service as it is now, in the file's order.
    pub fn snapshot(&self) -> Vec<ServiceSnapshot> {
        self.services.iter().map(|shared| shared.snapshot()).collect()
    }

    /// Sets what the operator wants of a server, in one service or in all that have it. Returns those that have
    /// it; empty: there is no such server.
    pub fn set_admin(
        &self,
        service: Option<&str>,
        server: &str,
        admin: Admin,
    ) -> Vec<(ServiceName, ServerName)> {
        let mut changed = Vec::new();
        for shared in
            self.services.iter().filter(|shared| service.is_none_or(|name| *shared.config.name == *name))
        {
            for (index, config) in
                (0..).zip(&shared.pool.servers).filter(|(_, config)| *config.name == *server)
            {
                self.set_one(shared, index, admin);
                changed.push((shared.config.name.clone(), config.name.clone()));
            }
        }
        changed
    }

    /// Stops: accepts nothing new, tells clients to close, waits at most `grace` for what is running, closes.
    pub fn shutdown(mut self, grace: Duration) {
        self.stop(grace);
    }

    fn set_one(&self, shared: &Shared, server: u16, admin: Admin) {
        let before = shared.set_admin(usize::from(server), admin);
        let hint = Hint { service: shared.index, server };
        // Threads that have ended need no orders.
        if admin == Admin::Stop {
            let _ = self.orders.send(Order::Pause(hint));
            for worker in &self.workers {
                let _ = worker.send(Command::Server { service: shared.index, server, signal: Signal::Cut });
            }
        } else if before == Some(Admin::Stop) {
            let _ = self.orders.send(Order::Resume(hint));
        }
    }

    fn stop(&mut self, grace: Duration) {
        let until = Instant::now() + grace;
        let _ = self.orders.send(Order::Stop);
        for worker in &self.workers {
            let _ = worker.send(Command::Stop(until));
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the balancer had panicked");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// Looks at all addresses before the first is taken, so that a mistake leaves nothing listening for a moment.
fn ensure_all_free(services: &[Service]) -> Result<(), StartError> {
    let mut seen = BTreeSet::new();
    for service in services {
        for at in service.listen.iter().map(|listen| listen.at) {
            if at.port() != 0 && !seen.insert(at) {
                return Err(StartError::AddressInUse { service: service.name.clone(), at });
            }
            listener::ensure_free(at).map_err(|source| refused(service, at, source))?;
        }
    }
    Ok(())
}

/// Where a service listens, and the sockets of each worker.
type Listening = (Vec<SocketAddrV4>, Vec<Vec<TcpListener>>);

fn listen(service: &Service, workers: usize) -> Result<Listening, StartError> {
    let mut places = Vec::new();
    let mut sockets: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for wanted in service.listen.iter().map(|listen| listen.at) {
        let mut at = wanted;
        for sockets in &mut sockets {
            let socket = listener::listen(at).map_err(|source| refused(service, at, source))?;
            // Port 0: the first socket's port is everyone's.
            if let Ok(SocketAddr::V4(local)) = socket.local_addr() {
                at = local;
            }
            sockets.push(socket);
        }
        places.push(at);
    }
    Ok((places, sockets))
}

fn refused(service: &Service, at: SocketAddrV4, source: io::Error) -> StartError {
    let service = service.name.clone();
    if source.kind() == io::ErrorKind::AddrInUse {
        StartError::AddressInUse { service, at }
    } else {
        StartError::Listen { service, at, source }
    }
}

/// Starts a thread with an event loop of its own; returns when the loop is there.
fn spawn<F>(name: String, cpu: Option<usize>, main: F) -> Result<JoinHandle<()>, StartError>
where
    F: AsyncFnOnce() -> io::Result<()> + Send + 'static,
{
    let (ready, started) = std_mpsc::channel();
    let body = move || {
        let runtime = match pin(cpu)
            .and_then(|()| Builder::new_current_thread().enable_all().build_local(LocalOptions::default()))
        {
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
