//! The connection to a server.

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream as StdStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::UnbufferedClientConnection;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::outbox::Outbox;
use super::secure::Secure;
use super::{Late, Stream, socket};
use crate::shared;
use crate::tls::Origination;

/// A server's bytes, and what carries them.
#[derive(Debug)]
pub(crate) enum ServerStream {
    /// A TCP connection.
    Plain(Plain),
    /// The same with TLS around it.
    Tls(Tls),
    /// A stream of a connection of HTTP/2, for one request.
    Shared(Box<shared::Stream>),
}

/// A TCP connection without anything around it.
#[derive(Debug)]
pub(crate) struct Plain {
    socket: Late,
    /// Bytes that the kernel has not taken yet.
    out: Outbox,
    of_one_client: bool,
}

/// A TCP connection with TLS around it.
#[derive(Debug)]
pub(crate) struct Tls {
    secure: Box<Secure<UnbufferedClientConnection, TcpStream>>,
    /// By what it was made.
    origination: Arc<Origination>,
    of_one_client: bool,
}

impl ServerStream {
    /// A connection that was just made.
    pub(crate) fn plain(socket: Late) -> Self {
        Self::Plain(Plain { socket, out: Outbox::default(), of_one_client: false })
    }

    /// The same with TLS around it, and the first words on their way. Bytes that were sent before must be with the kernel.
    pub(crate) fn tls(
        socket: TcpStream,
        connection: UnbufferedClientConnection,
        origination: &Arc<Origination>,
    ) -> io::Result<Self> {
        let mut secure = Box::new(Secure::new(connection, socket));
        secure.feed(&[])?;
        Ok(Self::Tls(Tls { secure, origination: Arc::clone(origination), of_one_client: false }))
    }

    /// A stream of a connection that others use too.
    pub(crate) fn shared(stream: shared::Stream) -> Self {
        Self::Shared(Box::new(stream))
    }

