//! One connection of HTTP/2 to a server, and the task that reads and writes it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::time::Sleep;

use super::links::Making;
use super::stream::Stream;
use super::{
    CONNECTION_WINDOW, LARGEST_HEAD, LONGEST_REST, MOST_STREAMS, SEND_BUFFER, STREAM_WINDOW, UNSPEAKABLE,
};
use crate::http2::wire::Wire;
use crate::stream::{self, ServerStream};
use crate::tls::Origination;

/// Longest time for the last words on a connection that nobody uses any more.
const GOODBYE: Duration = Duration::from_secs(5);

/// Most answers at a time whose streams' ends are waited for; more are reset.
const MOST_LINGERING: usize = 64;

/// A connection. When nobody has it any more it says good-bye and is closed.
#[derive(Debug)]
pub(crate) struct Link<S = ServerStream> {
    send: SendRequest<Bytes>,
    wire: Wire<S>,
    /// By what it was made.
    origination: Option<Arc<Origination>>,
    /// Where the server listens.
    at: String,
    streams: Cell<usize>,
    /// Since when nobody has used it, in milliseconds; `None`: it has never been looked at since.
    resting: Cell<Option<u64>>,
    /// It gets no new streams.
    retired: Cell<bool>,
    /// Those who wait for the server's first words.
    listeners: RefCell<Vec<Waker>>,
    heard: Cell<bool>,
    /// Answers that are complete, but for the end of their streams. To reset these would look like an attack (CVE-2023-44487).
    lingering: RefCell<Vec<RecvStream>>,
    /// The task.
    waker: RefCell<Option<Waker>>,
    /// Until the server has said how many streams it allows, only who has made it uses it.
    making: RefCell<Option<Making>>,
}

impl Link {
    /// Begins HTTP/2 on a connection that was just made.
    ///
    /// # Errors
    /// When nothing can be written to it.
    pub(crate) async fn open(
        stream: ServerStream,
        origination: Option<Arc<Origination>>,
        at: String,
        making: Option<Making>,
    ) -> io::Result<Rc<Self>> {
        let (link, driving) = Self::join(stream, origination, at, making).await?;
        tokio::task::spawn_local(driving);
        Ok(link)
    }

    /// Whether the server has closed it, by asking the kernel.
    pub(super) fn has_ended(&self) -> bool {
        self.wire.with_stream(|stream| stream.has_ended())
    }
}

impl<S: stream::Stream + 'static> Link<S> {
    /// The same; whoever asks for it must let the task run.
    pub(super) async fn join(
        stream: S,
        origination: Option<Arc<Origination>>,
        at: String,
        making: Option<Making>,
    ) -> io::Result<(Rc<Self>, impl Future<Output = ()>)> {
        let wire = Wire::new(stream, Vec::new());
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(MOST_STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(LARGEST_HEAD);
        let (send, connection) = builder.handshake(wire.clone()).await.map_err(io::Error::other)?;
        let link = Rc::new(Self {
            send,
            wire: wire.clone(),
            origination,
            at,
            streams: Cell::new(0),
            resting: Cell::new(None),
            retired: Cell::new(false),
            listeners: RefCell::default(),
            heard: Cell::new(false),
            lingering: RefCell::default(),
            waker: RefCell::default(),
            making: RefCell::new(making),
        });
        let driving = drive(connection, wire, Rc::downgrade(&link));
        Ok((link, driving))
    }
}

impl<S> Link<S> {
    /// A place for one request.
    pub(crate) fn stream(self: &Rc<Self>) -> Stream<S> {
        Stream::new(Rc::clone(self))
    }

    /// Whether it may get another stream.
    pub(super) fn has_room(&self) -> bool {
        !self.retired.get()
            && self.heard.get()
            && self.streams.get() < self.send.current_max_send_streams().clamp(1, MOST_STREAMS)
    }

    /// Whether the server has not said good-bye; then it is retired.
    pub(super) fn is_open(&self) -> bool {
        let open = matches!(
            self.send.clone().poll_ready(&mut Context::from_waker(Waker::noop())),
            Poll::Ready(Ok(()))
        );
        if !open {
            self.retire();
        }
        open
    }

