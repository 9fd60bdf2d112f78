//! Reading and writing with as few system calls as possible.
//!
//! Data is tried first and waited for second: right after `accept` and `connect` the kernel is asked directly,
//! before the event loop has said anything. Writes go straight to the kernel; only what it does not take waits.

use std::io::{self, IoSlice, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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
pub(crate) fn read_now(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
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
pub(crate) fn reset(stream: TcpStream) {
    // A socket that cannot be set so is closed plainly; the peer then sees an early end.
    let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
}

/// Ends this side; the peer may still send.
pub(crate) fn end(stream: &TcpStream) {
    // An error means that the peer is gone already.
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
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
        let mut taken = 0;
        if self.is_empty() {
            let socket = SockRef::from(stream);
            let result = if parts[1].is_empty() {
                socket.send(parts[0])
            } else if parts[0].is_empty() {
                socket.send(parts[1])
            } else {
                socket.send_vectored(&parts.map(IoSlice::new))
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

/// Whether the kernel will take it later; a connection that is still being made says `NotConnected`.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
