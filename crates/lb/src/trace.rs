//! What is noted of the request or connection at hand, for its line in the access log and for the counters.
//!
//! Bytes and statuses are always counted. The clock is read only where somebody asked for times (an access log, or
//! the statistics page), and the request line is copied only where it is logged.

use std::net::SocketAddr;
use std::rc::Rc;

use relevo_model::Time;
use relevo_model::cluster::LogChoice;
use relevo_proto::persistence::{Came, Told};

use crate::clock;
use crate::http::fields::Field;
use crate::http::refusal::Status;
use crate::local::{Local, LocalPool, LocalServer, Presence};
use crate::log::{
    Answerer, Captured, Cause, HttpPart, Load, Persistence, Phase, Record, Termination, Timers,
};
use crate::slot::Slot;

/// Longest request line that is kept for the log, bytes.
const LONGEST_LINE: usize = 1024;

/// The notes of one request, or of one connection of mode `tcp`.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Whose it is, while it is open: something has begun, and its end will be noted.
    of: Option<Of>,
    notes: Notes,
}

/// The connection that a trace is of.
#[derive(Debug)]
struct Of {
    local: Rc<Local>,
    slot: Rc<Slot>,
    peer: SocketAddr,
    tls: bool,
    is_http: bool,
}

#[derive(Debug, Default)]
struct Notes {
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
    /// The line of the rule that matched.
    rule: Option<usize>,
    /// Requests before it in the line of its server, and in that of the pool.
    before: [u32; 2],
    /// Its bytes are counted already.
    is_flow: bool,
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
    /// This pool, and none of its servers so far.
    Pool(Rc<LocalPool>),
    Server(Rc<LocalPool>, Rc<LocalServer>),
}

impl Trace {
    /// The first bytes of a request, or a connection of mode `tcp`, are there. Nothing happens if it has begun already.
    pub(crate) fn begin(&mut self, presence: &Presence, peer: SocketAddr, is_http: bool) {
        if self.of.is_some() {
            return;
        }
        let local = &presence.local;
        let logged =
            local.worker.journal.borrow().is_some() && local.frontend.config.log.what != LogChoice::None;
        // The buffers are used again.
        let (mut line, mut captured) =
            (std::mem::take(&mut self.notes.line), std::mem::take(&mut self.notes.captured));
        line.clear();
        captured.clear();
        let measured = local.worker.measured.get();
        self.notes = Notes {
            measured,
            logged,
            begun: if measured { clock::now() } else { Time::ZERO },
            line,
            captured,
            received: presence.slot.received(),
            sent: presence.slot.sent(),
            ..Notes::default()
        };
        let (local, slot) = (Rc::clone(local), Rc::clone(&presence.slot));
        self.of = Some(Of { local, slot, peer, tls: presence.is_tls(), is_http });
    }

    /// The same of a flow of mode `udp`. Its bytes are counted as they come, see [`Trace::came`] and [`Trace::went`]: it may
    /// last for days.
    pub(crate) fn begin_flow(&mut self, presence: &Presence, peer: SocketAddr) {
        self.begin(presence, peer, false);
        self.notes.is_flow = true;
    }

    /// A datagram of the client went to a server.
    pub(crate) fn came(presence: &Presence, server: &LocalServer, bytes: usize) {
        presence.slot.count_received(bytes);
        presence.local.counters().received.add_many(bytes as u64);
        server.counters().received.add_many(bytes as u64);
    }

    /// A datagram of the server went to the client.
    pub(crate) fn went(presence: &Presence, server: &LocalServer, bytes: usize) {
        presence.slot.count_sent(bytes as u64);
        presence.local.counters().sent.add_many(bytes as u64);
        server.counters().sent.add_many(bytes as u64);
    }

    /// The request's head is complete. `bytes` begin with it.
    pub(crate) fn head(&mut self, bytes: &[u8], fields: &[Field], at_once: bool) {
        if self.notes.measured {
            self.notes.ready = Some(if at_once { self.notes.begun } else { clock::now() });
        }
        let Some(of) = self.of.as_ref().filter(|_| self.notes.logged) else { return };
        let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let head = bytes.get(start..).unwrap_or_default();
        let length = memchr::memchr2(b'\r', b'\n', head).unwrap_or(0).min(LONGEST_LINE);
        self.notes.line.extend_from_slice(head.get(..length).unwrap_or_default());
        for name in &of.local.frontend.config.log.capture {
            let found = fields.iter().find(|field| field.name(bytes).eq_ignore_ascii_case(name.as_bytes()));
            Captured::push(&mut self.notes.captured, found.map_or(&[], |field| field.value(bytes)));
        }
    }

