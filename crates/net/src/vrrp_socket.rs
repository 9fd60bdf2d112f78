//! Raw sockets of protocol 112 on one interface: VRRP adverts out and in, IPv4 and IPv6.
//!
//! Knows the IP header (RFC 9568 sections 5.1.1 and 5.1.2), not what is behind it.

use std::io::{self, IoSliceMut, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};

use crate::Error;
use crate::link::Link;

/// Whom a socket speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All routers of the network, by this multicast group.
    Group(IpAddr),
    /// Single peers.
    Peers {
        /// TTL, IPv6: hop limit, of what is sent.
        ttl: u8,
    },
}

/// A VRRP socket, bound to one interface. It sends from the node's own address there and hears only what came in there.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    index: u32,
    /// What is not sent there is not for us.
    destination: IpAddr,
    buffer: Vec<u8>,
}

/// A datagram with the parts of its IP header that VRRP looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender.
    pub source: IpAddr,
    /// Where it was sent to.
    pub destination: IpAddr,
    /// The time to live, IPv6: the hop limit; 255 unless a router was passed.
    pub ttl: u8,
    /// What is behind the IP header.
    pub payload: &'a [u8],
}

impl VrrpSocket {
    /// Opens a socket on an interface that has the node's own address `source`. It joins the multicast group that it
    /// speaks to; with single peers it hears what is sent to `source`.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_RAW`; [`Error::Kernel`] when the interface went away meanwhile.
    pub fn open(link: &Link, source: IpAddr, audience: Audience) -> Result<Self, Error> {
        let socket = match source {
            IpAddr::V4(source) => open4(link.index, source, audience),
            IpAddr::V6(source) => open6(link.index, source, audience),
        };
        let socket = socket.map_err(|error| {
            Error::kernel(format!("open a raw VRRP socket on {} ({source})", link.name), error)
        })?;
        let destination = match audience {
            Audience::Peers { .. } => source,
            Audience::Group(group) => group,
        };
        Ok(Self { socket, index: link.index, destination, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// Sends a VRRP packet to the group or a peer.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `ENETDOWN`, `ENODEV` or `ENETUNREACH` when the interface cannot send.
    pub fn send(&self, to: IpAddr, payload: &[u8]) -> Result<(), Error> {
        let to = match to {
            IpAddr::V4(ip) => SocketAddr::from((ip, 0)),
            IpAddr::V6(ip) => {
                let is_local = ip.is_multicast() || ip.is_unicast_link_local();
                SocketAddrV6::new(ip, 0, 0, if is_local { self.index } else { 0 }).into()
            }
        };
        match self.socket.send_to(payload, &SockAddr::from(to)) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::kernel("send a VRRP advert", source)),
        }
    }

    /// The next datagram that waits; see [`Hear::receive`].
    ///
    /// # Errors
    /// As there.
    pub fn receive(&mut self) -> Result<Option<Datagram<'_>>, Error> {
        let error = |error| Error::kernel("receive VRRP adverts", error);
        if self.destination.is_ipv6() {
            return self.receive6().map_err(error);
        }
        // Written with lengths first: the borrow of the buffer may leave only through the one return at the end.
        let length = loop {
            match (&self.socket).read(&mut self.buffer) {
                Ok(length)
                    if Datagram::parse(&self.buffer[..length])
                        .is_some_and(|it| it.destination == self.destination) =>
                {
                    break length;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(source) => return Err(error(source)),
            }
        };
        Ok(Datagram::parse(&self.buffer[..length]))
    }

    /// The kernel gives no IPv6 header: what it says comes beside the payload.
    fn receive6(&mut self) -> io::Result<Option<Datagram<'_>>> {
        let (length, source, ttl) = loop {
            let mut room = cmsg_space!(nix::libc::in6_pktinfo, nix::libc::c_int);
            let mut parts = [IoSliceMut::new(&mut self.buffer)];
            let fd = self.socket.as_raw_fd();
            let received = recvmsg::<SockaddrIn6>(fd, &mut parts, Some(&mut room), MsgFlags::MSG_DONTWAIT);
            let message = match received {
                Ok(message) => message,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(nix::errno::Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let (mut destination, mut hops) = (None, None);
            for control in message.cmsgs()? {
                if let ControlMessageOwned::Ipv6PacketInfo(info) = control {
                    destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                } else if let ControlMessageOwned::Ipv6HopLimit(limit) = control {
                    hops = u8::try_from(limit).ok();
                }
            }
            let source = message.address.map(|address| address.ip());
            if let (Some(source), Some(destination), Some(hops)) = (source, destination, hops)
                && IpAddr::V6(destination) == self.destination
            {
                break (message.bytes, source, hops);
            }
        };
        let payload = self.buffer.get(..length).unwrap_or_default();
        Ok(Some(Datagram { source: source.into(), destination: self.destination, ttl, payload }))
    }
}

/// A socket that adverts come from.
pub trait Hear {
    /// The next datagram that waits, without waiting for one. Those that are not for us or whose IP header is wrong
    /// are passed over.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `ENETDOWN` once when the interface went down; the socket stays usable.
    fn receive(&mut self) -> Result<Option<Datagram<'_>>, Error>;
}

impl Hear for VrrpSocket {
    fn receive(&mut self) -> Result<Option<Datagram<'_>>, Error> {
        Self::receive(self)
    }
}

fn raw(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(PROTOCOL)))
}

