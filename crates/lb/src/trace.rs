//! What is noted of the request or connection at hand, for its line in the access log and for the counters.
//!
//! Bytes and statuses are always counted. The clock is read only where somebody asked for times (an access log, or
//! the statistics page), and the request line is copied only where it is logged.

use std::net::SocketAddr;
use std::rc::Rc;

use relevo_model::Time;
use relevo_model::cluster::LogChoice;

use crate::clock;
use crate::http::fields::Field;
use crate::local::{Local, LocalPool, LocalServer, Presence};
use crate::log::{
    Answerer, Captured, Cause, HttpPart, Load, Persistence, Phase, Record, Termination, Timers,
};

/// Longest request line that is kept for the log, bytes.
const LONGEST_LINE: usize = 1024;

/// The notes of one request, or of one connection of mode `tcp`.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Something has begun, and its end will be noted.
    open: bool,
    measured: bool,
    logged: bool,
    begun: Time,
    ready: Option<Time>,
    queued: Option<Time>,
    connected: Option<Time>,
    answered: Option<Time>,
    line: Vec<u8>,
    captured: Vec<u8>,
    status: Option<u16>,
    who: Who,
    retries: u32,
    redispatched: bool,
    persistence: Persistence,
    /// Why it will end, as far as that was seen.
    termination: Termination,
    denied: bool,
    /// `answered` is of this turn of the event loop.
    fresh: bool,
    /// What the connection had carried before.
    received: u64,
    sent: u64,
}

/// Who has the request.
#[derive(Clone, Debug, Default)]
enum Who {
    #[default]
    Nobody,
    Balancer,
    Server(Rc<LocalPool>, Rc<LocalServer>),
}

impl Trace {
    /// The first bytes of a request, or a connection of mode `tcp`, are there. Nothing happens if it has begun already.
    pub(crate) fn begin(&mut self, presence: &Presence) {
        if self.open {
            return;
        }
        let local = &presence.local;
        let logged =
            local.worker.journal.borrow().is_some() && local.frontend.config.log.what != LogChoice::None;
        // The buffers are used again.
        let (mut line, mut captured) = (std::mem::take(&mut self.line), std::mem::take(&mut self.captured));
        line.clear();
        captured.clear();
        let measured = local.worker.measured.get();
        *self = Self {
            open: true,
            measured,
            logged,
            begun: if measured { clock::now() } else { Time::ZERO },
            line,
            captured,
            received: presence.slot.received(),
            sent: presence.slot.sent(),
            ..Self::default()
        };
    }

    /// The request's head is complete. `bytes` begin with it.
    pub(crate) fn head(&mut self, local: &Local, bytes: &[u8], fields: &[Field], at_once: bool) {
        if self.measured {
            self.ready = Some(if at_once { self.begun } else { clock::now() });
        }
        if !self.logged {
            return;
        }
        let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let head = bytes.get(start..).unwrap_or_default();
        let length = memchr::memchr2(b'\r', b'\n', head).unwrap_or(0).min(LONGEST_LINE);
        self.line.extend_from_slice(head.get(..length).unwrap_or_default());
        for name in &local.frontend.config.log.capture {
            let found = fields.iter().find(|field| field.name(bytes).eq_ignore_ascii_case(name.as_bytes()));
            Captured::push(&mut self.captured, found.map_or(&[], |field| field.value(bytes)));
        }
    }

    /// The lines of its head were HTTP/2 before.
    pub(crate) fn is_of_http2(&mut self) {
        if let Some(start) = self.line.len().checked_sub(b"HTTP/1.1".len())
            && self.line.ends_with(b"HTTP/1.1")
        {
            self.line.truncate(start);
            self.line.extend_from_slice(b"HTTP/2.0");
        }
    }

    /// A server was chosen, after a wait in a queue or without one.
    pub(crate) fn chosen(&mut self, pool: &Rc<LocalPool>, server: &Rc<LocalServer>) {
        match &self.who {
            Who::Server(_, before) => {
                self.retries += 1;
                before.counters().retries.add();
                if !Rc::ptr_eq(before, server) {
                    self.redispatched = true;
                    before.counters().redispatches.add();
                }
            }
            Who::Nobody | Who::Balancer => {}
        }
        self.who = Who::Server(Rc::clone(pool), Rc::clone(server));
        (self.connected, self.answered) = (None, None);
    }

    /// It waited in a queue until now.
    #[allow(dead_code, reason = "queues are being built")]
    pub(crate) fn queued(&mut self) {
        if self.measured {
            self.queued = Some(clock::now());
        }
    }

    /// A connection to the server stands; `kept`: it stood before.
    pub(crate) fn connected(&mut self, kept: bool) {
        if self.measured {
            self.connected =
                Some(if kept { self.queued.or(self.ready).unwrap_or(self.begun) } else { clock::now() });
        }
    }

    /// Another turn of the event loop: what was read of the clock before is old.
    pub(crate) fn turn(&mut self) {
        self.fresh = false;
    }

