//! Segments that somebody makes up: a flood of them, bounded in number, inside of the test's namespaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use relevo_net::raw_socket::RawSocket;

/// Flags of TCP.
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;

/// A source nobody has: these networks lead to the client's machine, which drops what comes back.
pub(crate) fn stranger(number: u32, v4: bool) -> SocketAddr {
    let port = 1024 + u16::try_from(number % 60_000).unwrap();
    let ip = match v4 {
        true => IpAddr::from(Ipv4Addr::from(0xc612_0000 | ((number / 7) & 0x1_ffff))),
        false => IpAddr::from(Ipv6Addr::from(0xfd00_0012_u128 << 96 | u128::from(number / 7))),
    };
    SocketAddr::new(ip, port)
}

/// A bare segment in an IP packet.
pub(crate) fn segment(from: SocketAddr, to: SocketAddr, flags: u8, sequence: u32) -> Vec<u8> {
    let mut tcp = Vec::with_capacity(20);
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend(sequence.to_be_bytes());
    tcp.extend(sequence.rotate_left(9).to_be_bytes());
    tcp.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    let (mut packet, ends) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let ends = [from.octets(), to.octets()].concat();
            let header = [0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0];
            ([&header[..], &ends].concat(), ends)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ends = [from.octets(), to.octets()].concat();
            ([&[0x60, 0, 0, 0, 0, 20, 6, 64][..], &ends].concat(), ends)
        }
        _ => panic!("both of one family"),
    };
    let sum = checksum(&[&ends[..], &[0, 6, 0, 20], &tcp].concat());
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    packet.extend(tcp);
    packet
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

/// Sends segments to a place, as many as `sources` says; how many got out.
pub(crate) fn send(to: SocketAddr, segments: impl Iterator<Item = (SocketAddr, u8, u32)>) -> usize {
    let socket = RawSocket::open().unwrap();
    segments
        .filter(|(from, flags, sequence)| socket.send(&segment(*from, to, *flags, *sequence), to).is_ok())
        .count()
}