    /// Whether the server has chosen HTTP/2 in TLS.
    pub(crate) fn is_http2_agreed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.secure.common().alpn_protocol() == Some(b"h2"),
            Self::Shared(_) => true,
        }
    }

    /// The body that was sent, if the server has said that it has not processed the request.
    pub(crate) fn take_unprocessed(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(_) | Self::Tls(_) => None,
            Self::Shared(stream) => stream.take_unprocessed(),
        }
    }

    /// Nobody else shall be served by a connection that fails.
    pub(crate) fn retire(&self) {
        match self {
            Self::Plain(_) | Self::Tls(_) => {}
            Self::Shared(stream) => stream.retire(),
        }
    }

    /// Whether the server has closed it, by asking the kernel, which costs a system call. What was sent before stays.
    pub(crate) fn has_ended(&mut self) -> bool {
        let socket = match self {
            Self::Plain(plain) => plain.socket.socket(),
            Self::Tls(tls) => Ok(tls.secure.socket().as_fd()),
            Self::Shared(_) => return false,
        };
        let Ok(socket) = socket else { return true };
        let peeked = SockRef::from(&socket).peek(&mut [MaybeUninit::uninit()]);
        !matches!(peeked, Ok(1..))
            && !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Notes that it began with a client's name, and is for nobody else.
    pub(crate) fn set_of_one_client(&mut self) {
        match self {
            Self::Plain(plain) => plain.of_one_client = true,
            Self::Tls(tls) => tls.of_one_client = true,
            Self::Shared(_) => {}
        }
    }

    /// Whether it is for nobody else: it began with a client's name, or is one request's part of a connection.
    pub(crate) fn is_of_one_client(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.of_one_client,
            Self::Tls(tls) => tls.of_one_client,
            Self::Shared(_) => true,
        }
    }

    /// Goes on with the TLS handshake, if there is one.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Shared(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.secure.poll_handshake(cx),
        }
    }

    /// Whether it was made as connections are made now.
    pub(crate) fn is_made_by(&self, origination: Option<&Arc<Origination>>) -> bool {
        match (self, origination) {
            (Self::Plain(_), None) => true,
            (Self::Tls(tls), Some(now)) => Arc::ptr_eq(&tls.origination, now),
            (Self::Plain(_), Some(_)) | (Self::Tls(_), None) | (Self::Shared(_), _) => false,
        }
    }

    /// Whether the peer has closed an idle connection, or sent what nobody asked for. Costs no system call while
    /// the event loop has seen nothing.
    pub(crate) fn is_stale(&mut self) -> bool {
        match self {
            Self::Plain(plain) => !matches!(plain.socket.read_seen(&mut [0]), Ok(None)),
            Self::Tls(tls) => !tls.secure.is_fresh(|socket, space| match socket.try_read(space) {
                Ok(count) => Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            }),
            Self::Shared(_) => true,
        }
    }

    /// The contrary, by asking the kernel, which costs a system call.
    pub(crate) fn is_alive(&mut self) -> bool {
        match self {
            Self::Plain(plain) => {
                let read = plain.socket.socket().and_then(|socket| socket::read_now(&socket, &mut [0]));
                matches!(read, Ok(None))
            }
            Self::Tls(tls) => tls.secure.is_fresh(|socket, space| socket::read_now(socket, space)),
            Self::Shared(_) => true,
        }
    }

    /// Keeps bytes to be sent with the next flush; for a connection without TLS.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(plain) => plain.out.keep(bytes),
            Self::Tls(_) | Self::Shared(_) => {}
        }
    }

    /// Throws away what was not sent: the server does not take it.
    pub(crate) fn discard(&mut self) {
        match self {
            Self::Plain(plain) => plain.out = Outbox::default(),
            Self::Tls(tls) => tls.secure.discard(),
            Self::Shared(stream) => stream.discard(),
        }
    }

    /// The socket of a connection that both sides have ended, after saying our end.
    pub(crate) fn into_spent(self) -> Option<StdStream> {
        match self {
            Self::Plain(plain) => {
                plain.socket.end();
                plain.socket.into_std()
            }
            Self::Tls(_) | Self::Shared(_) => None,
        }
    }

    /// Closes so that the server sees a reset.
    pub(crate) fn reset(self) {
        match self {
            Self::Plain(plain) => plain.socket.reset(),
            Self::Tls(tls) => socket::reset(tls.secure.into_socket()),
            // What is not complete is reset.
            Self::Shared(stream) => drop(stream),
        }
    }
}

impl Stream for ServerStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(plain) => plain.socket.poll_read(cx, buffer),
            Self::Tls(tls) => tls.secure.poll_read(cx, buffer),
            Self::Shared(stream) => stream.poll_read(cx, buffer),
        }
    }

    fn send(&mut self, parts: [&[u8]; 2], last: bool) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.out.send(plain.socket.socket()?, parts, last),
            Self::Tls(tls) => tls.secure.send(parts, last),
            Self::Shared(stream) => stream.send(parts),
        }
    }

    fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.out.is_empty(),
            Self::Tls(tls) => tls.secure.is_flushed(),
            Self::Shared(stream) => stream.is_flushed(),
        }
    }

    fn unsent(&self) -> usize {
        match self {
            Self::Plain(plain) => plain.out.len(),
            Self::Tls(tls) => tls.secure.unsent(),
            Self::Shared(stream) => stream.unsent(),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(plain) if plain.out.is_empty() => Poll::Ready(Ok(())),
            Self::Plain(plain) => plain.out.poll_flush(plain.socket.ready()?, cx),
            Self::Tls(tls) => tls.secure.poll_flush(cx),
            Self::Shared(stream) => stream.poll_flush(cx),
        }
    }

    fn end(&mut self) {
        match self {
            Self::Plain(plain) => plain.socket.end(),
            Self::Tls(tls) => {
                tls.secure.say_end();
                socket::end(tls.secure.socket());
            }
            Self::Shared(stream) => stream.end(),
        }
    }

    fn is_plain(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(_) | Self::Shared(_) => false,
        }
    }

    fn tcp(&mut self) -> Option<&TcpStream> {
        match self {
            Self::Plain(plain) => plain.socket.ready().ok().map(|stream| &*stream),
            Self::Tls(_) | Self::Shared(_) => None,
        }
    }
}