fn other_family() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the multicast group is of the other family")
}

fn open4(index: u32, source: Ipv4Addr, audience: Audience) -> io::Result<Socket> {
    let socket = raw(Domain::IPV4)?;
    socket.bind_device_by_index_v4(NonZeroU32::new(index))?;
    socket.set_tos_v4(INTERNETWORK_CONTROL)?;
    match audience {
        Audience::Peers { ttl } => {
            socket.set_ttl_v4(u32::from(ttl))?;
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        Audience::Group(IpAddr::V6(_)) => return Err(other_family()),
        Audience::Group(IpAddr::V4(group)) => {
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
            // The address given here is the source of what is sent to a multicast group (ip(7), IP_MULTICAST_IF).
            socket.set_multicast_if_v4(&source)?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_multicast_ttl_v4(TTL)?;
        }
    }
    Ok(socket)
}

fn open6(index: u32, source: Ipv6Addr, audience: Audience) -> io::Result<Socket> {
    let socket = raw(Domain::IPV6)?;
    socket.bind_device_by_index_v6(NonZeroU32::new(index))?;
    socket.set_tclass_v6(INTERNETWORK_CONTROL)?;
    socket.set_recv_hoplimit_v6(true)?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    match audience {
        Audience::Peers { ttl } => socket.set_unicast_hops_v6(u32::from(ttl))?,
        Audience::Group(IpAddr::V4(_)) => return Err(other_family()),
        Audience::Group(IpAddr::V6(group)) => {
            socket.set_multicast_all_v6(false)?;
            socket.join_multicast_v6(&group, index)?;
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_hops_v6(TTL)?;
        }
    }
    // It sends from there, and hears what goes there or to a group that it has joined.
    let scope = if source.is_unicast_link_local() { index } else { 0 };
    socket.bind(&SocketAddr::from(SocketAddrV6::new(source, 0, 0, scope)).into())?;
    Ok(socket)
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<'a> Datagram<'a> {
    /// Reads an IPv4 datagram, header included. `None`: not one, or shorter than it says.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; 20] = bytes.first_chunk()?;
        let header_length = usize::from(header[0] & 0x0f) * 4;
        let total_length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_length < 20 || header[9] != 112 {
            return None;
        }
        Some(Self {
            source: IpAddr::from([header[12], header[13], header[14], header[15]]),
            destination: IpAddr::from([header[16], header[17], header[18], header[19]]),
            ttl: header[8],
            payload: bytes.get(header_length..total_length)?,
        })
    }
}

/// VRRP's protocol number, RFC 9568 section 5.1.1.4.
const PROTOCOL: i32 = 112;
/// RFC 9568 section 5.1.1.3.
const TTL: u32 = 255;
/// Precedence 6 (RFC 791), as routing protocols use: queues let it pass first.
const INTERNETWORK_CONTROL: u32 = 0xc0;
/// A VRRP packet with 255 IPv6 addresses, a signature and the longest IP header fits.
const DATAGRAM_BYTES: usize = 4608;

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

    fn datagram() -> Vec<u8> {
        let mut bytes = vec![0x45, 0xc0, 0, 24, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 1, 224, 0, 0, 18];
        bytes.extend([0x31, 51, 100, 1]);
        bytes
    }

    #[test]
    fn the_ip_header_is_read() {
        let bytes = datagram();
        let parsed = Datagram::parse(&bytes).unwrap();
        assert_eq!(parsed.source, IpAddr::from([10, 0, 0, 1]));
        assert_eq!(parsed.destination, GROUP);
        assert_eq!(parsed.ttl, 255);
        assert_eq!(parsed.payload, [0x31, 51, 100, 1]);
    }

    #[test]
    fn options_and_padding_are_not_payload() {
        let mut bytes = datagram();
        bytes[0] = 0x46;
        bytes[3] = 24;
        bytes.extend([0; 30]);
        assert_eq!(Datagram::parse(&bytes).unwrap().payload, []);
    }

    #[test]
    fn wrong_headers_are_not_datagrams() {
        for (at, value) in [(0, 0x65), (0, 0x44), (9, 17), (3, 19), (3, 25), (2, 1)] {
            let mut bytes = datagram();
            bytes[at] = value;
            assert_eq!(Datagram::parse(&bytes), None, "byte {at} = {value}");
        }
        for length in 0..24 {
            assert_eq!(Datagram::parse(&datagram()[..length]), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..100)) {
            let _ = Datagram::parse(&bytes);
        }
    }
}
