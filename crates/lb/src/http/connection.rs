//! A client's connection: one request after the other.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::decide::{Head, Ruled, Scene};
use super::exchange::Finish;
use super::own::{self, Own};
use super::refusal::{Refusal, Status, write_answer};
use super::request::{Additions, Method, Request, forwarded};
use super::{linger, parked};
use crate::cache::Ticket;
use crate::http2;
use crate::local::Presence;
use crate::log::{Cause, Phase};
use crate::persist::Mark;
use crate::slot::Signal;
use crate::stream::{Client, Stream};
use crate::tls::Session;
use crate::trace::Trace;

/// Longest wait for the first request of a client that has done its TLS handshake when its service ends.
const LATE: Duration = Duration::from_secs(1);

/// A client's connection. One that stays idle is [`parked`].
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) presence: Presence,
    pub(super) client: Client,
    /// The client.
    pub(super) peer: SocketAddr,
    /// Bytes from the client that were read too early: a part of a head, a body's start, the next request.
    pub(super) carry: Carry,
    /// The current request's head as the server gets it; kept until it answers, for another attempt.
    pub(super) head: Vec<u8>,
    /// What the current answer tells the client about its server.
    pub(super) mark: Option<Mark>,
    /// What is noted of the current request.
    pub(super) trace: Trace,
    /// What was agreed on in TLS, if the client speaks it.
    pub(super) session: Option<Rc<Session>>,
    /// What heads get that want it: `X-Forwarded-For`.
    pub(super) lines: Vec<u8>,
    /// What the service's rules make of the current request; `None`: it has had no rules yet.
    pub(super) ruled: Option<Box<Ruled>>,
    /// What is answered to the current request without asking anybody.
    pub(super) own: Option<Own>,
    /// What the current request has to do with kept answers, if the service keeps any.
    pub(super) ticket: Option<Box<Ticket>>,
    /// Whether it may still turn out to speak HTTP/2.
    may_be_http2: bool,
    /// Whether it has asked for nothing yet.
    is_first: bool,
}

/// Serves a client until one side ends it.
pub(crate) async fn serve(presence: Presence, client: Client, peer: SocketAddr) {
    let may_be_http2 = presence.local.frontend.config.h2c && client.is_plain();
    begin(presence, client, peer, Carry::default(), may_be_http2, true).await;
}

/// Goes on with one that was parked, and has sent this.
pub(super) async fn resume(presence: Presence, client: Client, peer: SocketAddr, bytes: Vec<u8>) {
    begin(presence, client, peer, Carry { bytes, start: 0 }, false, false).await;
}

async fn begin(
    presence: Presence,
    client: Client,
    peer: SocketAddr,
    carry: Carry,
    may_be_http2: bool,
    is_first: bool,
) {
    let session = client.session();
    let lines = forwarded(peer.ip(), session.is_some());
    let head = Vec::new();
    let (trace, mark, ruled, own) = (Trace::default(), None, None, None);
    let mut connection = Connection {
        presence,
        client,
        peer,
        session,
        carry,
        head,
        mark,
        trace,
        lines,
        ruled,
        own,
        ticket: None,
        may_be_http2,
        is_first,
    };
    match connection.run().await {
        End::Closed => connection.client.close(),
        End::Linger => linger::close(&connection.presence, connection.client).await,
        End::Reset => connection.client.reset(),
        End::Park(left) => {
            let Connection { presence, client, peer, .. } = connection;
            parked::park(presence, client, peer, left);
        }
        End::Http2 => {
            let Connection { presence, client, carry, .. } = connection;
            Box::pin(http2::serve(presence, client, carry.bytes().to_vec(), peer)).await;
        }
    }
}

/// How a connection ends.
enum End {
    /// Nothing more to say or to hear.
    Closed,
    /// The last answer must arrive though the client may still be sending.
    Linger,
    /// The client must see that the answer is not complete.
    Reset,
    /// It was silent, and may be for so long yet.
    Park(Duration),
    /// The client speaks HTTP/2, and has known that it can.
    Http2,
}

/// What came from the client.
enum Next {
    Request(Request),
    Refused(Refusal),
    Http2,
    Gone,
    /// It said nothing in time.
    Silent,
}

