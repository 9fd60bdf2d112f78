//! A socket's calls: those that wait for the event loop, and those that do not.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

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
