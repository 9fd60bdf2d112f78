//! One connection: the `h2` crate frames it, each of its requests is carried by a task.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, Connection, Handshake};

use super::load::Load;
use super::stream::{End, Exchange};
use super::wire::Wire;
use crate::http::fields::Fields;
use crate::stream::Client;

/// Bytes that a client may send on one stream before they are read.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same on all streams of a connection together: what one client can make us hold.
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Bytes of one answer that wait within the `h2` crate.
const SEND_BUFFER: usize = 128 * 1024;
/// Requests that a client may cancel before it is looked at how many it lets us answer (CVE-2023-44487).
const MANY_CANCELLED: u64 = 100;

/// Who serves requests: the HTTP/1 engine.
pub(crate) trait Serve: Sized + 'static {
    /// Serves one request and lets it end.
    fn serve(&self, client: Client) -> impl Future<Output = ()> + 'static;

    /// Where heads are parsed.
    fn fields(&self) -> &RefCell<Fields>;

    /// Lets a task carry a request.
    fn begin(&self, request: Begun<Self>);
}

/// A request that has begun, for the task that carries it.
#[derive(Debug)]
pub(crate) struct Begun<S> {
    exchange: Exchange,
    client: Client,
    serve: Rc<S>,
    patience: Duration,
    load: Rc<Load>,
    running: Running,
}

impl<S: Serve> Begun<S> {
    /// Carries it to its end.
    pub(crate) async fn carry(self) {
        let Self { exchange, client, serve, patience, load, running } = self;
        // Large, so it begins where it stays.
        let serving = pin!(serve.serve(client));
        let end = exchange.run(serving, serve.fields(), patience, &load).await;
        running.0.note(end);
    }
}

/// What a client may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Requests at a time.
    pub(crate) streams: u32,
    /// Bytes of a head, counted as RFC 9113 section 6.5.2 does it.
    pub(crate) header: usize,
    /// Longest time in which a client that owes us reading takes nothing of an answer.
    pub(crate) patience: Duration,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Session<S> {
    wire: Wire<Client>,
    state: State,
    patience: Duration,
    serve: Rc<S>,
    tally: Rc<Tally>,
    closing: Closing,
}

/// Whether it takes no new requests any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// After the first one, which is on its way.
    Soon,
    Yes,
}

enum State {
    Handshake(Box<Handshake<Wire<Client>, Bytes>>),
    Open(Box<Connection<Wire<Client>, Bytes>>),
    Ended,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// The first request.
    First,
    /// The next request; none is under way.
    Next,
    /// Requests that are under way.
    Answers,
    /// The client takes nothing of what was sent; how often it has taken something before.
    Room(u64),
}

/// What became of the requests of a connection.
#[derive(Debug, Default)]
struct Tally {
    opened: Cell<u64>,
    running: Cell<u32>,
    cancelled: Cell<u64>,
    load: Rc<Load>,
    /// The connection's task.
    waker: RefCell<Option<Waker>>,
}

/// A request under way.
#[derive(Debug)]
struct Running(Rc<Tally>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        if self.0.running.get() == 0
            && let Some(waker) = &*self.0.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

impl<S: Serve> Session<S> {
    /// A connection whose first bytes may have been read.
    pub(crate) fn new(client: Client, early: Vec<u8>, limits: Limits, serve: S) -> Self {
        let wire = Wire::new(client, early);
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.header).unwrap_or(u32::MAX))
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .enable_connect_protocol();
        let state = State::Handshake(Box::new(builder.handshake(wire.clone())));
        Self {
            wire,
            state,
            patience: limits.patience,
            serve: Rc::new(serve),
            tally: Rc::default(),
            closing: Closing::No,
        }
    }

    /// Reads, begins requests, writes. Ready: there is nothing more to do but close.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut waker = self.tally.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        loop {
            let ended = self.advance(cx).is_ready();
            if ended {
                self.state = State::Ended;
            }
            match std::task::ready!(self.wire.poll_write_out(cx)) {
                // Nobody hears us.
                Err(_) => return Poll::Ready(()),
                Ok(()) if ended => return Poll::Ready(()),
                // There was no room for all that the crate has, and now there is.
                Ok(()) if self.wire.was_refused() => {}
                Ok(()) => {
                    self.tally.load.settle();
                    return Poll::Pending;
                }
            }
        }
    }

    /// What it waits for.
    pub(crate) fn waits(&self) -> Waits {
        if !self.wire.is_flushed() {
            Waits::Room(self.wire.taken())
        } else if self.tally.running.get() > 0 {
            Waits::Answers
        } else if self.tally.opened.get() > 0 {
            Waits::Next
        } else {
            Waits::First
        }
    }

    /// Takes no new requests, and ends when those under way have (RFC 9113 section 6.8).
    pub(crate) fn close(&mut self) {
        if std::mem::replace(&mut self.closing, Closing::Yes) != Closing::Yes
            && let State::Open(connection) = &mut self.state
        {
            connection.graceful_shutdown();
        }
    }

    /// The same; of a client that has just come, its first request is taken before.
    pub(crate) fn leave(&mut self) {
        match (self.closing, &self.state) {
            (Closing::No, State::Handshake(_)) => self.closing = Closing::Soon,
            (Closing::No, State::Open(_) | State::Ended) => self.close(),
            (Closing::Soon | Closing::Yes, _) => {}
        }
    }

    /// The connection, to be closed.
    pub(crate) fn into_client(self) -> Option<Client> {
        self.wire.into_stream()
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Handshake(handshake) => {
                    match std::task::ready!(std::pin::Pin::new(&mut **handshake).poll(cx)) {
                        Ok(mut connection) => {
                            if self.closing == Closing::Yes {
                                connection.graceful_shutdown();
                            }
                            self.state = State::Open(Box::new(connection));
                        }
                        Err(_) => return Poll::Ready(()),
                    }
                }
                State::Open(connection) => match std::task::ready!(connection.poll_accept(cx)) {
                    Some(Ok((request, respond))) => {
                        self.tally.opened.set(self.tally.opened.get() + 1);
                        if self.closing == Closing::Soon {
                            self.closing = Closing::Yes;
                            connection.graceful_shutdown();
                        }
                        let Some((exchange, client)) = Exchange::new(request, respond) else {
                            self.tally.cancelled.set(self.tally.cancelled.get() + 1);
                            continue;
                        };
                        self.tally.running.set(self.tally.running.get() + 1);
                        self.serve.begin(Begun {
                            exchange,
                            client,
                            serve: Rc::clone(&self.serve),
                            patience: self.patience,
                            load: Rc::clone(&self.tally.load),
                            running: Running(Rc::clone(&self.tally)),
                        });
                    }
                    Some(Err(_)) | None => return Poll::Ready(()),
                },
                State::Ended => return Poll::Ready(()),
            }
            if self.tally.is_flood()
                && let State::Open(connection) = &mut self.state
            {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
        }
    }
}

impl Tally {
    fn note(&self, end: End) {
        match end {
            End::Cancelled => self.cancelled.set(self.cancelled.get() + 1),
            End::Complete | End::Broken => {}
        }
    }

    /// Whether the client makes work for nothing.
    fn is_flood(&self) -> bool {
        let cancelled = self.cancelled.get();
        cancelled > MANY_CANCELLED && cancelled > self.opened.get() / 2
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Handshake(_) => "Handshake",
            Self::Open(_) => "Open",
            Self::Ended => "Ended",
        })
    }
}