impl Connection {
    async fn run(&mut self) -> End {
        loop {
            // The signal to stop may have come while the answer was on its way.
            if !self.is_first
                && self.presence.is_closing()
                && self.carry.is_empty()
                && !self.client.has_unread()
            {
                return End::Closed;
            }
            let timeouts = &self.presence.local.frontend.config.timeouts;
            let wait =
                if self.is_first || !self.carry.is_empty() { timeouts.request } else { timeouts.keep_alive };
            let may_park =
                !self.is_first && self.carry.is_empty() && !self.client.is_pipe() && wait > 2 * parked::AFTER;
            self.presence.set_deadline(if may_park { parked::AFTER } else { wait });
            let request = match self.next().await {
                Next::Request(request) => request,
                Next::Refused(refusal) => {
                    self.presence.local.counters().requests.add();
                    let end = self.refuse(refusal, true, false).await;
                    self.finish();
                    return end;
                }
                Next::Silent if may_park => return End::Park(wait - parked::AFTER),
                Next::Gone | Next::Silent => {
                    // A part of a head came, and no more.
                    self.trace.ends(Cause::Client, Phase::Request);
                    self.finish();
                    return End::Closed;
                }
                Next::Http2 => {
                    // Its requests are noted each by itself.
                    self.trace.forget();
                    return End::Http2;
                }
            };
            (self.may_be_http2, self.is_first) = (false, false);
            if matches!(self.own, Some(Own::Monitor)) {
                self.trace.forget();
            } else {
                self.presence.local.counters().requests.add();
            }
            let finish = self.answer_to(&request).await;
            if !matches!(finish, Finish::Refuse { .. } | Finish::Answer { .. }) {
                self.finish();
            }
            match finish {
                Finish::KeepAlive => self.rest(),
                // A client that did not ask for the end may be sending its next request just now.
                Finish::Close if request.keep_alive || self.is_sending() => return End::Linger,
                Finish::Close => return End::Closed,
                Finish::Linger => return End::Linger,
                Finish::Reset => return End::Reset,
                Finish::Silent => return End::Closed,
                Finish::Answer { answer, close } => {
                    let close = close || !request.keep_alive || self.presence.says_goodbye();
                    let mut bytes = Vec::new();
                    answer.write(&mut bytes, close, request.method == Method::Head);
                    let end = self.say(&bytes, close).await;
                    self.finish();
                    match end {
                        End::Closed => {}
                        end @ (End::Linger | End::Reset | End::Park(_) | End::Http2) => return end,
                    }
                }
                Finish::Refuse { refusal, close } => {
                    let close = close || !request.keep_alive || self.presence.says_goodbye();
                    let end = self.refuse(refusal, close, request.method == Method::Head).await;
                    self.finish();
                    match end {
                        End::Closed => {}
                        end @ (End::Linger | End::Reset | End::Park(_) | End::Http2) => return end,
                    }
                }
            }
        }
    }

    /// The request has ended, in whatever way.
    fn finish(&mut self) {
        self.trace.finish();
    }

    /// Whether there is something from the client that nobody will read. Closing then would make the kernel throw
    /// away what it has not sent yet, which may be the whole answer.
    fn is_sending(&mut self) -> bool {
        !self.carry.is_empty() || self.client.has_bytes()
    }

    /// Tells the client in an answer's head, which begins at `start`, whose it is.
    pub(super) fn write_mark(&mut self, answer: &mut Vec<u8>, start: usize) {
        if let Some(mark) = &self.mark {
            self.trace.cookie_told(mark.write(&self.head, answer, start));
        }
    }

    /// Gives back what an unusually large request needed.
    fn rest(&mut self) {
        const KEEP: usize = 4096;
        if self.head.capacity() > KEEP {
            self.head = Vec::new();
        }
    }

    /// Answers a request ourselves. `Closed`: the connection goes on.
    async fn refuse(&mut self, refusal: Refusal, close: bool, head_only: bool) -> End {
        self.presence.local.counters().errors.add();
        let mut answer = Vec::new();
        let status = refusal.status.code();
        let page = self.presence.local.frontend.pages.find(status);
        write_answer(&mut answer, refusal, page, close, head_only);
        self.trace.answered_here(status);
        self.say(&answer, close).await
    }

