//! A connection that is registered with the event loop when it must be waited for, not before; and for writing only when it
//! does not take what it is given.
//!
//! ```text
//! Early ──wait for bytes──► Reading ──it does not take all, or bytes go past this process──► Ready
//! ```
//! Most connections never wait to write. Registered for that as well, each would make one turn of the event loop
//! more: the word that it can be written to, which everybody knows.

use std::io;
use std::net::TcpStream as StdStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, Waker};

use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

use super::socket::{self, Socket};

/// A connection.
#[derive(Debug)]
pub(crate) enum Late {
    /// Not registered.
    Early(StdStream),
    /// Registered for reading.
    Reading(Reading),
    /// Registered for all.
    Ready(TcpStream),
    /// Registering failed, and took the connection along.
    Lost,
}

/// A connection that is registered for reading.
#[derive(Debug)]
pub(crate) struct Reading {
    fd: AsyncFd<StdStream>,
    /// Who waits. It must look again when the registration becomes another one.
    waiting: Option<Waker>,
}

impl Late {
    /// The connection, registered for all.
    pub(super) fn ready(&mut self) -> io::Result<&mut TcpStream> {
        if matches!(self, Self::Early(_) | Self::Reading(_)) {
            match std::mem::replace(self, Self::Lost) {
                Self::Early(stream) => *self = Self::Ready(TcpStream::from_std(stream)?),
                Self::Reading(reading) => {
                    *self = Self::Ready(TcpStream::from_std(reading.fd.into_inner())?);
                    if let Some(waiting) = reading.waiting {
                        waiting.wake();
                    }
                }
                before @ (Self::Ready(_) | Self::Lost) => *self = before,
            }
        }
        match self {
            Self::Ready(stream) => Ok(stream),
            Self::Early(_) | Self::Reading(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The same, alone.
    pub(crate) fn into_ready(mut self) -> io::Result<TcpStream> {
        self.ready()?;
        match self {
            Self::Ready(stream) => Ok(stream),
            Self::Early(_) | Self::Reading(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Registers it for reading, if it is not registered.
    pub(crate) fn watch(&mut self) -> io::Result<()> {
        if matches!(self, Self::Early(_))
            && let Self::Early(stream) = std::mem::replace(self, Self::Lost)
        {
            *self = Self::Reading(Reading::new(stream)?);
        }
        Ok(())
    }

    /// Reads; 0: the peer has closed its side.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Self::Early(stream) = self {
            if let Some(count) = socket::read_now(stream, buffer)? {
                // Who has much to say must not keep the worker from the others: the event loop counts turns.
                if count == buffer.len() {
                    self.watch()?;
                }
                return Poll::Ready(Ok(count));
            }
            self.watch()?;
        }
        match self {
            Self::Reading(reading) => {
                let most = buffer.len();
                reading.poll(cx, |stream| socket::read_now(stream, buffer), most)
            }
            Self::Ready(stream) => socket::poll_read(stream, cx, buffer),
            Self::Early(_) | Self::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Reads as far as the event loop has seen that there is something; `None`: it has not.
    pub(super) fn read_seen(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Reading(_) => match self.poll_read(&mut Context::from_waker(Waker::noop()), buffer) {
                Poll::Ready(read) => read.map(Some),
                Poll::Pending => Ok(None),
            },
            Self::Ready(stream) => match stream.try_read(buffer) {
                Ok(count) => Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            },
            Self::Early(stream) => socket::read_now(stream, buffer),
            Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads once, and registers. 0: nothing was there, or the end, which will be read again.
    pub(super) fn read_early(&mut self, buffer: &mut [u8]) -> usize {
        let Self::Early(stream) = self else { return 0 };
        let count = socket::read_now(stream, buffer).ok().flatten().unwrap_or(0);
        // Where it fails, the next read says so.
        let _ = self.watch();
        count
    }

    /// The connection, not registered any more.
    pub(super) fn into_std(self) -> Option<StdStream> {
        match self {
            Self::Early(stream) => Some(stream),
            Self::Reading(reading) => Some(reading.fd.into_inner()),
            Self::Ready(stream) => stream.into_std().ok(),
            Self::Lost => None,
        }
    }

    /// Ready when the peer has closed its side, and nothing that it sent waits before that. Takes nothing.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let peeked = match self.watch() {
            Err(error) => Poll::Ready(Err(error)),
            Ok(()) => match self {
                // What is only looked at stays: it must be seen again by who reads it.
                Self::Reading(reading) => reading.poll(cx, socket::peek_now, 1),
                Self::Ready(stream) => stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])),
                Self::Early(_) | Self::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            },
        };
        match peeked {
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

    /// The same; takes nothing.
    pub(super) fn has_unread(&self) -> bool {
        matches!(self.socket().and_then(|socket| socket::peek_now(&socket)), Ok(Some(1..)))
    }

    /// For calls that do not wait.
    pub(crate) fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::Early(stream) => Ok(stream.as_fd()),
            Self::Reading(reading) => Ok(reading.fd.get_ref().as_fd()),
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

impl Reading {
    #[allow(unsafe_code, reason = "tokio offers the registration of a descriptor only so")]
    fn new(stream: StdStream) -> io::Result<Self> {
        // SAFETY: a `TcpStream` owns its descriptor, always gives the same one, and closes it only when it is dropped.
        let fd = unsafe { AsyncFd::register_with_interest(stream, Interest::READABLE) }?;
        Ok(Self { fd, waiting: None })
    }

    /// Tries when the event loop has seen something; `None` of `read`: there is nothing after all. Fewer bytes than `wanted`:
    /// there are no more now.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&StdStream) -> io::Result<Option<usize>>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(seen) = self.fd.poll_read_ready(cx) else {
                if !self.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker())) {
                    self.waiting = Some(cx.waker().clone());
                }
                return Poll::Pending;
            };
            let mut seen = seen?;
            match read(self.fd.get_ref())? {
                None => seen.clear_ready(),
                Some(count) => {
                    // That the peer has ended stays known, and the next look finds it.
                    if count > 0 && count < wanted {
                        seen.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
            }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use super::*;

    /// Bytes that come while it is only asked whether the peer has left are read afterwards: the event loop tells them once.
    #[test]
    fn what_was_only_looked_at_is_read_later() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut peer = StdStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut late = Late::Early(stream);
            let mut looks = 0;
            poll_fn(|cx| {
                assert!(late.poll_left(cx).is_pending());
                looks += 1;
                if looks == 1 {
                    peer.write_all(b"said").unwrap();
                }
                if looks == 2 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            let mut buffer = [0; 16];
            let read = poll_fn(|cx| late.poll_read(cx, &mut buffer));
            let deadline = std::time::Duration::from_secs(20);
            assert!(matches!(tokio::time::timeout(deadline, read).await, Ok(Ok(4))), "they are lost");
            drop(peer);
            poll_fn(|cx| late.poll_left(cx)).await;
        });
    }
}
