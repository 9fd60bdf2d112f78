//! What a worker has of services and pools: values of its own thread, so that a request counts no atomic reference.
//!
//! ```text
//!  Presence (a connection) ─► Handle (its service) ─► Local (the configuration now) ─► LocalPool ─► LocalServer
//! ```
//! A new configuration puts a new [`Local`] into each [`Handle`]; connections look there at each request.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use relevo_model::cluster::{Observe, Protocol};
use relevo_proto::proxy_protocol::Ends;

use crate::backend::Backend;
use crate::counters::{Counters, ServerCounters};
use crate::frontend::Frontend;
use crate::gate::Gate;
use crate::idle::Idle;
use crate::log::Cause;
use crate::server::Server;
use crate::shared::{Link, Links};
use crate::slot::Slot;
use crate::sources::SourcePlace;
use crate::stream::ServerStream;
use crate::worker::{Hint, Worker};

/// A service in one worker, in one configuration.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) worker: Rc<Worker>,
    pub(crate) frontend: Arc<Frontend>,
    /// Who answers unless a rule says otherwise.
    pub(crate) pool: Rc<LocalPool>,
    /// All pools, in the order of the cluster file, for rules to choose from.
    pub(crate) pools: Rc<[Rc<LocalPool>]>,
}

impl Local {
    pub(crate) fn counters(&self) -> &Counters {
        // One for each worker was made.
        &self.frontend.counters[self.worker.number]
    }

    /// Counts a connection among those of its source, if they are limited.
    ///
    /// # Errors
    /// There are as many as allowed: this one must be closed. It was counted as refused.
    pub(crate) fn enter(&self, source: IpAddr) -> Result<Option<SourcePlace>, Refused> {
        let Some(most) = self.frontend.config.limits.connections_per_source else { return Ok(None) };
        let place = self.frontend.sources.enter(source, most);
        if place.is_none() {
            self.counters().denied.add();
        }
        place.map(Some).ok_or(Refused)
    }

    /// The pool that a rule chooses, by its number in the rules.
    pub(crate) fn chosen(&self, number: usize) -> Option<Rc<LocalPool>> {
        self.pools.get(*self.frontend.pools.chosen.get(number)?).map(Rc::clone)
    }

    /// Longest silence of a connection that carries bytes both ways.
    pub(crate) fn tunnel(&self, pool: &LocalPool) -> Duration {
        let timeouts = &self.frontend.config.timeouts;
        // Either side may be silent while the other speaks.
        timeouts.tunnel.unwrap_or_else(|| timeouts.client.max(pool.backend.config.timeouts.server))
    }
}

/// A source has as many connections as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// A pool in one worker, in one configuration.
#[derive(Debug)]
pub(crate) struct LocalPool {
    pub(crate) backend: Arc<Backend>,
    /// In the order of the backend's.
    pub(crate) servers: Box<[Rc<LocalServer>]>,
}

impl LocalPool {
    /// Whether HTTP/2 may be spoken with this server. A fallback is asked as simply as can be.
    pub(crate) fn speaks_http2(&self, server: &LocalServer) -> bool {
        self.backend.config.protocols.contains(&Protocol::H2)
            && self
                .backend
                .fallback()
                .and_then(|place| self.backend.server(place))
                .is_none_or(|fallback| fallback.id != server.server.id)
    }

    /// A server, or the fallback, by its number.
    pub(crate) fn server(&self, number: u16) -> Option<Rc<LocalServer>> {
        self.servers.get(usize::from(number)).map(Rc::clone)
    }
}

/// A server in one worker, with the connections to it that rest. It outlives changes of the configuration.
#[derive(Debug)]
pub(crate) struct LocalServer {
    pub(crate) worker: Rc<Worker>,
    pub(crate) server: Arc<Server>,
    pub(crate) idle: RefCell<Idle>,
    /// The connections that requests share.
    pub(crate) links: Rc<Links>,
    /// It is in no pool any more: no connection to it is kept.
    pub(crate) gone: Cell<bool>,
}

