//! Making a connection to a server.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};

use relevo_model::cluster::Mode;
use socket2::SockRef;
use tokio::net::TcpSocket;

use crate::backend::Backend;
use crate::local::Presence;
use crate::proxied;
use crate::slot::Signal;
use crate::stream::ServerStream;
use crate::tls::Offer;

/// Connects as the pool's connections are made, within its time. With `send_proxy`, the connection begins with the
/// client's name and is used for this client's request alone. `speaks`: there is something to send at once, and the
/// handshake's last packet waits for it.
///
/// # Errors
/// What the kernel said, or TLS; `TimedOut`; `ConnectionAborted` when the server was stopped or went down meanwhile.
pub(crate) async fn connect(
    presence: &Presence,
    at: SocketAddr,
    backend: &Backend,
    speaks: bool,
) -> io::Result<ServerStream> {
    connect_offering(presence, at, backend, speaks, Offer::All).await
}

/// The same; `offer`: what the server may choose from.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn connect_offering(
    presence: &Presence,
    at: SocketAddr,
    backend: &Backend,
    speaks: bool,
    offer: Offer,
) -> io::Result<ServerStream> {
    presence.set_deadline(backend.config.timeouts.connect);
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_nodelay(true)?;
    if speaks || backend.config.proxy_protocol.is_some() || backend.tls.traffic.is_some() {
        // tcp(7): one packet less. Without it all is as right.
        let _ = SockRef::from(&socket).set_tcp_quickack(false);
    }
    let mut connecting = pin!(socket.connect(at));
    let stream = wait(presence, |cx| connecting.as_mut().poll(cx)).await?;
    let version = backend.config.proxy_protocol;
    if let Some(version) = version {
        // What follows of ours takes it along; a server of mode `tcp` may be waited for.
        let more = backend.tls.traffic.is_some() || presence.local.frontend.config.mode == Mode::Http;
        proxied::introduce(&stream, version, presence.ends(), more)?;
    }
    let traffic = backend.tls.traffic.as_ref();
    let Some((origination, connection)) = traffic.and_then(|tls| Some((tls, tls.connection(at, offer)?)))
    else {
        let mut stream = ServerStream::plain(stream);
        if version.is_some() {
            stream.set_of_one_client();
        }
        return Ok(stream);
    };
    let mut stream = ServerStream::tls(stream, connection?, origination)?;
    if version.is_some() {
        stream.set_of_one_client();
    }
    let greeted = wait(presence, |cx| stream.poll_handshake(cx)).await;
    greeted.inspect_err(
        |error| tracing::debug!(pool = %backend.config.name, %at, %error, "no TLS with a server"),
    )?;
    Ok(stream)
}

/// Waits for something, as long as the deadline and the server let it.
///
/// # Errors
/// `TimedOut`; `ConnectionAborted` when the server was stopped or went down meanwhile.
pub(crate) async fn wait<T>(
    presence: &Presence,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> io::Result<T> {
    poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        match presence.slot.take_signal() {
            Signal::Timeout => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Signal::Cut | Signal::ServerDown => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Signal::None | Signal::Closing => poll(cx),
        }
    })
    .await
}
