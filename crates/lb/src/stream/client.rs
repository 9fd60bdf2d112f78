//! The connection to a client.

use std::io;
use std::net::TcpStream as StdStream;
use std::rc::Rc;
use std::task::{Context, Poll};

use rustls::server::UnbufferedServerConnection;
use tokio::net::TcpStream;

use super::outbox::Outbox;
use super::pipe::Pipe;
use super::secure::Secure;
use super::{Late, Stream, socket};
use crate::tls::{Session, Terminator};

/// A client's bytes, and what carries them.
#[derive(Debug)]
pub(crate) enum Client {
    /// A TCP connection.
    Plain(Plain),
    /// The same with TLS around it.
    Tls(Tls),
    /// One stream of a connection that carries several.
    Pipe(Pipe),
}

/// A TCP connection without anything around it.
#[derive(Debug)]
pub(crate) struct Plain {
    socket: Late,
    /// Bytes that the kernel has not taken yet.
    out: Outbox,
}

type Secured = Secure<UnbufferedServerConnection, Late>;

/// A TCP connection with TLS around it.
#[derive(Debug)]
pub(crate) struct Tls {
    secure: Box<Secured>,
    session: Rc<Session>,
}

/// A TCP connection whose client has begun a TLS handshake.
#[derive(Debug)]
pub(crate) struct Greeting {
    secure: Box<Secured>,
    session: Session,
}

impl Client {
    /// A connection that was just accepted, and does not block.
    pub(crate) fn plain(stream: StdStream) -> Self {
        Self::of(Late::Early(stream))
    }

    /// A connection without anything around it.
    pub(crate) fn of(socket: Late) -> Self {
        Self::Plain(Plain { socket, out: Outbox::default() })
    }

    /// What was agreed on, if there is TLS around it.
    pub(crate) fn session(&self) -> Option<Rc<Session>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(Rc::clone(&tls.session)),
            Self::Pipe(pipe) => pipe.session(),
        }
    }

    /// The same for one stream of a connection, which it goes by.
    pub(crate) fn with_session(self, session: Option<Rc<Session>>) -> Self {
        if let Self::Pipe(pipe) = &self {
            pipe.set_session(session);
        }
        self
    }

    /// Whether it is one of several streams of a connection.
    pub(crate) const fn is_pipe(&self) -> bool {
        match self {
            Self::Pipe(_) => true,
            Self::Plain(_) | Self::Tls(_) => false,
        }
    }

    /// Takes what has come already, if that can be known without waiting; then the event loop watches.
    pub(crate) fn read_early(&mut self, buffer: &mut [u8], into: &mut Vec<u8>) {
        if let Self::Plain(plain) = self {
            let count = plain.socket.read_early(buffer);
            into.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }

    /// Whether there are bytes to read just now. May take some of them: for a connection that will be closed.
    pub(crate) fn has_bytes(&mut self) -> bool {
        match self {
            Self::Plain(plain) => plain.socket.has_bytes(),
            Self::Tls(tls) => tls.secure.has_bytes(),
            Self::Pipe(pipe) => pipe.has_bytes(),
        }
    }

    /// Whether it has sent something that was not read. Takes nothing.
    pub(crate) fn has_unread(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.socket.has_unread(),
            Self::Tls(tls) => tls.secure.has_unread(),
            Self::Pipe(pipe) => pipe.has_bytes(),
        }
    }

    /// Ready when the client has left, as far as that can be seen before what it has sent. One of several streams of a
    /// connection never is: whoever carries it is dropped.
    pub(crate) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(plain) => plain.socket.poll_left(cx),
            Self::Tls(tls) => tls.secure.poll_left(cx),
            Self::Pipe(_) => Poll::Pending,
        }
    }

    /// Bytes that the kernel took and the client has not acknowledged; `None`: it is not known. The event loop hears of
    /// room only when a third of what the kernel keeps is free: who reads slowly is seen to read by this alone.
    pub(crate) fn queued(&self) -> Option<u32> {
        match self {
            Self::Plain(plain) => socket::queued(plain.socket.socket().ok()?),
            Self::Tls(tls) => socket::queued(tls.secure.socket().socket().ok()?),
            Self::Pipe(_) => None,
        }
    }

    /// Whether that has become less; notes what it is.
    pub(crate) fn has_taken(&self, queued: &mut Option<u32>) -> bool {
        let now = self.queued();
        let before = std::mem::replace(queued, now);
        matches!((now, before), (Some(now), Some(before)) if now < before)
    }

    /// How much of an answer should be read at a time.
    pub(crate) fn room(&self) -> usize {
        match self {
            Self::Plain(_) | Self::Tls(_) => usize::MAX,
            Self::Pipe(pipe) => pipe.room_down(),
        }
    }

    /// Closes; what was sent is complete, and the client can see that it is.
    pub(crate) fn close(self) {
        match self {
            Self::Plain(_) => {}
            Self::Tls(mut tls) => tls.secure.say_end(),
            Self::Pipe(mut pipe) => pipe.end(),
        }
    }

    /// Closes so that the client sees a reset: what it got is not complete.
    pub(crate) fn reset(self) {
        match self {
            Self::Plain(plain) => plain.socket.reset(),
            Self::Tls(tls) => tls.secure.into_socket().reset(),
            Self::Pipe(pipe) => pipe.reset(),
        }
    }
}

