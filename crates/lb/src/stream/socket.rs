//! A socket's calls: those that wait for the event loop, and those that do not.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::libc::{MSG_DONTWAIT, MSG_PEEK};
use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// A socket that others put something around.
pub(super) trait Socket {
    /// Reads; 0: the peer has closed its side.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// For calls that do not wait.
    fn fd(&self) -> io::Result<BorrowedFd<'_>>;

    /// Registered with the event loop, for calls that wait.
    fn ready(&mut self) -> io::Result<&mut TcpStream>;
}

impl Socket for TcpStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read(self, cx, buffer)
    }

    fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.as_fd())
    }

    fn ready(&mut self) -> io::Result<&mut TcpStream> {
        Ok(self)
    }
}

/// Reads into `buffer`; 0: the peer has closed its side.
pub(super) fn poll_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Reads without having been told that there is something; `None`: nothing yet.
pub(super) fn read_now(stream: &impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match (&*SockRef::from(stream)).read(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks for a byte without taking it; `None`: nothing yet.
pub(super) fn peek_now(stream: &impl AsFd) -> io::Result<Option<usize>> {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    match SockRef::from(stream).recv_with_flags(&mut byte, MSG_PEEK | MSG_DONTWAIT) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes that were sent and that the peer has not acknowledged (tcp(7), `SIOCOUTQ`); `None`: the kernel does not say.
#[allow(unsafe_code, reason = "there is no other way to ask")]
pub(crate) fn queued(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut count = 0;
    // SAFETY: the descriptor is open, and the kernel writes one int.
    unsafe { ioctl::siocoutq(socket.as_raw_fd(), &raw mut count) }.ok()?;
    u32::try_from(count).ok()
}

#[allow(unsafe_code, reason = "the macro makes an unsafe function")]
mod ioctl {
    use nix::libc::{TIOCOUTQ, c_int};

    nix::ioctl_read_bad! {
        /// tcp(7): `SIOCOUTQ`, which has the same number.
        siocoutq, TIOCOUTQ, c_int
    }
}

/// Closes so that the peer sees a reset: what it got is not complete.
pub(super) fn reset(stream: impl AsFd) {
    // A socket that cannot be set so is closed plainly; the peer then sees an early end.
    let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
}

/// Ends this side; the peer may still send.
pub(super) fn end(stream: &impl AsFd) {
    // An error means that the peer is gone already.
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
}
