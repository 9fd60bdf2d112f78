//! Other machines that use one of our virtual addresses: they are asked with ARP probes (RFC 5227 section 2.1.1) or neighbour
//! solicitations (RFC 4862 section 5.4.2), and what they say of themselves is heard.
//!
//! Only hears and asks. Whether an answer is a conflict, or the last word of a director that has just lost the address,
//! is the caller's to judge.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::Error;
use crate::arp::{self, Operation};
use crate::link::Link;
use crate::neighbour;

/// Packet sockets that hear what is said of our virtual addresses on all interfaces: one for ARP, and if one of them is
/// IPv6, one for neighbour advertisements.
#[derive(Debug)]
pub struct ConflictWatch {
    sockets: Vec<Socket>,
    addresses: Vec<IpAddr>,
}

/// Somebody, maybe ourselves, says that an address is his.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The address.
    pub ip: IpAddr,
    /// The hardware address that he says it is at.
    pub hardware: [u8; 6],
}

impl ConflictWatch {
    /// Opens a socket for all interfaces of this network namespace. The kernel lets only packets of these addresses
    /// through, so that a busy network does not wake us.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_RAW`.
    pub fn open(addresses: Vec<IpAddr>) -> Result<Self, Error> {
        let open = |protocol: u16, filter: Option<Vec<SockFilter>>| {
            let protocol = Protocol::from(i32::from(protocol.to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
            if let Some(filter) = filter {
                socket.attach_filter(&filter)?;
            }
            Ok(socket)
        };
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in &addresses {
            match address {
                IpAddr::V4(ip) => v4.push(*ip),
                IpAddr::V6(ip) => v6.push(*ip),
            }
        }
        let arp = open(libc::ETH_P_ARP as u16, filter(&v4));
        let mut sockets = vec![arp.map_err(|source| Error::kernel("watch ARP", source))?];
        if !v6.is_empty() {
            let neighbours = open(arp::ETH_P_IPV6, filter6(&v6));
            sockets.push(neighbours.map_err(|source| Error::kernel("watch neighbour discovery", source))?);
        }
        Ok(Self { sockets, addresses })
    }

    /// Asks who else has `ip` on `link`. A probe names no sender's address, so that nobody learns anything from it.
    ///
    /// # Errors
    /// [`Error::NotEthernet`]; [`Error::Kernel`] with `ENETDOWN` when the interface is down.
    pub fn probe(&self, link: &Link, ip: IpAddr) -> Result<(), Error> {
        let hardware = arp::hardware_of(link)?;
        let (socket, frame, to) = match ip {
            IpAddr::V4(ip) => {
                let frame = arp::frame(Operation::Request, hardware, Ipv4Addr::UNSPECIFIED, ip);
                (self.sockets.first(), frame.to_vec(), arp::broadcast_on(link.index))
            }
            IpAddr::V6(ip) => {
                let frame = neighbour::question(hardware, ip);
                let to = frame.first_chunk().copied().unwrap_or_default();
                (self.sockets.get(1), frame, arp::link_address(link.index, arp::ETH_P_IPV6, to))
            }
        };
        match socket.map(|socket| socket.send_to(&frame, &to)) {
            Some(Err(source)) => Err(Error::kernel(format!("probe {ip} on {}", link.name), source)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// The next claim that waits, without waiting for one. Errors of the socket are passed over: it stays usable.
    pub fn receive(&mut self) -> Option<Claim> {
        self.sockets.iter().find_map(|socket| self.next(socket))
    }

    /// The descriptors to wait for.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    fn next(&self, mut socket: &Socket) -> Option<Claim> {
        let mut frame = [0; FRAME_BYTES];
        for _ in 0..MOST_FRAMES {
            match socket.read(&mut frame) {
                Ok(length) => {
                    let frame = &frame[..length];
                    let said =
                        neighbour::parse(frame).map(|(ip, hardware)| Claim { ip: ip.into(), hardware });
                    let claim =
                        said.or_else(|| parse(frame)).filter(|claim| self.addresses.contains(&claim.ip));
                    if claim.is_some() {
                        return claim;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        None
    }
}

/// The sender's addresses of an Ethernet frame with an ARP packet (RFC 826).
pub(crate) fn parse(frame: &[u8]) -> Option<Claim> {
    let (ethernet, packet) = frame.split_first_chunk::<14>()?;
    // Ethernet and IPv4, with addresses of 6 and 4 bytes; any operation.
    if ethernet[12..] != [0x08, 0x06] || !packet.starts_with(&[0, 1, 0x08, 0, 6, 4]) {
        return None;
    }
    let hardware = packet.get(8..14)?.first_chunk()?;
    let ip: &[u8; 4] = packet.get(14..18)?.first_chunk()?;
    Some(Claim { ip: IpAddr::from(*ip), hardware: *hardware })
}

/// A program for the kernel (bpf(4), "classic") that lets frames pass whose ARP sender is one of the addresses. `None`:
/// more addresses than its jumps reach; then all pass.
fn filter(addresses: &[Ipv4Addr]) -> Option<Vec<SockFilter>> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let count = u8::try_from(addresses.len()).ok()?;
    let mut program = vec![SockFilter::new(LOAD_WORD, 0, 0, SENDER_IP)];
    for (address, left) in addresses.iter().zip((1..=count).rev()) {
        // Over the comparisons that are left and the "drop" behind them.
        program.push(SockFilter::new(JUMP_IF_EQUAL, left, 0, u32::from(*address)));
    }
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    Some(program)
}

/// As [`filter`], for neighbour advertisements of one of the addresses: the last four bytes of the target are compared, the
/// rest is looked at later.
fn filter6(addresses: &[Ipv6Addr]) -> Option<Vec<SockFilter>> {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let count = u8::try_from(addresses.len()).ok()?;
    let drop = count.checked_add(3)?;
    let mut program = vec![
        SockFilter::new(LOAD_BYTE, 0, 0, NEXT_HEADER),
        SockFilter::new(JUMP_IF_EQUAL, 0, drop, 58),
        SockFilter::new(LOAD_BYTE, 0, 0, ICMP_TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 0, drop - 2, 136),
        SockFilter::new(LOAD_WORD, 0, 0, TARGET_END),
    ];
    for (address, left) in addresses.iter().zip((1..=count).rev()) {
        let [.., a, b, c, d] = address.octets();
        program.push(SockFilter::new(JUMP_IF_EQUAL, left, 0, u32::from_be_bytes([a, b, c, d])));
    }
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    Some(program)
}

/// Behind 14 bytes of Ethernet, the kind of what follows in IPv6.
const NEXT_HEADER: u32 = 20;
/// Behind 40 bytes of IPv6.
const ICMP_TYPE: u32 = 54;
/// The last four bytes of the target.
const TARGET_END: u32 = 74;
/// Where the sender's IPv4 address begins: 14 bytes of Ethernet, 14 of ARP.
const SENDER_IP: u32 = 28;
/// An ARP packet and its padding fit; what is behind does not matter.
const FRAME_BYTES: usize = 128;
/// Most frames of others that are looked at in one go, where the filter lets them through.
const MOST_FRAMES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

    #[test]
    fn the_sender_of_any_arp_packet_is_read() {
        let hardware = [2, 0, 0, 0, 0, 7];
        for operation in [Operation::Request, Operation::Reply] {
            let frame = arp::frame(operation, hardware, IP, IP);
            assert_eq!(parse(&frame), Some(Claim { ip: IP.into(), hardware }));
        }
        let probe = arp::frame(Operation::Request, hardware, Ipv4Addr::UNSPECIFIED, IP);
        assert_eq!(parse(&probe).unwrap().ip, Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn other_frames_are_not_claims() {
        let frame = arp::frame(Operation::Reply, [2, 0, 0, 0, 0, 7], IP, IP);
        for (at, value) in [(13, 0x00), (15, 6), (17, 1), (18, 8), (19, 16)] {
            let mut frame = frame;
            frame[at] = value;
            assert_eq!(parse(&frame), None, "byte {at} = {value}");
        }
        for length in 0..32 {
            assert_eq!(parse(&frame[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn the_filter_has_a_way_for_each_address() {
        assert_eq!(filter(&[]).unwrap().len(), 3);
        assert_eq!(filter(&[IP; 255]).unwrap().len(), 258);
        assert!(filter(&[IP; 256]).is_none());
        assert_eq!(filter6(&[Ipv6Addr::LOCALHOST; 3]).unwrap().len(), 5 + 3 + 2);
        assert!(filter6(&[Ipv6Addr::LOCALHOST; 253]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..100)) {
            let _ = parse(&bytes);
        }
    }
}