impl Stream for Client {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(plain) => plain.socket.poll_read(cx, buffer),
            Self::Tls(tls) => tls.secure.poll_read(cx, buffer),
            Self::Pipe(pipe) => pipe.poll_read(buffer),
        }
    }

    fn send(&mut self, parts: [&[u8]; 2], last: bool) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.out.send(plain.socket.socket()?, parts, last),
            Self::Tls(tls) => tls.secure.send(parts, last),
            Self::Pipe(pipe) => pipe.send(parts),
        }
    }

    fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.out.is_empty(),
            Self::Tls(tls) => tls.secure.is_flushed(),
            Self::Pipe(pipe) => pipe.is_flushed(),
        }
    }

    fn unsent(&self) -> usize {
        match self {
            Self::Plain(plain) => plain.out.len(),
            Self::Tls(tls) => tls.secure.unsent(),
            Self::Pipe(pipe) => pipe.unsent(),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(plain) if plain.out.is_empty() => Poll::Ready(Ok(())),
            Self::Plain(plain) => plain.out.poll_flush(plain.socket.ready()?, cx),
            Self::Tls(tls) => tls.secure.poll_flush(cx),
            Self::Pipe(pipe) => pipe.poll_flush(),
        }
    }

    fn end(&mut self) {
        match self {
            Self::Plain(plain) => plain.socket.end(),
            Self::Tls(tls) => {
                tls.secure.say_end();
                tls.secure.socket().end();
            }
            Self::Pipe(pipe) => pipe.end(),
        }
    }

    fn is_plain(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(_) | Self::Pipe(_) => false,
        }
    }

    fn tcp(&mut self) -> Option<&TcpStream> {
        match self {
            Self::Plain(plain) => plain.socket.ready().ok().map(|stream| &*stream),
            Self::Tls(_) | Self::Pipe(_) => None,
        }
    }
}

impl Greeting {
    /// TLS around a connection.
    pub(crate) fn new(socket: Late, terminator: &Terminator) -> io::Result<Self> {
        let secure = Box::new(Secure::new(terminator.connection()?, socket));
        Ok(Self { secure, session: Session::default() })
    }

    /// Takes what the client has sent before; once, before all else.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = self.secure.feed(bytes);
        self.note();
        result
    }

    /// Goes on with the handshake.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = self.secure.poll_handshake(cx);
        self.note();
        result
    }

    /// The client, after the handshake.
    pub(crate) fn into_client(self) -> Client {
        let session = Rc::new(self.session.agreed(self.secure.common()));
        Client::Tls(Tls { secure: self.secure, session })
    }

    /// The bare connection, after a handshake that failed; its client was told why.
    pub(crate) fn into_socket(self) -> Late {
        self.secure.into_socket()
    }

    /// The name is told only while it is looked for.
    fn note(&mut self) {
        if let Some(name) = Terminator::take_asked() {
            self.session.name = Some(name);
        }
    }
}
