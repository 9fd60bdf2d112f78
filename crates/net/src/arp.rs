//! Gratuitous ARP: tells a network segment that an address moved to this interface.
//!
//! Two forms go out for each address: the request (RFC 5227 section 2.3, what keepalived sends) and the reply, because some
//! equipment learns from only one of them. Switches learn the port from either.

use std::net::Ipv4Addr;

use nix::libc;
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

use crate::Error;
use crate::link::Link;

/// A packet socket that only sends.
#[derive(Debug)]
pub struct ArpSocket {
    socket: Socket,
}

impl ArpSocket {
    /// Opens a socket for all interfaces of this network namespace.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_RAW`.
    pub fn open() -> Result<Self, Error> {
        // Protocol 0: the kernel copies no received frame for us.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)
            .map_err(|source| Error::kernel("open a packet socket", source))?;
        Ok(Self { socket })
    }

    /// Says on `link` that `ip` is there, at the hardware address `hardware`.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `ENETDOWN` when the interface is down.
    pub fn announce(&self, link: &Link, hardware: [u8; 6], ip: Ipv4Addr) -> Result<(), Error> {
        let broadcast = broadcast_on(link.index);
        for operation in [Operation::Request, Operation::Reply] {
            let frame = frame(operation, hardware, ip, ip);
            self.send(&frame, &broadcast, || format!("announce {ip} on {}", link.name))?;
        }
        Ok(())
    }

    pub(crate) fn send(
        &self,
        frame: &[u8],
        to: &SockAddr,
        doing: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        match self.socket.send_to(frame, to) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::kernel(doing(), source)),
        }
    }
}

/// An interface's Ethernet address.
///
/// # Errors
/// [`Error::NotEthernet`].
pub fn hardware_of(link: &Link) -> Result<[u8; 6], Error> {
    let bytes = link.hardware.as_slice();
    bytes.try_into().map_err(|_| Error::NotEthernet { name: link.name.clone(), length: bytes.len() })
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Request = 1,
    Reply = 2,
}

/// An Ethernet frame to everybody with an ARP packet (RFC 826), padded to Ethernet's least.
pub(crate) fn frame(operation: Operation, hardware: [u8; 6], sender: Ipv4Addr, asked: Ipv4Addr) -> [u8; 60] {
    // Receivers take a gratuitous reply only with the sender's hardware address as target (Linux: arp_is_garp); in a
    // request it is ignored and zero (RFC 5227 section 2.3).
    let target = match operation {
        Operation::Request => [0; 6],
        Operation::Reply => hardware,
    };
    let mut frame = [0; 60];
    let parts: [&[u8]; 9] = [
        &[0xff; 6],
        &hardware,
        &[0x08, 0x06],
        // Ethernet, IPv4, address lengths, operation.
        &[0, 1, 0x08, 0, 6, 4, 0, operation as u8],
        &hardware,
        &sender.octets(),
        &target,
        &asked.octets(),
        &[],
    ];
    let mut at = 0;
    for part in parts {
        frame[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    frame
}

/// Everybody on a link, for ARP.
pub(crate) fn broadcast_on(index: u32) -> SockAddr {
    link_address(index, libc::ETH_P_ARP as u16, [0xff; 6])
}

pub(crate) const ETH_P_IPV6: u16 = libc::ETH_P_IPV6 as u16;

#[allow(unsafe_code, reason = "no safe constructor of a link-layer socket address exists in socket2 or nix")]
pub(crate) fn link_address(index: u32, protocol: u16, to: [u8; 6]) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the platform's address types (packet(7)) and all its bytes may be zero.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index as libc::c_int;
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&to);
    // SAFETY: the storage was filled in as a sockaddr_ll with its family, and the length is that type's.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_an_announcement_of_rfc_5227() {
        let (hardware, ip) = ([2, 0, 0, 0, 0, 7], Ipv4Addr::new(10, 0, 0, 9));
        let frame = frame(Operation::Request, hardware, ip, ip);
        let text: Vec<String> = frame[..42].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            text.concat(),
            "ffffffffffff020000000007080600010800060400010200000000070a0000090000000000000a000009"
        );
        assert_eq!(frame[42..], [0; 18]);
    }

    #[test]
    fn the_reply_names_the_sender_as_target() {
        let (hardware, ip) = ([2, 0, 0, 0, 0, 7], Ipv4Addr::new(10, 0, 0, 9));
        let frame = frame(Operation::Reply, hardware, ip, ip);
        assert_eq!(frame[21], 2);
        assert_eq!(frame[22..28], frame[32..38]);
        assert_eq!(frame[28..32], frame[38..42]);
    }
}
