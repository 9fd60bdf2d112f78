//! Making a connection to a server.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::libc::MSG_NOSIGNAL;
use relevo_model::cluster::Mode;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::local::Presence;
use crate::proxied;
use crate::slot::Signal;
use crate::spent;
use crate::stream::{Late, ServerStream, Stream};
use crate::tls::{Offer, Origination};

/// What is known of the first bytes to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opening<'a> {
    /// The server may be the one that speaks first.
    Silent,
    /// Something follows at once.
    Follows,
    /// These. They are sent with the connection, and stay the caller's as long as there is none.
    Bytes(&'a [u8]),
}

/// Connects as the pool's connections are made, within its time. With a PROXY header, the connection begins with the
/// client's name and is used for this client's request alone. Where something is sent at once, the handshake's last packet
/// waits for it.
///
/// # Errors
/// What the kernel said, or TLS; `TimedOut`; `ConnectionAborted` when the server was stopped or went down meanwhile. The
/// server has had nothing of the opening then.
pub(crate) async fn connect(
    presence: &Presence,
    at: SocketAddr,
    backend: &Backend,
    opening: Opening<'_>,
) -> io::Result<ServerStream> {
    connect_offering(presence, at, backend, opening, Offer::All).await
}

/// The same; `offer`: what the server may choose from.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn connect_offering(
    presence: &Presence,
    at: SocketAddr,
    backend: &Backend,
    opening: Opening<'_>,
    offer: Offer,
) -> io::Result<ServerStream> {
    presence.set_deadline(backend.config.timeouts.connect);
    let version = backend.config.proxy_protocol;
    let traffic = backend.tls.traffic.as_ref();
    let is_first = version.is_none() && traffic.is_none();
    let (stream, sent) = reach(presence, at, if is_first { opening } else { Opening::Follows }).await?;
    if let Some(version) = version {
        // What follows of ours takes it along; a server of mode `tcp` may be waited for.
        let more = traffic.is_some()
            || presence.local.frontend.config.mode == Mode::Http
            || matches!(opening, Opening::Bytes(_));
        proxied::introduce(stream.socket()?, version, presence.ends(), more)?;
    }
    let mut stream = dress(stream, traffic, at, offer)?;
    if traffic.is_some() {
        let greeted = wait(presence, |cx| stream.poll_handshake(cx)).await;
        greeted.inspect_err(
            |error| tracing::debug!(pool = %backend.config.name, %at, %error, "no TLS with a server"),
        )?;
    }
    if version.is_some() {
        stream.set_of_one_client();
    }
    if let Opening::Bytes(bytes) = opening {
        match bytes.get(sent..).unwrap_or_default() {
            [] => {}
            // The server has a part of it: nobody else may get it now, whatever becomes of the rest.
            rest if sent > 0 => stream.keep(rest),
            rest => stream.send([rest, &[]], false)?,
        }
    }
    Ok(stream)
}

/// With TLS around it, if there is to be any. Apart from [`connect_offering`], since the values are large: what is alive while
/// it waits is a part of each connection's memory.
fn dress(
    socket: Late,
    traffic: Option<&Arc<Origination>>,
    at: SocketAddr,
    offer: Offer,
) -> io::Result<ServerStream> {
    match traffic.and_then(|tls| Some((tls, tls.connection(at, offer)?))) {
        None => Ok(ServerStream::plain(socket)),
        Some((origination, connection)) => ServerStream::tls(socket.into_ready()?, connection?, origination),
    }
}

/// Makes the TCP connection, and sends the first bytes with it as far as they are taken: how many were.
///
/// A server on this machine has accepted before connect(2) returns: what would be done after the event loop's word is tried
/// at once.
async fn reach(presence: &Presence, at: SocketAddr, opening: Opening<'_>) -> io::Result<(Late, usize)> {
    let used = presence.local.worker.spent.borrow_mut().take(at);
    let socket = match used {
        Some(socket) => socket,
        None => spent::socket(at)?,
    };
    if !matches!(opening, Opening::Silent) {
        // tcp(7): one packet less. Without it all is as right.
        let _ = SockRef::from(&socket).set_tcp_quickack(false);
    }
    let begun = rustix::net::connect(&socket, &at);
    match begun {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(sent) = try_open(&socket, at, opening)? {
        let mut stream = Late::Early(socket);
        stream.watch()?;
        return Ok((stream, sent));
    }
    let stream = TcpStream::from_std(socket)?;
    loop {
        wait(presence, |cx| stream.poll_write_ready(cx)).await?;
        if let Some(sent) = try_open(&stream, at, opening)? {
            return Ok((Late::Ready(stream), sent));
        }
        let none = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
        let _ = stream.try_io(Interest::WRITABLE, none);
    }
}

/// Sends the first bytes, or asks whether the connection is there; `None`: it is not yet.
fn try_open(socket: &impl AsFd, at: SocketAddr, opening: Opening<'_>) -> io::Result<Option<usize>> {
    let done = match opening {
        Opening::Bytes(bytes) => SockRef::from(socket).send_with_flags(bytes, MSG_NOSIGNAL),
        // connect(2): how a connection that was begun has gone.
        Opening::Silent | Opening::Follows => {
            rustix::net::connect(socket, &at).map(|()| 0).map_err(io::Error::from)
        }
    };
    match done {
        Ok(sent) => Ok(Some(sent)),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EISCONN) => Ok(Some(0)),
            Some(Errno::EINPROGRESS | Errno::EALREADY | Errno::EAGAIN | Errno::EINTR) => Ok(None),
            _ => Err(error),
        },
    }
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