    /// Sends an answer of our own. `Closed`: the connection goes on, unless `close`.
    async fn say(&mut self, answer: &[u8], close: bool) -> End {
        match (self.deliver([answer, &[]], close).await, close) {
            (false, _) => End::Reset,
            (true, true) => End::Linger,
            (true, false) => End::Closed,
        }
    }

    /// Sends something to its end; `last`: the connection will be closed at once. `false`: it cannot be sent.
    pub(super) async fn deliver(&mut self, parts: [&[u8]; 2], last: bool) -> bool {
        self.presence.set_deadline(self.presence.local.frontend.config.timeouts.client);
        self.presence.slot.count_sent(parts.iter().map(|part| part.len() as u64).sum());
        if self.client.send(parts, last).is_err() {
            return false;
        }
        let Self { client, presence, .. } = self;
        let sent = poll_fn(|cx| {
            presence.slot.set_waker(cx.waker());
            let patience = presence.local.frontend.config.timeouts.client;
            match presence.slot.take_signal() {
                // Whoever carries it knows for whom it waits.
                Signal::Timeout if client.is_pipe() => presence.set_deadline(patience),
                Signal::Timeout | Signal::Cut => return Poll::Ready(false),
                Signal::None | Signal::Closing | Signal::ServerDown => {}
            }
            let before = client.unsent();
            let flushed = client.poll_flush(cx);
            if flushed.is_pending() && client.unsent() < before {
                // Who takes slowly, but takes, has as much time again.
                presence.set_deadline(patience);
            }
            flushed.map(|result| result.is_ok())
        });
        sent.await
    }