impl LocalServer {
    pub(crate) fn counters(&self) -> &ServerCounters {
        // One for each worker was made.
        &self.server.counters[self.worker.number]
    }

    /// Counts work that it gets; it is over when the value is dropped.
    pub(crate) fn begin(self: &Rc<Self>, pool: &Rc<LocalPool>) -> Running {
        self.counters().requests.add();
        self.counters().running.up();
        pool.backend.running_of(self.worker.number).up();
        Running(Rc::clone(self), Rc::clone(pool))
    }

    /// Counts a failure and lets the checks look at it.
    pub(crate) fn failed(&self) {
        self.counters().failures.add();
        // A full queue means that they have been told enough.
        let _ = self.worker.hints.try_send(Hint::Failed(self.server.id));
    }

    /// Where traffic is observed: how work on this layer went.
    pub(crate) fn observe(&self, backend: &Backend, layer: Observe, went_well: bool) {
        if backend.config.observe.is_none_or(|wanted| wanted == Observe::Layer4 && layer == Observe::Layer7) {
            return;
        }
        if went_well {
            // Only what is looked at last proves that nothing is wrong.
            if backend.config.observe == Some(layer) {
                self.server.errors.forget();
            }
        } else if self.server.errors.add(backend.config.error_limit) {
            let _ = self.worker.hints.try_send(Hint::Row(self.server.id));
        }
    }

    /// The same of a connection that could not be made. What was the balancer's own fault or wish says nothing.
    pub(crate) fn observe_unconnected(&self, backend: &Backend, cause: Cause) {
        if !matches!(cause, Cause::Resources | Cause::ServerDown) {
            self.observe(backend, Observe::Layer4, false);
        }
    }

    /// A connection that rested, if there is a good one.
    pub(crate) fn take_idle(&self, backend: &Backend) -> Option<ServerStream> {
        if backend.config.proxy_protocol.is_some() {
            return None;
        }
        self.idle.borrow_mut().take(backend.tls.traffic.as_ref(), self.worker.slots.now())
    }

    /// Lets others use a connection, too.
    pub(crate) fn keep_link(&self, link: &Rc<Link>) {
        if !self.gone.get() {
            self.links.add(link);
        }
    }

    /// Closes what rests, and gives no new work to what does not.
    pub(crate) fn let_go(&self) {
        self.idle.borrow_mut().clear();
        self.links.clear();
    }

    /// Lets a connection rest. One that began with a client's name is for nobody else.
    pub(crate) fn keep(&self, stream: ServerStream) {
        if !self.gone.get() && !stream.is_of_one_client() {
            self.idle.borrow_mut().put(stream, self.worker.slots.now());
        }
    }
}

/// A request or connection that a server is working on. Whoever carries it may be dropped at any time.
#[derive(Debug)]
pub(crate) struct Running(Rc<LocalServer>, Rc<LocalPool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.counters().running.down();
        self.1.backend.running_of(self.0.worker.number).down();
    }
}

/// A service in one worker, whatever its configuration is now.
#[derive(Debug)]
pub(crate) struct Handle {
    /// No other one of this worker ever has the same.
    pub(crate) id: u64,
    pub(crate) gate: Arc<Gate>,
    current: RefCell<Rc<Local>>,
    life: Cell<Life>,
}

/// How long a service will be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// For all we know.
    Open,
    /// It was taken out of the configuration: what runs may finish.
    Closing,
    /// Its time is over.
    Over,
}

impl Handle {
    pub(crate) fn new(id: u64, local: Local) -> Self {
        let gate = Arc::clone(&local.frontend.gate);
        Self { id, gate, current: RefCell::new(Rc::new(local)), life: Cell::new(Life::Open) }
    }

