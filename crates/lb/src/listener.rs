//! Listening sockets: one for each worker and address, so that the kernel spreads connections.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

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
pub(crate) fn ensure_free(at: SocketAddrV4, udp: bool) -> io::Result<()> {
    if udp {
        return udp::socket::ensure_free(at);
    }
    let socket = socket()?;
    socket.bind(&SocketAddr::V4(at).into())
}

/// Listens, on an address that may not be on this machine yet. `udp`: for datagrams.
pub(crate) fn listen(at: SocketAddrV4, udp: bool) -> io::Result<Socket> {
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

fn listen_tcp(at: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = socket()?;
    socket.set_reuse_port(true)?;
    // Inherited by accepted connections: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::V4(at).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket() -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a former process may still be in TIME-WAIT.
    socket.set_reuse_address(true)?;
    socket.set_freebind_v4(true)?;
    Ok(socket)
}
