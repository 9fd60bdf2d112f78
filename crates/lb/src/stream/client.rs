//! The connection to a client.

use std::io;
use std::net::TcpStream as StdStream;
use std::task::{Context, Poll};

use super::outbox::Outbox;
use super::pipe::Pipe;
use super::{Late, Stream};
use tokio::net::TcpStream;

/// A client's bytes, and what carries them.
#[derive(Debug)]
pub(crate) enum Client {
    /// A TCP connection.
    Plain(Plain),
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

impl Client {
    /// A connection that was just accepted, and does not block.
    pub(crate) fn plain(stream: StdStream) -> Self {
        Self::Plain(Plain { socket: Late::Early(stream), out: Outbox::default() })
    }

    /// Whether it is a connection of its own, in clear.
    pub(crate) const fn is_plain(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Pipe(_) => false,
        }
    }

    /// Whether there are bytes to read just now. May take some of them: for a connection that will be closed.
    pub(crate) fn has_bytes(&mut self) -> bool {
        match self {
            Self::Plain(plain) => plain.socket.has_bytes(),
            Self::Pipe(pipe) => pipe.has_bytes(),
        }
    }

    /// Closes; what was sent is complete, and the client can see that it is.
    pub(crate) fn close(self) {
        match self {
            Self::Plain(_) => {}
            Self::Pipe(mut pipe) => pipe.end(),
        }
    }

    /// Closes so that the client sees a reset: what it got is not complete.
    pub(crate) fn reset(self) {
        match self {
            Self::Plain(plain) => plain.socket.reset(),
            Self::Pipe(pipe) => pipe.reset(),
        }
    }
}

impl Stream for Client {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(plain) => plain.socket.poll_read(cx, buffer),
            Self::Pipe(pipe) => pipe.poll_read(buffer),
        }
    }

    fn send(&mut self, parts: [&[u8]; 2], last: bool) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.out.send(plain.socket.socket()?, parts, last),
            Self::Pipe(pipe) => pipe.send(parts),
        }
    }

    fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.out.is_empty(),
            Self::Pipe(pipe) => pipe.is_flushed(),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(plain) if plain.out.is_empty() => Poll::Ready(Ok(())),
            Self::Plain(plain) => plain.out.poll_flush(plain.socket.ready()?, cx),
            Self::Pipe(pipe) => pipe.poll_flush(),
        }
    }

    fn end(&mut self) {
        match self {
            Self::Plain(plain) => plain.socket.end(),
            Self::Pipe(pipe) => pipe.end(),
        }
    }

    fn tcp(&mut self) -> Option<&TcpStream> {
        match self {
            Self::Plain(plain) => plain.socket.ready().ok().map(|stream| &*stream),
            Self::Pipe(_) => None,
        }
    }
}
