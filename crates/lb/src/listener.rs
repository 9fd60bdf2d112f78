//! Listening sockets: one for each worker and address, so that the kernel spreads connections.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel holds until a worker accepts them; cut to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Fails with `AddrInUse` if another program, or another service, listens there. Sockets that share a port by
/// `SO_REUSEPORT` would otherwise take half of each other's connections without a word.
pub(crate) fn ensure_free(at: SocketAddrV4) -> io::Result<()> {
    let socket = socket()?;
    socket.bind(&SocketAddr::V4(at).into())
}

/// Listens, on an address that may not be on this machine yet.
pub(crate) fn listen(at: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = socket()?;
    socket.set_reuse_port(true)?;
    // Inherited by accepted connections: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::V4(at).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a former process may still be in TIME-WAIT.
    socket.set_reuse_address(true)?;
    socket.set_freebind_v4(true)?;
    Ok(socket)
}