    /// Waits for the end of a stream whose answer is complete.
    pub(super) fn linger(&self, body: RecvStream) {
        let mut lingering = self.lingering.borrow_mut();
        if lingering.len() < MOST_LINGERING {
            lingering.push(body);
            drop(lingering);
            if let Some(waker) = &*self.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }

    /// Looks at streams whose ends are waited for.
    fn poll_lingering(&self, cx: &mut Context<'_>) {
        {
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        // Nothing but the end may come: any news is that, or an error.
        self.lingering.borrow_mut().retain_mut(|body| body.poll_data(cx).is_pending());
    }

    /// Whether it was made as connections are made now.
    pub(super) fn is_made_by(&self, origination: Option<&Arc<Origination>>) -> bool {
        match (&self.origination, origination) {
            (None, None) => true,
            (Some(made), Some(now)) => Arc::ptr_eq(made, now),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// From now on it gets no new streams.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        drop(self.making.take());
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    pub(super) fn is_resting(&self) -> bool {
        self.streams.get() == 0
    }

    /// Whether it has rested too long.
    pub(super) fn is_old(&self, now: u64) -> bool {
        if self.streams.get() > 0 {
            self.resting.set(None);
            return false;
        }
        let since = self.resting.get().unwrap_or(now);
        self.resting.set(Some(since));
        now.saturating_sub(since) >= LONGEST_REST
    }

    pub(super) fn is_secure(&self) -> bool {
        self.origination.is_some()
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(super) fn enter(&self) {
        self.streams.set(self.streams.get() + 1);
    }

    pub(super) fn leave(&self) {
        self.streams.set(self.streams.get() - 1);
    }

    /// Sends a request's head.
    pub(super) fn begin(
        &self,
        request: Request<()>,
        ended: bool,
    ) -> io::Result<(ResponseFuture, SendStream<Bytes>)> {
        self.send.clone().send_request(request, ended).map_err(|error| {
            if error.is_go_away() || error.is_io() || error.is_reset() {
                self.retire();
                io::ErrorKind::NotConnected.into()
            } else {
                io::Error::new(UNSPEAKABLE, error)
            }
        })
    }

    /// Ready when the server has said what it offers.
    pub(super) fn poll_heard(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.heard.get() {
            return Poll::Ready(Ok(()));
        }
        if self.retired.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.listeners.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the server takes WebSockets (RFC 8441).
    pub(super) fn takes_websockets(&self) -> bool {
        self.send.is_extended_connect_protocol_enabled()
    }

    fn tell(&self) {
        drop(self.making.take());
        self.listeners.take().into_iter().for_each(Waker::wake);
    }
}

/// Reads and writes a connection to its end.
async fn drive<S: stream::Stream>(
    mut connection: Connection<Wire<S>, Bytes>,
    wire: Wire<S>,
    link: Weak<Link<S>>,
) {
    let mut ended = false;
    let mut goodbye: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        loop {
            ended = ended || Pin::new(&mut connection).poll(cx).is_ready();
            if let Some(link) = link.upgrade() {
                link.poll_lingering(cx);
                // The server's first frame is its SETTINGS (RFC 9113 section 3.4).
                if wire.has_read() && !link.heard.replace(true) {
                    link.tell();
                }
            } else {
                // Nobody is left to be served: last words may take a moment.
                let sleep = goodbye.get_or_insert_with(|| Box::pin(tokio::time::sleep(GOODBYE)));
                if sleep.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
            match wire.poll_write_out(cx) {
                // Nobody hears us.
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) if ended => return Poll::Ready(()),
                // There was no room for all that the crate has, and now there is.
                Poll::Ready(Ok(())) if wire.was_refused() => {}
                Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    if let Some(link) = link.upgrade() {
        link.retire();
        link.tell();
    }
    // Those who still wait for answers see it now.
    drop(connection);
    drop(wire.into_stream());
}
