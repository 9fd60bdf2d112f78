//! An accepted connection that is registered with the event loop when it must be waited for, not before.

use std::io;
use std::net::TcpStream as StdStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::socket::{self, Socket};

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Late {
    /// Not registered.
    Early(StdStream),
    /// Registered.
    Ready(TcpStream),
    /// Registering failed, and took the connection along.
    Lost,
}

impl Late {
    /// The registered connection.
    pub(super) fn ready(&mut self) -> io::Result<&mut TcpStream> {
        if matches!(self, Self::Early(_))
            && let Self::Early(stream) = std::mem::replace(self, Self::Lost)
        {
            *self = Self::Ready(TcpStream::from_std(stream)?);
        }
        match self {
            Self::Ready(stream) => Ok(stream),
            Self::Early(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads; 0: the peer has closed its side.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Self::Early(stream) = self
            && let Some(count) = socket::read_now(stream, buffer)?
        {
            // Who has much to say must not keep the worker from the others: the event loop counts turns.
            if count == buffer.len() {
                self.ready()?;
            }
            return Poll::Ready(Ok(count));
        }
        socket::poll_read(self.ready()?, cx, buffer)
    }

    /// Reads once, and registers. 0: nothing was there, or the end, which will be read again.
    pub(super) fn read_early(&mut self, buffer: &mut [u8]) -> usize {
        let Self::Early(stream) = self else { return 0 };
        let count = socket::read_now(stream, buffer).ok().flatten().unwrap_or(0);
        // Where it fails, the next read says so.
        let _ = self.ready();
        count
    }

    /// Ready when the peer has closed its side, and nothing that it sent waits before that. Takes nothing.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(stream) = self.ready() else { return Poll::Ready(()) };
        match stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
            // Who sends more while it waits is not looked at again.
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// Whether there are bytes to read just now. Takes one of them.
    pub(super) fn has_bytes(&self) -> bool {
        let now = self.socket().and_then(|socket| socket::read_now(&socket, &mut [0]));
        matches!(now, Ok(Some(1..)))
    }

    /// For calls that do not wait.
    pub(super) fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::Early(stream) => Ok(stream.as_fd()),
            Self::Ready(stream) => Ok(stream.as_fd()),
            Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes so that the peer sees a reset.
    pub(super) fn reset(self) {
        if let Ok(socket) = self.socket() {
            socket::reset(socket);
        }
    }

    /// Ends this side; the peer may still send.
    pub(super) fn end(&self) {
        if let Ok(socket) = self.socket() {
            socket::end(&socket);
        }
    }
}

impl Socket for Late {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, buffer)
    }

    fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.socket()
    }

    fn ready(&mut self) -> io::Result<&mut TcpStream> {
        Self::ready(self)
    }
}