    /// The configuration now.
    pub(crate) fn current(&self) -> Rc<Local> {
        Rc::clone(&self.current.borrow())
    }

    /// From now on this is the configuration.
    pub(crate) fn replace(&self, local: Local) {
        *self.current.borrow_mut() = Rc::new(local);
    }

    pub(crate) fn life(&self) -> Life {
        self.life.get()
    }

    pub(crate) fn set_life(&self, life: Life) {
        self.life.set(life);
    }
}

/// A client connection's place in the books; leaving it is noted when this is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    /// The configuration that the current request follows.
    pub(crate) local: Rc<Local>,
    pub(crate) slot: Rc<Slot>,
    handle: Rc<Handle>,
    /// Whether the gate has counted it.
    counted: bool,
    /// Whether it counts among the clients of the worker.
    seated: bool,
    tls: bool,
    /// Whether another proxy has said who the client is.
    introduced: bool,
    /// The client, and where it connected to.
    ends: Option<Ends>,
    /// Among the connections of its source, if they are limited.
    source: Option<SourcePlace>,
}

impl Presence {
    /// For a connection that the gate has admitted.
    pub(crate) fn new(handle: Rc<Handle>, tls: bool) -> Self {
        let local = handle.current();
        let slot = local.worker.slots.open(handle.id);
        local.counters().connections.add();
        Self {
            local,
            slot,
            handle,
            counted: true,
            seated: false,
            tls,
            introduced: false,
            ends: None,
            source: None,
        }
    }

    /// For another request of the same client at the same time.
    pub(crate) fn another(&self) -> Self {
        let local = self.handle.current();
        let slot = local.worker.slots.open(self.handle.id);
        Self {
            local,
            slot,
            handle: Rc::clone(&self.handle),
            counted: false,
            seated: false,
            tls: self.tls,
            introduced: self.introduced,
            ends: self.ends,
            source: None,
        }
    }

    /// Counts it among the clients of the worker.
    pub(crate) fn take_seat(&mut self) {
        let worker = &self.local.worker;
        worker.crew.enter(worker.number);
        self.seated = true;
    }

    /// Notes its place among the connections of its source.
    pub(crate) fn set_source(&mut self, place: Option<SourcePlace>) {
        self.source = place;
    }

    /// Notes who the client is, and where it connected to.
    pub(crate) fn set_ends(&mut self, ends: Ends) {
        self.ends = Some(ends);
    }

    /// The client, and where it connected to.
    pub(crate) fn ends(&self) -> Option<Ends> {
        self.ends
    }

    /// Notes that another proxy has said who the client is.
    pub(crate) fn introduce(&mut self) {
        self.introduced = true;
    }

    /// Whether another proxy has said who the client is.
    pub(crate) fn is_introduced(&self) -> bool {
        self.introduced
    }

    /// Whether the client speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Goes over to the newest configuration.
    pub(crate) fn refresh(&mut self) {
        let current = self.handle.current.borrow();
        if !Rc::ptr_eq(&current, &self.local) {
            self.local = Rc::clone(&current);
        }
    }

    /// Whether no further request shall be taken from this client.
    pub(crate) fn is_closing(&self) -> bool {
        self.local.worker.closing.get() || self.handle.life() != Life::Open
    }

    /// Whether an answer shall say that it is the connection's last one.
    pub(crate) fn says_goodbye(&self) -> bool {
        self.is_closing() || self.handle.gate.is_leaving()
    }

    /// Whether its service is gone, and the time to finish is over.
    pub(crate) fn is_over(&self) -> bool {
        self.handle.life() == Life::Over
    }

    pub(crate) fn set_deadline(&self, after: Duration) {
        self.local.worker.slots.set_deadline(&self.slot, after);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.local.worker.slots.close(&self.slot);
        if self.seated {
            let worker = &self.local.worker;
            worker.crew.leave(worker.number);
        }
        if self.counted {
            self.handle.gate.release();
        }
    }
}
