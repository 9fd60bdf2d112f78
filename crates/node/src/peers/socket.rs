//! One network's socket, which comes and goes with the node's own address there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::num::NonZeroU32;
use std::time::Duration;

use relevo_model::{NetworkName, NodeName, Time};
use relevo_net::route::Route;
use socket2::{Domain, Socket, Type};

/// A network with other directors on it.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) network: NetworkName,
    own: Ipv4Addr,
    interface: Option<String>,
    peers: Vec<(NodeName, Ipv4Addr)>,
    socket: Option<UdpSocket>,
    retry: Time,
    /// Whether it was told that there is no socket.
    told: bool,
}

impl Way {
    pub(super) fn new(
        network: NetworkName,
        own: Ipv4Addr,
        interface: Option<String>,
        peers: Vec<(NodeName, Ipv4Addr)>,
    ) -> Self {
        Self { network, own, interface, peers, socket: None, retry: Time::ZERO, told: false }
    }

    pub(super) fn address_of(&self, node: &NodeName) -> Option<Ipv4Addr> {
        self.peers.iter().find(|(name, _)| name == node).map(|(_, at)| *at)
    }

    pub(super) fn others(&self) -> impl Iterator<Item = &NodeName> {
        self.peers.iter().map(|(name, _)| name)
    }

    pub(super) fn open_if_due(&mut self, now: Time, port: u16) {
        if self.socket.is_some() || now < self.retry {
            return;
        }
        self.retry = now + RETRY;
        match open(self.own, self.interface.as_deref(), port) {
            Ok(socket) => {
                tracing::debug!(network = %self.network, at = %self.own, port, "the channel between directors is open");
                (self.socket, self.told) = (Some(socket), false);
            }
            Err(error) if !self.told => {
                self.told = true;
                tracing::warn!(
                    network = %self.network,
                    "the channel between directors has no socket at {}:{port}: {}; trying again",
                    self.own, crate::in_full(&*error)
                );
            }
            Err(_) => {}
        }
    }

    pub(super) fn close(&mut self) {
        self.socket = None;
        self.retry = Time::ZERO;
    }

    /// A second descriptor, to wait with.
    pub(super) fn copy(&self) -> Option<UdpSocket> {
        self.socket.as_ref()?.try_clone().ok()
    }

    /// What cannot be sent is lost: the network is down, or its buffer full.
    pub(super) fn send(&self, to: Ipv4Addr, port: u16, datagram: &[u8]) {
        let Some(socket) = self.socket.as_ref().filter(|_| !datagram.is_empty()) else { return };
        if let Err(error) = socket.send_to(datagram, SocketAddrV4::new(to, port)) {
            tracing::trace!(network = %self.network, %error, "a datagram was not sent");
        }
    }

    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<(Ipv4Addr, usize)> {
        loop {
            match self.socket.as_ref()?.recv_from(buffer) {
                Ok((length, SocketAddr::V4(from))) => return Some((*from.ip(), length)),
                Ok((_, SocketAddr::V6(_))) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // An ICMP answer to something sent.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted
                    ) => {}
                // The interface is gone: look for it again.
                Err(_) => {
                    self.socket = None;
                    return None;
                }
            }
        }
    }
}

/// A socket of this address that sends and hears on its interface alone: a way must not be a detour.
fn open(own: Ipv4Addr, interface: Option<&str>, port: u16) -> Result<UdpSocket, Box<dyn std::error::Error>> {
    let index = Route::open()?.interface(own, interface)?.link.index;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), None)?;
    socket.bind_device_by_index_v4(NonZeroU32::new(index))?;
    socket.set_ttl_v4(1)?;
    socket.set_tos_v4(INTERNETWORK_CONTROL)?;
    socket.bind(&SocketAddrV4::new(own, port).into())?;
    Ok(socket.into())
}

/// Time between two tries to open a socket.
pub(super) const RETRY: Duration = Duration::from_millis(200);
/// Longer datagrams are cut, and then wrong.
pub(super) const DATAGRAM_BYTES: usize = 2048;
/// Precedence 6 (RFC 791), as VRRP.
const INTERNETWORK_CONTROL: u32 = 0xc0;