    /// The lines of its head were HTTP/2 before.
    pub(crate) fn is_of_http2(&mut self) {
        if let Some(start) = self.notes.line.len().checked_sub(b"HTTP/1.1".len())
            && self.notes.line.ends_with(b"HTTP/1.1")
        {
            self.notes.line.truncate(start);
            self.notes.line.extend_from_slice(b"HTTP/2.0");
        }
    }

    /// A server was chosen, after a wait in a queue or without one.
    pub(crate) fn chosen(&mut self, pool: &Rc<LocalPool>, server: &Rc<LocalServer>) {
        match &self.notes.who {
            Who::Server(_, before) => {
                self.notes.retries += 1;
                before.counters().retries.add();
                if !Rc::ptr_eq(before, server) {
                    self.notes.redispatched = true;
                    before.counters().redispatches.add();
                }
            }
            Who::Nobody | Who::Balancer | Who::Pool(_) => {}
        }
        self.notes.who = Who::Server(Rc::clone(pool), Rc::clone(server));
        (self.notes.connected, self.notes.answered) = (None, None);
    }

    /// The rule in this line of the cluster file decided, or was the last that did something.
    pub(crate) fn ruled(&mut self, line: Option<usize>) {
        self.notes.rule = line;
    }

    /// A server of this pool was looked for; there is none so far.
    pub(crate) fn looked_in(&mut self, pool: &Rc<LocalPool>) {
        if matches!(self.notes.who, Who::Nobody) {
            self.notes.who = Who::Pool(Rc::clone(pool));
        }
    }

    /// It stands in line behind so many; `bound`: for one server alone.
    pub(crate) fn in_line(&mut self, before: usize, bound: bool) {
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        self.notes.before = if bound { [before, 0] } else { [0, before] };
    }

    /// It waited in a queue until now.
    pub(crate) fn queued(&mut self) {
        if self.notes.measured {
            self.notes.queued = Some(clock::now());
        }
    }

    /// A connection to the server stands; `kept`: it stood before.
    pub(crate) fn connected(&mut self, kept: bool) {
        if self.notes.measured {
            self.notes.connected = Some(if kept {
                self.notes.queued.or(self.notes.ready).unwrap_or(self.notes.begun)
            } else {
                clock::now()
            });
        }
    }

    /// Another turn of the event loop: what was read of the clock before is old.
    pub(crate) fn turn(&mut self) {
        self.notes.fresh = false;
    }

    /// The head of the final answer is there.
    pub(crate) fn answered(&mut self, status: u16) {
        self.notes.status = Some(status);
        self.notes.fresh = true;
        if self.notes.measured {
            self.notes.answered = Some(clock::now());
        }
    }

    /// The balancer answers with this status.
    pub(crate) fn answered_here(&mut self, status: u16) {
        self.notes.status = Some(status);
    }

    /// The balancer answers though nothing went wrong: a rule, a page of its own.
    pub(crate) fn local(&mut self, status: u16) {
        self.notes.status = Some(status);
        self.notes.who = Who::Balancer;
        self.ends(Cause::Local, Phase::Request);
    }

    /// A rule or a limit refuses it.
    pub(crate) fn denied(&mut self, phase: Phase) {
        self.notes.denied = true;
        self.ends(Cause::Refused, phase);
    }

    /// It is refused for what the client has sent: it breaks the rules of HTTP, or passes a limit of the service.
    pub(crate) fn refused(&mut self, status: Status) {
        self.notes.denied |= matches!(status, Status::ContentTooLarge | Status::UriTooLong);
        self.ends(Cause::Refused, Phase::Request);
    }

    /// What came of the pool's cookie; `None`: it has none.
    pub(crate) fn cookie_came(&mut self, came: Option<Came>) {
        self.notes.persistence = came.map_or_else(Persistence::default, |came| Persistence {
            came: came.letter(),
            done: Told::Nothing.letter(),
        });
    }

    /// What the answer tells of the pool's cookie.
    pub(crate) fn cookie_told(&mut self, told: Told) {
        self.notes.persistence.done = told.letter();
    }

    /// It ends, or will end, for this reason.
    pub(crate) fn ends(&mut self, cause: Cause, phase: Phase) {
        self.notes.termination = Termination::new(cause, phase);
    }

    /// The answer went its way after all: what went wrong before was mended.
    pub(crate) fn mended(&mut self) {
        self.notes.termination = Termination::DONE;
    }

    /// The client does not want it any more.
    fn abandoned(&mut self) {
        let phase = match &self.notes.who {
            _ if self.notes.status.is_some() => Phase::Data,
            Who::Server(..) if self.notes.connected.is_some() || !self.notes.measured => Phase::Head,
            Who::Server(..) => Phase::Connect,
            Who::Nobody | Who::Balancer | Who::Pool(_) => Phase::Queue,
        };
        self.ends(Cause::Client, phase);
    }

    /// Its client did not speak TLS, though it should have.
    pub(crate) fn in_clear(&mut self) {
        if let Some(of) = &mut self.of {
            of.tls = false;
        }
    }

