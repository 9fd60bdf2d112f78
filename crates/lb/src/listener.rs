//! Listening sockets: one for each worker and address, so that the kernel spreads connections.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc;
use socket2::{Domain, Protocol, Type};

use crate::udp;

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// For connections.
    Tcp(TcpListener),
    /// For datagrams.
    Udp(UdpSocket),
}

/// Connections that the kernel holds until a worker accepts them; cut to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Fails with `AddrInUse` if another program, or another service, listens there. Sockets that share a port by
/// `SO_REUSEPORT` would otherwise take half of each other's connections without a word.
pub(crate) fn ensure_free(at: SocketAddr, udp: bool) -> io::Result<()> {
    if udp {
        return udp::socket::ensure_free(at);
    }
    let socket = socket(at)?;
    socket.bind(&at.into())
}

/// Listens, on an address that may not be on this machine yet. `udp`: for datagrams.
pub(crate) fn listen(at: SocketAddr, udp: bool) -> io::Result<Socket> {
    Ok(if udp { Socket::Udp(udp::socket::listen(at)?) } else { Socket::Tcp(listen_tcp(at)?) })
}

impl Socket {
    /// One that a former process listened on. What waits in it is served here.
    pub(crate) fn inherit(socket: OwnedFd, udp: bool) -> Self {
        if udp { Self::Udp(socket.into()) } else { Self::Tcp(socket.into()) }
    }

    /// A second descriptor of the same socket.
    pub(crate) fn copy(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(socket) => socket.as_fd().try_clone_to_owned(),
            Self::Udp(socket) => socket.as_fd().try_clone_to_owned(),
        }
    }

    /// Where it really is.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }
}

fn listen_tcp(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(at)?;
    socket.set_reuse_port(true)?;
    // Inherited by accepted connections: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// How long the kernel waits for a client's first bytes before it gives a connection up to be accepted without, seconds.
const PATIENCE: libc::c_int = 1;

/// From now on connections are accepted when their clients have sent something, or as soon as they are there (tcp(7),
/// `TCP_DEFER_ACCEPT`). May be said at any time; a second descriptor of the same socket does.
///
/// # Errors
/// What the kernel says. All goes on as before then, which is as right.
#[allow(unsafe_code, reason = "neither std nor socket2, nix or rustix can set TCP_DEFER_ACCEPT")]
pub(crate) fn defer_accept(socket: &impl AsFd, defers: bool) -> io::Result<()> {
    let wait = if defers { PATIENCE } else { 0 };
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the pointer is to a live c_int of the length given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const wait).cast::<libc::c_void>(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn socket(at: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a former process may still be in TIME-WAIT.
    socket.set_reuse_address(true)?;
    free_bind(&socket, at)?;
    Ok(socket)
}

/// Lets a socket be on an address that this machine does not have yet. An IPv6 socket stays off IPv4: that is listened
/// on where it is written.
pub(crate) fn free_bind(socket: &socket2::Socket, at: SocketAddr) -> io::Result<()> {
    match at {
        SocketAddr::V4(_) => socket.set_freebind_v4(true),
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)
        }
    }
}
