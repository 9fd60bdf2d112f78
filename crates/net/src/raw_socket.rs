//! A raw socket that sends whole IP packets, written by somebody else, and receives nothing.

use std::net::SocketAddr;

use nix::libc;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::Error;

/// One for each family.
#[derive(Debug)]
pub struct RawSocket {
    v4: Socket,
    v6: Option<Socket>,
}

impl RawSocket {
    /// Opens it. Without IPv6 on this machine it sends no IPv6.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_RAW`.
    pub fn open() -> Result<Self, Error> {
        let open = |domain| {
            Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(libc::IPPROTO_RAW)))
        };
        let v4 = open(Domain::IPV4).map_err(|source| Error::kernel("open a raw socket", source))?;
        Ok(Self { v4, v6: open(Domain::IPV6).ok() })
    }

    /// Sends a packet with its IP header to where that says.
    ///
    /// # Errors
    /// [`Error::Kernel`] when there is no way there.
    pub fn send(&self, packet: &[u8], to: SocketAddr) -> Result<(), Error> {
        // A raw IPv6 socket takes no port that is not its protocol.
        let place = SockAddr::from(SocketAddr::new(to.ip(), 0));
        let socket = match to {
            SocketAddr::V4(_) => &self.v4,
            SocketAddr::V6(_) => match &self.v6 {
                Some(socket) => socket,
                None => return Ok(()),
            },
        };
        let sent = socket.send_to(packet, &place);
        sent.map(drop).map_err(|source| Error::kernel(format!("send a packet to {}", to.ip()), source))
    }
}