    /// The head of the final answer is there.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = Some(status);
        self.fresh = true;
        if self.measured {
            self.answered = Some(clock::now());
        }
    }

    /// The balancer answers with this status.
    pub(crate) fn answered_here(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// The balancer answers though nothing went wrong: a rule, a page of its own.
    pub(crate) fn local(&mut self, status: u16) {
        self.status = Some(status);
        self.who = Who::Balancer;
        self.ends(Cause::Local, Phase::Request);
    }

    /// A rule or a limit refuses it.
    pub(crate) fn denied(&mut self, phase: Phase) {
        self.denied = true;
        self.ends(Cause::Refused, phase);
    }

    /// What persistence found and did.
    #[allow(dead_code, reason = "persistence is being built")]
    pub(crate) fn persistence(&mut self, persistence: Persistence) {
        self.persistence = persistence;
    }

    /// It ends, or will end, for this reason.
    pub(crate) fn ends(&mut self, cause: Cause, phase: Phase) {
        self.termination = Termination::new(cause, phase);
    }

    /// The answer went its way after all: what went wrong before was mended.
    pub(crate) fn mended(&mut self) {
        self.termination = Termination::DONE;
    }

    /// The client does not want it any more.
    pub(crate) fn abandoned(&mut self) {
        let phase = match &self.who {
            _ if self.status.is_some() => Phase::Data,
            Who::Server(..) if self.connected.is_some() || !self.measured => Phase::Head,
            Who::Server(..) => Phase::Connect,
            Who::Nobody | Who::Balancer => Phase::Queue,
        };
        self.ends(Cause::Client, phase);
    }

    /// What has begun is nothing by itself.
    pub(crate) fn forget(&mut self) {
        self.open = false;
    }

    /// Whether a client that leaves now leaves something undone.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// It has ended: counts it, and writes its line. `is_http`: a request; else a connection.
    pub(crate) fn finish(&mut self, presence: &Presence, peer: SocketAddr, is_http: bool) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let local = &presence.local;
        let received = presence.slot.received().wrapping_sub(self.received);
        let sent = presence.slot.sent().wrapping_sub(self.sent);
        let timers = self.timers();
        self.count(local, received, sent, &timers);
        if self.logged {
            self.write(presence, peer, is_http, (received, sent), timers);
        }
        self.who = Who::Nobody;
    }

    fn count(&self, local: &Local, received: u64, sent: u64, timers: &Timers) {
        let counters = local.counters();
        counters.received.add_many(received);
        counters.sent.add_many(sent);
        if let Some(status) = self.status {
            counters.statuses.add(status);
        }
        let Termination { cause, phase } = self.termination;
        if self.denied {
            counters.denied.add();
        } else if phase == Phase::Request && self.termination.is_error() {
            counters.request_errors.add();
        }
        let Who::Server(_, server) = &self.who else { return };
        let counters = server.counters();
        counters.received.add_many(received);
        counters.sent.add_many(sent);
        if let (Some(status), true) = (self.status, self.answered.is_some() || !self.measured) {
            counters.statuses.add(status);
        }
        if self.answered.is_some() || self.connected.is_some() {
            counters.times.add(timers);
        }
        match (cause, phase) {
            (Cause::Client | Cause::ClientTimeout, _) => counters.client_aborts.add(),
            (
                Cause::Server | Cause::ServerTimeout | Cause::Refused,
                Phase::Head | Phase::Data | Phase::Last,
            ) => {
                counters.response_errors.add();
                if cause == Cause::Server {
                    counters.server_aborts.add();
                }
            }
            _ => {}
        }
    }

    fn timers(&self) -> Timers {
        if !self.measured {
            return Timers::default();
        }
        // One answered within one turn of the event loop ends when its head was there; what took more, now.
        let end = self.answered.filter(|_| self.fresh).unwrap_or_else(clock::now);
        let between = |from: Option<Time>, to: Option<Time>| {
            let passed = to?.since(from?).as_millis();
            Some(u32::try_from(passed).unwrap_or(u32::MAX))
        };
        let begun = Some(self.begun);
        let ready = self.ready.or(begun);
        let chosen = self.queued.or(match self.who {
            Who::Server(..) => ready,
            Who::Nobody | Who::Balancer => None,
        });
        Timers {
            request: between(begun, self.ready),
            queue: between(ready, chosen),
            connect: between(chosen, self.connected),
            response: between(self.connected, self.answered),
            total: between(begun, Some(end)).unwrap_or(0),
        }
    }

    fn write(&self, presence: &Presence, peer: SocketAddr, is_http: bool, bytes: (u64, u64), timers: Timers) {
        let local = &presence.local;
        let frontend = &local.frontend;
        let (pool, answerer, mut load) = match &self.who {
            Who::Nobody => (&frontend.config.name[..], Answerer::Nobody, Load::default()),
            Who::Balancer => (&frontend.config.name[..], Answerer::Balancer, Load::default()),
            Who::Server(pool, server) => {
                let backend = &pool.backend;
                let is_fallback = backend
                    .fallback()
                    .and_then(|number| backend.server(number))
                    .is_some_and(|one| one.id == server.server.id);
                let name =
                    if is_fallback { Answerer::Fallback } else { Answerer::Server(&server.server.name) };
                let load = Load {
                    backend: backend.running() + 1,
                    server: server.server.running() + 1,
                    ..Load::default()
                };
                (&backend.config.name[..], name, load)
            }
        };
        load.frontend = u32::try_from(frontend.gate.connections()).unwrap_or(u32::MAX);
        load.process = local.worker.population();
        let record = Record {
            client: peer,
            accepted: local.worker.wall_ms(self.begun),
            service: &frontend.config.name,
            tls: presence.is_tls(),
            pool,
            answerer,
            timers,
            sent: bytes.1,
            received: bytes.0,
            termination: self.termination,
            persistence: self.persistence,
            load,
            retries: self.retries,
            redispatched: self.redispatched,
            http: is_http.then(|| HttpPart {
                line: &self.line,
                status: self.status,
                names: &frontend.config.log.capture,
                captured: Captured::new(&self.captured),
            }),
        };
        if frontend.config.log.what == LogChoice::Errors && !record.is_error() {
            return;
        }
        if let Some(journal) = &mut *local.worker.journal.borrow_mut() {
            journal.write(&record);
        }
    }
}