    async fn next(&mut self) -> Next {
        if !self.carry.is_empty()
            && let Some(next) = self.parse_carry()
        {
            return next;
        }
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        self.presence.slot.set_waker(cx.waker());
        match self.presence.slot.take_signal() {
            Signal::Timeout if self.carry.is_empty() => return Poll::Ready(Next::Silent),
            Signal::Timeout => {
                self.trace.ends(Cause::ClientTimeout, Phase::Request);
                let slow = Refusal::new(Status::RequestTimeout, "the request's head did not arrive in time");
                return Poll::Ready(Next::Refused(slow));
            }
            // Who has asked already gets an answer, which says that it is the last one.
            Signal::Closing if self.carry.is_empty() && !self.client.has_unread() => {
                if !self.has_just_come() {
                    return Poll::Ready(Next::Gone);
                }
                let most = self.presence.local.frontend.config.timeouts.request;
                self.presence.set_deadline(most.min(LATE));
            }
            // Without a server in use this means the service.
            Signal::Cut => return Poll::Ready(Next::Gone),
            Signal::None | Signal::Closing | Signal::ServerDown => {}
        }
        let local = std::rc::Rc::clone(&self.presence.local);
        let mut scratch = local.worker.scratch.borrow_mut();
        loop {
            match self.client.poll_read(cx, &mut scratch) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::Gone),
                Poll::Ready(Ok(count)) => {
                    if let Some(next) = self.take(scratch.get(..count).unwrap_or_default()) {
                        return Poll::Ready(next);
                    }
                }
            }
        }
    }

    /// Whether its handshake was all that it has said so far: the request is on its way.
    fn has_just_come(&self) -> bool {
        self.is_first && self.session.is_some() && !self.client.is_pipe()
    }

    /// Takes new bytes; `None`: the head is not complete.
    fn take(&mut self, bytes: &[u8]) -> Option<Next> {
        if !self.carry.is_empty() {
            self.carry.push(bytes);
            // Nothing can have become complete without a line's end. The limit is looked at in any case.
            let worth = memchr::memchr(b'\n', bytes).is_some()
                || self.carry.bytes().len() >= self.presence.local.frontend.config.limits.header;
            return if worth { self.parse_carry() } else { None };
        }
        match self.parse(bytes) {
            Ok(Some(request)) => {
                self.carry.push(bytes.get(request.length..).unwrap_or_default());
                Some(Next::Request(request))
            }
            Ok(None) => {
                self.carry.push(bytes);
                self.presence.set_deadline(self.presence.local.frontend.config.timeouts.request);
                None
            }
            Err(_) if self.is_http2(bytes) => {
                self.carry.push(bytes);
                Some(Next::Http2)
            }
            Err(refusal) => Some(Next::Refused(refusal)),
        }
    }

    /// Whether what is no request of HTTP/1 is the beginning of HTTP/2.
    fn is_http2(&self, bytes: &[u8]) -> bool {
        self.may_be_http2 && bytes.starts_with(http2::PREFACE)
    }

    fn parse_carry(&mut self) -> Option<Next> {
        let carry = std::mem::take(&mut self.carry);
        let parsed = self.parse(carry.bytes());
        self.carry = carry;
        match parsed {
            Ok(Some(request)) => {
                self.carry.consume(request.length);
                Some(Next::Request(request))
            }
            Ok(None) => None,
            Err(_) if self.is_http2(self.carry.bytes()) => Some(Next::Http2),
            Err(refusal) => Some(Next::Refused(refusal)),
        }
    }

    /// Parses a head and writes it for the server. Each request follows the configuration of the moment it comes in.
    fn parse(&mut self, bytes: &[u8]) -> Result<Option<Request>, Refusal> {
        self.presence.refresh();
        let at_once = !self.trace.is_open();
        self.trace.begin(&self.presence, self.peer, true);
        let local = &self.presence.local;
        let mut fields = local.worker.fields.borrow_mut();
        let request = Request::parse(bytes, local.frontend.config.limits.header, &mut fields)
            .map_err(|refusal| own::too_large(bytes, &local.frontend.config.limits, refusal))
            .inspect_err(|refusal| self.trace.refused(refusal.status))?;
        let Some(request) = request else { return Ok(None) };
        self.presence.slot.count_received(request.length);
        self.trace.head(bytes, fields.list(), at_once);
        if self.client.is_pipe() {
            self.trace.is_of_http2();
        }
        let lines = if local.frontend.config.forwarded_for { &self.lines[..] } else { &[] };
        // Whoever introduces its clients may have had TLS with them.
        let secure = self.session.is_some() || self.presence.is_introduced();
        let proof = local.frontend.tls.desk.answer(request.target(bytes)).map(Own::Proof);
        self.own = proof.or_else(|| own::find(&request, bytes, &local.frontend.config, secure));
        if self.own.is_some() {
            // Before all rules, which may send everybody to HTTPS.
            self.ruled = None;
        } else if let Some(rules) = &local.frontend.rules {
            let (source, tls) = (self.peer.ip(), self.session.as_deref());
            let ruled = self.ruled.get_or_insert_default();
            ruled.restart();
            let scene = Scene { local, rules, source, tls, lines };
            ruled.run(scene, Head { bytes, fields: fields.list(), request: &request }, &mut self.head);
            self.trace.ruled(ruled.line());
        } else {
            self.ruled = None;
            self.head.clear();
            let additions = Additions { lines, host: &local.frontend.host, ..Additions::default() };
            request.write(bytes, fields.list(), additions, &mut self.head);
        }
        Ok(Some(request))
    }
}

/// Bytes that were read and not used yet.
#[derive(Debug, Default)]
pub(super) struct Carry {
    bytes: Vec<u8>,
    start: usize,
}

impl Carry {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            // A client that pipelines may never let it become empty.
            self.bytes.drain(..self.start);
            self.start = 0;
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Puts bytes in front that were taken before.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.splice(..self.start, bytes.iter().copied());
            self.start = 0;
        }
    }

    /// Removes bytes from the front; the memory of a large rest is given back when all is used.
    pub(super) fn consume(&mut self, count: usize) {
        const KEEP: usize = 4096;
        self.start = (self.start + count).min(self.bytes.len());
        if self.is_empty() {
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEEP {
                self.bytes = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_given_back_though_a_rest_always_stays() {
        // A client that pipelines so that each of its packets ends within the next request's head.
        let mut carry = Carry::default();
        carry.push(b"G");
        for _ in 0..10_000 {
            carry.push(b"ET / HTTP/1.1\r\nHost: a\r\n\r\nG");
            carry.consume(27);
            assert_eq!(carry.bytes(), b"G");
        }
        assert!(carry.bytes.capacity() < 4096, "{} bytes for one", carry.bytes.capacity());
    }
}
