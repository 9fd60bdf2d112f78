//! What the kernel has not taken yet.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::libc::{MSG_MORE, MSG_NOSIGNAL};
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Bytes that wait. Empty, and without memory, most of the time.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sends the parts now as far as the kernel takes them, and keeps the rest. `more`: the end of the connection
    /// follows at once, and travels with the bytes.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, parts: [&[u8]; 2], more: bool) -> io::Result<()> {
        let flags = if more { MSG_NOSIGNAL | MSG_MORE } else { MSG_NOSIGNAL };
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

    /// Keeps what the kernel has not taken.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Goes on sending; ready when all is sent.
    pub(super) fn poll_flush(
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
