//! Adverts as whole Ethernet frames: from a virtual router's hardware address (RFC 9568 sections 5.1 and 7.2), which the kernel
//! would not send from. And those of other routers, which the kernel gives to the macvlan with that hardware address alone, as long
//! as it is up: they are heard there without joining their group, because the kernel would tell that to switches, from the virtual
//! hardware address, also when this machine has just lost it.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, SockFilter, Socket, Type};

use crate::Error;
use crate::arp::{self, ArpSocket, ETH_P_IPV6};
use crate::link::Link;
use crate::vrrp_socket::{Datagram, Hear};

/// Hears on a macvlan what comes from its own hardware address.
#[derive(Debug)]
pub struct VirtualSocket {
    socket: Socket,
    hardware: [u8; 6],
    group: IpAddr,
    buffer: Vec<u8>,
}

impl VirtualSocket {
    /// Opens it; adverts to `group`.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_RAW`; [`Error::Kernel`] when the interface went away meanwhile.
    pub fn open(link: &Link, hardware: [u8; 6], group: IpAddr) -> Result<Self, Error> {
        let (protocol, field) = match group {
            IpAddr::V4(_) => (nix::libc::ETH_P_IP as u16, ETHERNET + 9),
            IpAddr::V6(_) => (ETH_P_IPV6, ETHERNET + 6),
        };
        let open = || {
            // Without a protocol nothing comes in before it is bound.
            let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
            socket.attach_filter(&[
                SockFilter::new(LOAD_BYTE, 0, 0, field),
                SockFilter::new(JUMP_IF_EQUAL, 1, 0, u32::from(PROTOCOL)),
                SockFilter::new(RETURN, 0, 0, 0),
                SockFilter::new(RETURN, 0, 0, u32::MAX),
            ])?;
            socket.bind(&arp::link_address(link.index, protocol, [0; 6]))?;
            Ok(socket)
        };
        let socket =
            open().map_err(|source| Error::kernel(format!("hear VRRP adverts on {}", link.name), source))?;
        Ok(Self { socket, hardware, group, buffer: vec![0; FRAME_BYTES] })
    }
}

impl Hear for VirtualSocket {
    fn receive(&mut self) -> Result<Option<Datagram<'_>>, Error> {
        let length = loop {
            match (&self.socket).read(&mut self.buffer) {
                Ok(length) if heard(&self.buffer[..length], self.hardware, self.group).is_some() => {
                    break length;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(source) => return Err(Error::kernel("receive VRRP adverts", source)),
            }
        };
        Ok(heard(&self.buffer[..length], self.hardware, self.group))
    }
}

impl AsFd for VirtualSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An advert to the multicast group from a hardware address.
fn heard(frame: &[u8], hardware: [u8; 6], group: IpAddr) -> Option<Datagram<'_>> {
    let (ethernet, packet) = frame.split_first_chunk::<14>()?;
    let from = &ethernet[6..12];
    let datagram = match ethernet[12..] {
        [0x08, 0x00] => Datagram::parse(packet),
        [0x86, 0xdd] => parse6(packet),
        _ => None,
    };
    datagram.filter(|datagram| from == hardware && datagram.destination == group)
}

/// Reads an IPv6 datagram without extension headers, header included.
fn parse6(packet: &[u8]) -> Option<Datagram<'_>> {
    let (header, rest) = packet.split_first_chunk::<40>()?;
    let address = |at: usize| header.get(at..at + 16)?.first_chunk::<16>().copied().map(Ipv6Addr::from);
    if header[0] >> 4 != 6 || header[6] != PROTOCOL {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    Some(Datagram {
        source: address(8)?.into(),
        destination: address(24)?.into(),
        ttl: header[7],
        payload: rest.get(..length)?,
    })
}

const ETHERNET: u32 = 14;
/// As in `vrrp_socket`, with an Ethernet header.
const FRAME_BYTES: usize = 4640;
const LOAD_BYTE: u16 = 0x30;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const PROTOCOL: u8 = 112;
const TTL: u8 = 255;
const INTERNETWORK_CONTROL: u8 = 0xc0;

