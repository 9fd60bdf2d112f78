//! The connection to a server.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::outbox::Outbox;
use super::{Stream, socket};

/// A server's bytes, and what carries them.
#[derive(Debug)]
pub(crate) enum ServerStream {
    /// A TCP connection.
    Plain(Plain),
}

/// A TCP connection without anything around it.
#[derive(Debug)]
pub(crate) struct Plain {
    socket: TcpStream,
    /// Bytes that the kernel has not taken yet.
    out: Outbox,
}

impl ServerStream {
    /// A connection that was just made.
    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self::Plain(Plain { socket, out: Outbox::default() })
    }

    /// Whether the peer has closed an idle connection, or sent what nobody asked for. Costs no system call while
    /// the event loop has seen nothing.
    pub(crate) fn is_stale(&mut self) -> bool {
        let Self::Plain(plain) = self;
        let read = plain.socket.try_read(&mut [0]);
        !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The contrary, by asking the kernel, which costs a system call.
    pub(crate) fn is_alive(&mut self) -> bool {
        let Self::Plain(plain) = self;
        matches!(socket::read_now(&plain.socket, &mut [0]), Ok(None))
    }

    /// Throws away what was not sent: the server does not take it.
    pub(crate) fn discard(&mut self) {
        let Self::Plain(plain) = self;
        plain.out = Outbox::default();
    }

    /// Closes so that the server sees a reset.
    pub(crate) fn reset(self) {
        let Self::Plain(plain) = self;
        socket::reset(plain.socket);
    }
}

impl Stream for ServerStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self::Plain(plain) = self;
        socket::poll_read(&mut plain.socket, cx, buffer)
    }

    fn send(&mut self, parts: [&[u8]; 2], last: bool) -> io::Result<()> {
        let Self::Plain(plain) = self;
        plain.out.send(plain.socket.as_fd(), parts, last)
    }

    fn is_flushed(&self) -> bool {
        let Self::Plain(plain) = self;
        plain.out.is_empty()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Plain(plain) = self;
        plain.out.poll_flush(&mut plain.socket, cx)
    }

    fn end(&mut self) {
        let Self::Plain(plain) = self;
        socket::end(&plain.socket);
    }

    fn tcp(&mut self) -> Option<&TcpStream> {
        let Self::Plain(plain) = self;
        Some(&plain.socket)
    }
}
