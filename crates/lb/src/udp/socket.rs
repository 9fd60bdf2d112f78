//! Sockets for datagrams.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::listener::free_bind;

/// Room for datagrams that have not been read yet, bytes; cut to `net.core.rmem_max`.
const ROOM: usize = 4 * 1024 * 1024;

/// Fails with `AddrInUse` if another program, or another service, receives there.
pub(crate) fn ensure_free(at: SocketAddr) -> io::Result<()> {
    let socket = socket(Domain::for_address(at))?;
    free_bind(&socket, at)?;
    socket.bind(&at.into())
}

/// Receives on an address that may not be on this machine yet. The kernel gives a client's datagrams always to the same
/// one of the sockets that share it.
pub(crate) fn listen(at: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = socket(Domain::for_address(at))?;
    free_bind(&socket, at)?;
    socket.set_reuse_port(true)?;
    // What is there without it is enough to work.
    let _ = socket.set_recv_buffer_size(ROOM);
    socket.bind(&at.into())?;
    Ok(socket.into())
}

/// Towards one server, and from it alone. Inside an event loop.
pub(super) fn connect(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(Domain::for_address(at))?;
    socket.connect(&at.into())?;
    UdpSocket::from_std(socket.into())
}

fn socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
