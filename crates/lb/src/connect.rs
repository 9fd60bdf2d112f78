//! Making a connection to a server.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpSocket;

use crate::local::Presence;
use crate::slot::Signal;
use crate::stream::ServerStream;

/// Connects within this time.
///
/// # Errors
/// What the kernel said; `TimedOut`; `ConnectionAborted` when the server was stopped or went down meanwhile.
pub(crate) async fn connect(
    presence: &Presence,
    at: SocketAddrV4,
    within: Duration,
) -> io::Result<ServerStream> {
    presence.set_deadline(within);
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    let mut connecting = pin!(socket.connect(SocketAddr::V4(at)));
    let stream = poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        match presence.slot.take_signal() {
            Signal::Timeout => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Signal::Cut | Signal::ServerDown => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Signal::None | Signal::Closing => connecting.as_mut().poll(cx),
        }
    })
    .await?;
    Ok(ServerStream::plain(stream))
}
