//! A raw IPv4 socket of protocol 112 on one interface: VRRP adverts out and in.
//!
//! Knows the IP header (RFC 9568 section 5.1.1), not what is behind it.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};

use crate::Error;
use crate::link::Interface;

/// Where all VRRP routers of a network listen, RFC 9568 section 5.1.1.2.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// A VRRP socket, bound to one interface. It sends from the node's own address there and hears only what came in there.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    buffer: Vec<u8>,
}

/// A datagram with the parts of its IP header that VRRP looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender.
    pub source: Ipv4Addr,
    /// Where it was sent to.
    pub destination: Ipv4Addr,
    /// The time to live; 255 unless a router was passed.
    pub ttl: u8,
    /// What is behind the IP header.
    pub payload: &'a [u8],
}

impl VrrpSocket {
    /// Opens a socket on the interface of a node's own address and joins the group there.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_RAW`; [`Error::Kernel`] when the interface went away meanwhile.
    pub fn open(interface: &Interface) -> Result<Self, Error> {
        let open = || -> io::Result<Socket> {
            let protocol = Protocol::from(PROTOCOL);
            let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
            socket.bind_device_by_index_v4(NonZeroU32::new(interface.link.index))?;
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4_n(&GROUP, &InterfaceIndexOrAddress::Index(interface.link.index))?;
            // The address given here is the source of what is sent to a multicast group (ip(7), IP_MULTICAST_IF).
            socket.set_multicast_if_v4(&interface.ip)?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_multicast_ttl_v4(TTL)?;
            socket.set_tos_v4(INTERNETWORK_CONTROL)?;
            Ok(socket)
        };
        let socket = open().map_err(|source| {
            Error::kernel(
                format!("open a raw VRRP socket on {} ({})", interface.link.name, interface.ip),
                source,
            )
        })?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// Sends a VRRP packet to the group, TTL 255.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `ENETDOWN`, `ENODEV` or `ENETUNREACH` when the interface cannot send.
    pub fn send(&self, payload: &[u8]) -> Result<(), Error> {
        let group = SockAddr::from(SocketAddrV4::new(GROUP, 0));
        match self.socket.send_to(payload, &group) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::kernel("send a VRRP advert", source)),
        }
    }

    /// The next datagram that waits, without waiting for one. Those that are not to the group or whose IP header is wrong
    /// are passed over.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `ENETDOWN` once when the interface went down; the socket stays usable.
    pub fn receive(&mut self) -> Result<Option<Datagram<'_>>, Error> {
        // Written with lengths first: the borrow of the buffer may leave only through the one return at the end.
        let length = loop {
            match (&self.socket).read(&mut self.buffer) {
                Ok(length)
                    if Datagram::parse(&self.buffer[..length]).is_some_and(|it| it.destination == GROUP) =>
                {
                    break length;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(Error::kernel("receive VRRP adverts", error)),
            }
        };
        Ok(Datagram::parse(&self.buffer[..length]))
    }
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
            source: Ipv4Addr::new(header[12], header[13], header[14], header[15]),
            destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]),
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
/// A VRRP packet with 255 addresses and the longest IP header fits.
const DATAGRAM_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram() -> Vec<u8> {
        let mut bytes = vec![0x45, 0xc0, 0, 24, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 1, 224, 0, 0, 18];
        bytes.extend([0x31, 51, 100, 1]);
        bytes
    }

    #[test]
    fn the_ip_header_is_read() {
        let bytes = datagram();
        let parsed = Datagram::parse(&bytes).unwrap();
        assert_eq!(parsed.source, Ipv4Addr::new(10, 0, 0, 1));
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