impl ArpSocket {
    /// Sends an advert to a multicast group on `link`, from `source` and from the hardware address `hardware`, with a TTL
    /// of 255.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `ENETDOWN` or `ENXIO` when the interface cannot send.
    pub fn advert(
        &self,
        link: &Link,
        hardware: [u8; 6],
        source: IpAddr,
        group: IpAddr,
        payload: &[u8],
    ) -> Result<(), Error> {
        let (frame, protocol) = match (source, group) {
            (IpAddr::V4(source), IpAddr::V4(group)) => {
                (frame4(hardware, source, group, payload), nix::libc::ETH_P_IP as u16)
            }
            (IpAddr::V6(source), IpAddr::V6(group)) => (frame6(hardware, source, group, payload), ETH_P_IPV6),
            // The machine answers in the family of its source.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Ok(()),
        };
        let to = frame.first_chunk().copied().unwrap_or_default();
        self.send(&frame, &arp::link_address(link.index, protocol, to), || {
            format!("send a VRRP advert on {}", link.name)
        })
    }
}

fn ethernet(to: [u8; 6], hardware: [u8; 6], protocol: [u8; 2]) -> Vec<u8> {
    [&to[..], &hardware, &protocol].concat()
}

fn frame4(hardware: [u8; 6], source: Ipv4Addr, group: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let [_, b, c, d] = group.octets();
    // RFC 1112 section 6.4.
    let mut frame = ethernet([0x01, 0x00, 0x5e, b & 0x7f, c, d], hardware, [0x08, 0x00]);
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    // Not to be cut to pieces; so it needs no number (RFC 6864 section 4.1).
    let mut header = [0x45, INTERNETWORK_CONTROL, length[0], length[1], 0, 0, 0x40, 0, TTL, PROTOCOL]
        .into_iter()
        .chain([0, 0])
        .chain(source.octets())
        .chain(group.octets())
        .collect::<Vec<u8>>();
    let checksum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&checksum);
    frame.extend(header);
    frame.extend(payload);
    frame
}

fn frame6(hardware: [u8; 6], source: Ipv6Addr, group: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c, d] = group.octets();
    // RFC 2464 section 7.
    let mut frame = ethernet([0x33, 0x33, a, b, c, d], hardware, [0x86, 0xdd]);
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    frame.extend([0x60 | (INTERNETWORK_CONTROL >> 4), INTERNETWORK_CONTROL << 4, 0, 0]);
    frame.extend([length[0], length[1], PROTOCOL, TTL]);
    frame.extend(source.octets());
    frame.extend(group.octets());
    frame.extend(payload);
    frame
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
    const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
    const HARDWARE: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];

    #[test]
    fn an_ipv4_advert_is_read_as_what_it_is() {
        let frame = frame4(HARDWARE, Ipv4Addr::new(10, 0, 0, 1), GROUP, &[0x31, 51, 100, 1]);
        assert_eq!(frame[..14], [1, 0, 0x5e, 0, 0, 0x12, 0, 0, 0x5e, 0, 1, 51, 8, 0]);
        let datagram = Datagram::parse(&frame[14..]).unwrap();
        assert_eq!((datagram.ttl, datagram.destination), (255, IpAddr::V4(GROUP)));
        assert_eq!(datagram.source, IpAddr::from([10, 0, 0, 1]));
        assert_eq!(datagram.payload, [0x31, 51, 100, 1]);
        assert_eq!(checksum(&frame[14..34]), 0, "a right header adds up to nothing");
    }

    #[test]
    fn an_ipv6_advert_goes_to_its_groups_hardware_address() {
        let frame = frame6(HARDWARE, Ipv6Addr::LOCALHOST, GROUP6, &[1, 2, 3]);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 0x12]);
        assert_eq!(frame[12..14], [0x86, 0xdd]);
        assert_eq!(frame[14..22], [0x6c, 0, 0, 0, 0, 3, 112, 255]);
        assert_eq!(frame.len(), 14 + 40 + 3);
    }

    #[test]
    fn only_what_comes_from_the_virtual_hardware_address_is_heard() {
        for (frame, group) in [
            (frame4(HARDWARE, Ipv4Addr::new(10, 0, 0, 1), GROUP, &[7, 8]), IpAddr::V4(GROUP)),
            (frame6(HARDWARE, Ipv6Addr::LOCALHOST, GROUP6, &[7, 8]), IpAddr::V6(GROUP6)),
        ] {
            assert_eq!(heard(&frame, HARDWARE, group).unwrap().payload, [7, 8]);
            assert_eq!(heard(&frame, [2; 6], group), None);
            assert_eq!(heard(&frame, HARDWARE, [224, 0, 0, 19].into()), None);
            for length in 0..frame.len() {
                assert_eq!(heard(&frame[..length], HARDWARE, group), None, "{length}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..100)) {
            let _ = heard(&bytes, HARDWARE, GROUP.into());
        }
    }
}
