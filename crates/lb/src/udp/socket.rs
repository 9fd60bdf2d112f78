//! Sockets for datagrams.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// Room for datagrams that have not been read yet, bytes; cut to `net.core.rmem_max`.
const ROOM: usize = 4 * 1024 * 1024;

/// Fails with `AddrInUse` if another program, or another service, receives there.
pub(crate) fn ensure_free(at: SocketAddrV4) -> io::Result<()> {
    let socket = socket()?;
    socket.set_freebind_v4(true)?;
    socket.bind(&SocketAddr::V4(at).into())
}

/// Receives on an address that may not be on this machine yet. The kernel gives a client's datagrams always to the same
/// one of the sockets that share it.
pub(crate) fn listen(at: SocketAddrV4) -> io::Result<std::net::UdpSocket> {
    let socket = socket()?;
    socket.set_freebind_v4(true)?;
    socket.set_reuse_port(true)?;
    // What is there without it is enough to work.
    let _ = socket.set_recv_buffer_size(ROOM);
    socket.bind(&SocketAddr::V4(at).into())?;
    Ok(socket.into())
}

/// Towards one server, and from it alone. Inside an event loop.
pub(super) fn connect(at: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = socket()?;
    socket.connect(&SocketAddr::V4(at).into())?;
    UdpSocket::from_std(socket.into())
}

fn socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
