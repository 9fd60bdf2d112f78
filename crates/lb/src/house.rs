//! What a worker keeps from one configuration to the next: services, servers, listening sockets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use relevo_model::ServiceName;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::accept::{self, Here, Target};
use crate::backend::Backend;
use crate::crew::Visitor;
use crate::generation::{Generation, Place, Sockets};
use crate::listener::{self, Socket};
use crate::local::{Handle, Life, Local, LocalPool, LocalServer};
use crate::slot::Signal;
use crate::udp;
use crate::worker::Worker;

/// The servers of a worker by their ids.
pub(crate) type Servers = Rc<RefCell<BTreeMap<u64, Rc<LocalServer>>>>;

/// Everything that a worker has; each new configuration is taken over by [`House::adopt`].
#[derive(Debug)]
pub(crate) struct House {
    worker: Rc<Worker>,
    drain: Duration,
    services: BTreeMap<ServiceName, Rc<Handle>>,
    servers: Servers,
    doors: BTreeMap<Place, Door>,
    former: Former,
    handles: u64,
}

/// Whom clients were for where nobody listens any more, until the time to finish is over: some may be on their way from another
/// worker.
type Former = Rc<RefCell<BTreeMap<Place, Rc<RefCell<Target>>>>>;

/// A listening socket that is being accepted from.
#[derive(Debug)]
struct Door {
    target: Rc<RefCell<Target>>,
    /// Dropping it ends the task.
    stop: watch::Sender<()>,
    /// For a process that takes over.
    copy: RefCell<Option<OwnedFd>>,
}

impl Door {
    /// Whether connections are accepted only with their clients' first bytes, from now on.
    fn defer_accept(&self, defers: bool) {
        if let Some(copy) = &*self.copy.borrow()
            && let Err(error) = listener::defer_accept(copy, defers)
        {
            tracing::debug!(%error, "connections are accepted before their clients have said something");
        }
    }
}

impl House {
    pub(crate) fn new(worker: Rc<Worker>, drain: Duration) -> Self {
        Self {
            worker,
            drain,
            services: BTreeMap::new(),
            servers: Servers::default(),
            doors: BTreeMap::new(),
            former: Former::default(),
            handles: 0,
        }
    }

    /// All servers, now and later.
    pub(crate) fn servers(&self) -> Servers {
        Rc::clone(&self.servers)
    }

    /// Goes over to another configuration. Sockets that stay are not touched.
    ///
    /// # Errors
    /// When a new socket cannot be waited for; all else was done.
    pub(crate) fn adopt(
        &mut self,
        next: &Generation,
        sockets: Sockets,
        tasks: &mut JoinSet<()>,
    ) -> io::Result<()> {
        let heads = next.frontends.iter().map(|frontend| frontend.config.limits.header);
        self.worker.expect_heads(heads.max().unwrap_or(0));
        let pools = self.adopt_pools(&next.backends);
        self.adopt_services(next, &pools);
        self.adopt_doors(next, sockets, tasks)
    }

    /// Ends all accepting; returns when the sockets are closed.
    pub(crate) async fn close(&self) {
        for door in self.doors.values() {
            drop(door.copy.take());
            let _ = door.stop.send(());
        }
        for door in self.doors.values() {
            door.stop.closed().await;
        }
    }

    /// All listening sockets, for a process that takes over, by the words of their places.
    pub(crate) fn copies(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let mut copies = Vec::with_capacity(self.doors.len());
        for (place, door) in &self.doors {
            if let Some(copy) = &*door.copy.borrow() {
                copies.push((place.to_string(), copy.as_fd().try_clone_to_owned()?));
            }
        }
        Ok(copies)
    }

    /// Serves a connection that another worker has accepted.
    pub(crate) fn take(&self, visitor: Visitor) {
        let former = self.former.borrow();
        let target = self.doors.get(&visitor.place).map(|door| &door.target);
        match target.or_else(|| former.get(&visitor.place)) {
            Some(target) => accept::receive(&target.borrow(), visitor),
            None => visitor.go_back(),
        }
    }

    /// Cuts the connections of a service's clients.
    pub(crate) fn cut(&self, service: &ServiceName) {
        if let Some(handle) = self.services.get(service) {
            self.worker.slots.signal_service(handle.id, Signal::Cut);
        }
    }

