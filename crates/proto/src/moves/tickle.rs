//! A *tickle*: a bare acknowledgement from a virtual address to a client whose connection died with its director. Its numbers are
//! none of the connection's, so the client answers with an acknowledgement of its own (RFC 9293 section 3.10.7.4), which the new
//! owner's kernel, knowing no such connection, answers with a reset that the client believes. A client that has no such
//! connection answers with a reset, which goes nowhere.

use std::net::{IpAddr, SocketAddr};

/// The protocol number of TCP.
const TCP: u8 = 6;
/// A TCP header without options.
const SEGMENT: usize = 20;

/// The whole IP packet; `None`: the two ends are of different families. `number`: another one for each attempt.
pub fn packet(from: SocketAddr, to: SocketAddr, number: u32) -> Option<Vec<u8>> {
    let mut segment = Vec::with_capacity(SEGMENT);
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend(number.to_be_bytes());
    segment.extend(0u32.to_be_bytes());
    // Header length, ACK, window, checksum, urgent pointer.
    segment.extend([5 << 4, 0x10, 4, 0, 0, 0, 0, 0]);
    let mut pseudo = Vec::with_capacity(40);
    let mut packet = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            pseudo.extend(from.octets());
            pseudo.extend(to.octets());
            pseudo.extend([0, TCP, 0, SEGMENT as u8]);
            // Version and length, TOS, total length, id, DF, TTL, protocol, checksum.
            let mut header = vec![0x45, 0, 0, 20 + SEGMENT as u8, 0, 0, 0x40, 0, 64, TCP, 0, 0];
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            pseudo.extend(from.octets());
            pseudo.extend(to.octets());
            pseudo.extend([0, 0, 0, SEGMENT as u8, 0, 0, 0, TCP]);
            // Version, flow, payload length, next header, hop limit.
            let mut header = vec![0x60, 0, 0, 0, 0, SEGMENT as u8, TCP, 64];
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    pseudo.extend(&segment);
    let sum = checksum(&pseudo);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    packet.extend(segment);
    Some(packet)
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_sums_are_right_in_both_families() {
        let packet = packet("10.0.0.9:80".parse().unwrap(), "10.0.0.1:40000".parse().unwrap(), 7).unwrap();
        assert_eq!((packet.len(), packet[33]), (40, 0x10));
        // A sum over what has its own sum in it is zero.
        assert_eq!(checksum(&packet[..20]), 0);
        let mut pseudo = packet[12..20].to_vec();
        pseudo.extend([0, 6, 0, 20]);
        pseudo.extend(&packet[20..]);
        assert_eq!(checksum(&pseudo), 0);
        let packet =
            super::packet("[fd00::9]:80".parse().unwrap(), "[fd00::1]:40000".parse().unwrap(), 7).unwrap();
        let mut pseudo = packet[8..40].to_vec();
        pseudo.extend([0, 0, 0, 20, 0, 0, 0, 6]);
        pseudo.extend(&packet[40..]);
        assert_eq!((packet.len(), checksum(&pseudo)), (60, 0));
        let other = super::packet("[fd00::9]:80".parse().unwrap(), "10.0.0.1:40000".parse().unwrap(), 7);
        assert_eq!(other, None);
    }
}