    /// What has begun is nothing by itself.
    pub(crate) fn forget(&mut self) {
        self.of = None;
    }

    /// Whether a client that leaves now leaves something undone.
    pub(crate) fn is_open(&self) -> bool {
        self.of.is_some()
    }

    /// It has ended: counts it, and writes its line.
    pub(crate) fn finish(&mut self) {
        let Some(of) = self.of.take() else { return };
        let local = &of.local;
        let received = of.slot.received().wrapping_sub(self.notes.received);
        let sent = of.slot.sent().wrapping_sub(self.notes.sent);
        let timers = self.timers();
        let (counted, answered) = if self.notes.is_flow { (0, 0) } else { (received, sent) };
        self.count(local, counted, answered, &timers);
        if self.notes.logged {
            self.write(&of, (received, sent), timers);
        }
        self.notes.who = Who::Nobody;
    }

    fn count(&self, local: &Local, received: u64, sent: u64, timers: &Timers) {
        let counters = local.counters();
        counters.received.add_many(received);
        counters.sent.add_many(sent);
        if let Some(status) = self.notes.status {
            counters.statuses.add(status);
        }
        let Termination { cause, phase } = self.notes.termination;
        if self.notes.denied {
            counters.denied.add();
        } else if phase == Phase::Request && self.notes.termination.is_error() {
            counters.request_errors.add();
        }
        let Who::Server(_, server) = &self.notes.who else { return };
        let counters = server.counters();
        counters.received.add_many(received);
        counters.sent.add_many(sent);
        if let (Some(status), true) =
            (self.notes.status, self.notes.answered.is_some() || !self.notes.measured)
        {
            counters.statuses.add(status);
        }
        if self.notes.answered.is_some() || self.notes.connected.is_some() {
            counters.times.add(timers);
        }
        match (cause, phase) {
            (Cause::Client | Cause::ClientTimeout, _) => counters.client_aborts.add(),
            (
                Cause::Server | Cause::ServerTimeout | Cause::Refused,
                Phase::Head | Phase::Upgrade | Phase::Data | Phase::Last,
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
        if !self.notes.measured {
            return Timers::default();
        }
        // One answered within one turn of the event loop ends when its head was there; what took more, now.
        let end = self.notes.answered.filter(|_| self.notes.fresh).unwrap_or_else(clock::now);
        let between = |from: Option<Time>, to: Option<Time>| {
            let passed = to?.since(from?).as_millis();
            Some(u32::try_from(passed).unwrap_or(u32::MAX))
        };
        let begun = Some(self.notes.begun);
        let ready = self.notes.ready.or(begun);
        let chosen = self.notes.queued.or(match self.notes.who {
            Who::Server(..) => ready,
            Who::Nobody | Who::Balancer | Who::Pool(_) => None,
        });
        Timers {
            request: between(begun, self.notes.ready),
            queue: between(ready, chosen),
            connect: between(chosen, self.notes.connected),
            response: between(self.notes.connected, self.notes.answered),
            total: between(begun, Some(end)).unwrap_or(0),
        }
    }

    fn write(&self, of: &Of, bytes: (u64, u64), timers: Timers) {
        let local = &of.local;
        let frontend = &local.frontend;
        let (pool, answerer, mut load) = match &self.notes.who {
            Who::Nobody => (&frontend.config.name[..], Answerer::Nobody, Load::default()),
            Who::Balancer => (&frontend.config.name[..], Answerer::Balancer, Load::default()),
            Who::Pool(pool) => {
                let load = Load { backend: pool.backend.running(), ..Load::default() };
                (&pool.backend.config.name[..], Answerer::Nobody, load)
            }
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
        [load.server_queue, load.backend_queue] = self.notes.before;
        load.process = local.worker.population();
        let record = Record {
            client: of.peer,
            accepted: local.worker.wall_ms(self.notes.begun),
            service: &frontend.config.name,
            tls: of.tls,
            pool,
            answerer,
            rule: self.notes.rule,
            timers,
            sent: bytes.1,
            received: bytes.0,
            termination: self.notes.termination,
            persistence: self.notes.persistence,
            load,
            retries: self.notes.retries,
            redispatched: self.notes.redispatched,
            http: of.is_http.then(|| HttpPart {
                line: &self.notes.line,
                status: self.notes.status,
                names: &frontend.config.log.capture,
                captured: Captured::new(&self.notes.captured),
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

/// Whoever carried it was dropped: a client took one of its requests back, or the time to stop is over.
impl Drop for Trace {
    fn drop(&mut self) {
        let Some(of) = &self.of else { return };
        let is_closing = of.local.worker.closing.get();
        self.abandoned();
        if is_closing {
            self.notes.termination.cause = Cause::Operator;
        }
        self.finish();
    }
}
