//! Reading and writing with as few system calls as possible.
//!
//! Data is tried first and waited for second: right after `accept` and `connect` the kernel is asked directly,
//! before the event loop has said anything. Writes go straight to the kernel; only what it does not take waits.
//! A client that asks once, at once, and is answered at once never meets the event loop at all: [`Late`].

use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, TcpStream as StdStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::libc::{MSG_MORE, MSG_NOSIGNAL, c_int};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Reads into `buffer`; 0: the peer has closed its side.
pub(crate) fn poll_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Reads without having been told that there is something; `None`: nothing yet.
pub(crate) fn read_now(stream: &impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match (&*SockRef::from(stream)).read(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the peer has closed an idle connection, or sent what nobody asked for. Costs no system call while
/// the event loop has seen nothing.
pub(crate) fn is_stale(stream: &TcpStream) -> bool {
    let mut byte = [0];
    !matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Closes so that the peer sees a reset: what it got is not complete.
pub(crate) fn reset(stream: impl AsFd) {
    // A socket that cannot be set so is closed plainly; the peer then sees an early end.
    let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
}

/// Ends this side; the peer may still send.
pub(crate) fn end(stream: &impl AsFd) {
    // An error means that the peer is gone already.
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
}

/// An accepted connection that is registered with the event loop when it must be waited for, not before.
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
    pub(crate) fn ready(&mut self) -> io::Result<&mut TcpStream> {
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

    /// Reads as [`poll_read`] does.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Self::Early(stream) = self
            && let Some(count) = read_now(stream, buffer)?
        {
            // Who has much to say must not keep the worker from the others: the event loop counts turns.
            if count == buffer.len() {
                self.ready()?;
            }
            return Poll::Ready(Ok(count));
        }
        poll_read(self.ready()?, cx, buffer)
    }

    /// Whether there are bytes to read just now. Takes one of them.
    pub(crate) fn has_bytes(&self) -> bool {
        let now = self.socket().and_then(|socket| read_now(&socket, &mut [0]));
        matches!(now, Ok(Some(1..)))
    }

    /// For calls that do not wait.
    fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::Early(stream) => Ok(stream.as_fd()),
            Self::Ready(stream) => Ok(stream.as_fd()),
            Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes so that the peer sees a reset.
    pub(crate) fn reset(self) {
        if let Ok(socket) = self.socket() {
            reset(socket);
        }
    }

    /// Ends this side; the peer may still send.
    pub(crate) fn end(&self) {
        if let Ok(socket) = self.socket() {
            end(&socket);
        }
    }
}

/// What the kernel has not taken yet. Empty, and without memory, most of the time.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Sends the parts now as far as the kernel takes them, and keeps the rest.
    pub(crate) fn send(&mut self, stream: &TcpStream, parts: [&[u8]; 2]) -> io::Result<()> {
        self.send_with(stream.as_fd(), parts, MSG_NOSIGNAL)
    }

    /// The same to a client. `last`: its connection will be closed at once, and the end travels with the bytes.
    pub(crate) fn send_late(&mut self, stream: &Late, parts: [&[u8]; 2], last: bool) -> io::Result<()> {
        self.send_with(stream.socket()?, parts, if last { MSG_NOSIGNAL | MSG_MORE } else { MSG_NOSIGNAL })
    }

    fn send_with(&mut self, socket: BorrowedFd<'_>, parts: [&[u8]; 2], flags: c_int) -> io::Result<()> {
        let mut taken = 0;
        if self.is_empty() {
            let socket = SockRef::from(&socket);
            let result = if parts[1].is_empty() {
                socket.send_with_flags(parts[0], flags)
            } else if parts[0].is_empty() {
                socket.send_with_flags(parts[1], flags)
            } else {
                socket.send_vectored_with_flags(&parts.map(IoSlice::new), flags)
            };
            taken = match result {
                Ok(taken) => taken,
                Err(error) if is_later(&error) => 0,
                Err(error) => return Err(error),
            };
        }
        for part in parts {
            let skip = taken.min(part.len());
            taken -= skip;
            self.bytes.extend_from_slice(part.get(skip..).unwrap_or_default());
        }
        Ok(())
    }

    /// Goes on sending to a client; ready when all is sent.
    pub(crate) fn poll_flush_late(
        &mut self,
        stream: &mut Late,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(stream.ready()?, cx)
    }

    /// Goes on sending; ready when all is sent.
    pub(crate) fn poll_flush(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.sent..) {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        if !self.bytes.is_empty() {
            // A slow reader's memory is given back as soon as it has caught up.
            *self = Self::default();
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether the kernel will take it later.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