    fn adopt_pools(&mut self, backends: &[Arc<Backend>]) -> Rc<[Rc<LocalPool>]> {
        let mut former = std::mem::take(&mut *self.servers.borrow_mut());
        let mut servers = BTreeMap::new();
        let mut local = |server: &Arc<crate::server::Server>| {
            let local = former.remove(&server.id).unwrap_or_else(|| {
                Rc::new(LocalServer {
                    worker: Rc::clone(&self.worker),
                    server: Arc::clone(server),
                    idle: RefCell::default(),
                    links: Rc::default(),
                    gone: false.into(),
                })
            });
            servers.insert(server.id, Rc::clone(&local));
            local
        };
        let pools = backends
            .iter()
            .map(|backend| {
                let servers = backend.servers.iter().map(&mut local).collect();
                Rc::new(LocalPool { backend: Arc::clone(backend), servers })
            })
            .collect();
        *self.servers.borrow_mut() = servers;
        for (id, gone) in former {
            gone.gone.set(true);
            gone.let_go();
            let worker = Rc::clone(&self.worker);
            self.later(move || worker.slots.signal_server(id, Signal::Cut));
        }
        pools
    }

    fn adopt_services(&mut self, next: &Generation, pools: &Rc<[Rc<LocalPool>]>) {
        let mut former = std::mem::take(&mut self.services);
        for frontend in &next.frontends {
            let Some(pool) = pools.get(frontend.pools.own) else { continue };
            let local = Local {
                worker: Rc::clone(&self.worker),
                frontend: Arc::clone(frontend),
                pool: Rc::clone(pool),
                pools: Rc::clone(pools),
            };
            let name = frontend.config.name.clone();
            let handle = match former.remove(&name) {
                Some(handle) => {
                    handle.replace(local);
                    handle
                }
                None => {
                    self.handles += 1;
                    Rc::new(Handle::new(self.handles, local))
                }
            };
            self.services.insert(name, handle);
        }
        for (_, gone) in former {
            gone.set_life(Life::Closing);
            self.worker.slots.signal_service(gone.id, Signal::Closing);
            let worker = Rc::clone(&self.worker);
            self.later(move || {
                gone.set_life(Life::Over);
                worker.slots.signal_service(gone.id, Signal::Cut);
            });
        }
    }

    fn adopt_doors(
        &mut self,
        next: &Generation,
        sockets: Sockets,
        tasks: &mut JoinSet<()>,
    ) -> io::Result<()> {
        let mut former = std::mem::take(&mut self.doors);
        let mut sockets: BTreeMap<Place, Socket> = sockets.into_iter().collect();
        let mut result = Ok(());
        for wanted in &next.doors {
            let Some(frontend) = next.frontends.get(wanted.frontend) else { continue };
            let Some(handle) = self.services.get(&frontend.config.name) else { continue };
            let target = Target { handle: Rc::clone(handle), here: Here::of(frontend, wanted.listen) };
            if let Some(door) = former.remove(&wanted.place) {
                *door.target.borrow_mut() = target;
                self.doors.insert(wanted.place.clone(), door);
            } else if let Some(socket) = sockets.remove(&wanted.place) {
                let target = Rc::new(RefCell::new(target));
                let (stop, stopped) = watch::channel(());
                let copy = socket.copy();
                let place = &wanted.place;
                match copy
                    .and_then(|copy| listen(socket, place, Rc::clone(&target), stopped, tasks).map(|()| copy))
                {
                    Ok(copy) => {
                        let door = Door { target, stop, copy: RefCell::new(Some(copy)) };
                        drop(self.doors.insert(wanted.place.clone(), door));
                    }
                    Err(error) => result = Err(error),
                }
            }
            if let (Some(defers), Some(door)) = (wanted.defers_accept, self.doors.get(&wanted.place)) {
                door.defer_accept(defers);
            }
        }
        former.into_iter().for_each(|(place, door)| self.leave(place, door.target));
        result
    }

    /// Nobody listens there any more.
    fn leave(&self, place: Place, target: Rc<RefCell<Target>>) {
        self.former.borrow_mut().insert(place.clone(), Rc::clone(&target));
        let former = Rc::clone(&self.former);
        self.later(move || {
            let mut former = former.borrow_mut();
            // Not if that has happened once more since.
            if former.get(&place).is_some_and(|last| Rc::ptr_eq(last, &target)) {
                former.remove(&place);
            }
        });
    }

    /// Does something when the time to finish is over.
    fn later(&self, what: impl FnOnce() + 'static) {
        let drain = self.drain;
        tokio::task::spawn_local(async move {
            tokio::time::sleep(drain).await;
            what();
        });
    }
}

/// Begins to take in clients.
fn listen(
    socket: Socket,
    place: &Place,
    target: Rc<RefCell<Target>>,
    stopped: watch::Receiver<()>,
    tasks: &mut JoinSet<()>,
) -> io::Result<()> {
    match socket {
        Socket::Tcp(socket) => {
            tasks.spawn_local(accept::run(target, place.clone(), accept::watch(socket)?, stopped))
        }
        Socket::Udp(socket) => tasks.spawn_local(udp::run(target, udp::watch(socket)?, stopped)),
    };
    Ok(())
}
