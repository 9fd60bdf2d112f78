//! Neighbour discovery for IPv6 (RFC 4861): tells a network segment that an address moved to this interface, and asks who
//! has one. Ethernet frames, built whole: what they say of sender and hardware address is not the kernel's choice.

use std::net::Ipv6Addr;

use crate::Error;
use crate::arp::{self, ArpSocket};
use crate::link::Link;

/// `ff02::1`, all nodes of a link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

impl ArpSocket {
    /// Says on `link` that the IPv6 address `ip` is there: an unsolicited neighbour advertisement with the override flag to
    /// all nodes (RFC 4861 section 7.2.6). `hardware`: at which hardware address. `router`: whether this machine forwards, so
    /// that those who use it as a router do not believe that it is none any more (section 7.2.5).
    ///
    /// # Errors
    /// [`Error::Kernel`] with `ENETDOWN` when the interface is down.
    pub fn advertise(&self, link: &Link, hardware: [u8; 6], ip: Ipv6Addr, router: bool) -> Result<(), Error> {
        let frame = advertisement(hardware, ip, router);
        self.send(&frame, &arp::link_address(link.index, arp::ETH_P_IPV6, MULTICAST_ALL_NODES), || {
            format!("announce {ip} on {}", link.name)
        })
    }
}

/// An unsolicited neighbour advertisement.
pub(crate) fn advertisement(hardware: [u8; 6], ip: Ipv6Addr, router: bool) -> Vec<u8> {
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, OVERRIDE | if router { ROUTER } else { 0 }, 0, 0, 0];
    message.extend(ip.octets());
    message.extend([TARGET_LINK_LAYER, 1]);
    message.extend(hardware);
    frame(MULTICAST_ALL_NODES, hardware, ip, ALL_NODES, message)
}

/// A question who has an address, from nobody (RFC 4862 section 5.4.2): nobody learns anything from it.
pub(crate) fn question(hardware: [u8; 6], ip: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = ip.octets();
    // The solicited-node address (RFC 4291 section 2.7.1) and its Ethernet form (RFC 2464 section 7).
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(ip.octets());
    frame([0x33, 0x33, 0xff, a, b, c], hardware, Ipv6Addr::UNSPECIFIED, group, message)
}

/// What a frame with a neighbour advertisement says: an address, and the hardware address that it is at.
pub(crate) fn parse(frame: &[u8]) -> Option<(Ipv6Addr, [u8; 6])> {
    let (ethernet, packet) = frame.split_first_chunk::<14>()?;
    let (header, message) = packet.split_first_chunk::<40>()?;
    // No extension headers; hop limit 255: it did not pass a router.
    if ethernet[12..] != [0x86, 0xdd] || header[0] >> 4 != 6 || header[6] != ICMPV6 || header[7] != 255 {
        return None;
    }
    if message.first() != Some(&ADVERTISEMENT) || message.get(1) != Some(&0) {
        return None;
    }
    let target: &[u8; 16] = message.get(8..24)?.first_chunk()?;
    let mut options = message.get(24..)?;
    // Without the option, it is at the sender's own.
    let mut hardware: [u8; 6] = *ethernet.get(6..12)?.first_chunk()?;
    while let [kind, length, ..] = *options {
        let length = usize::from(length) * 8;
        if length == 0 || length > options.len() {
            return None;
        }
        if kind == TARGET_LINK_LAYER && length == 8 {
            hardware = *options.get(2..8)?.first_chunk()?;
        }
        options = &options[length..];
    }
    Some((Ipv6Addr::from(*target), hardware))
}

fn frame(
    to: [u8; 6],
    from: [u8; 6],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    mut message: Vec<u8>,
) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    let sum = checksum(source, destination, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Vec::with_capacity(14 + 40 + message.len());
    frame.extend(to);
    frame.extend(from);
    frame.extend([0x86, 0xdd]);
    // Version 6; traffic class and flow label zero.
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length);
    frame.extend([ICMPV6, 255]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(message);
    frame
}

/// RFC 4443 section 2.3.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    let (source, destination) = (source.octets(), destination.octets());
    let parts: [&[u8]; 5] = [&source, &destination, &length, &[0, ICMPV6], message];
    let words = parts.into_iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 =
        words.map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

const MULTICAST_ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;
const TARGET_LINK_LAYER: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 7];
    const IP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe);

    #[test]
    fn an_advertisement_overrides_what_neighbours_know() {
        let frame = advertisement(HARDWARE, IP, false);
        let text: Vec<String> = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text[..14].concat(), "33330000000102000000000786dd");
        assert_eq!(text[14..22].concat(), "6000000000203aff", "32 bytes of ICMPv6, hop limit 255");
        assert_eq!(text[22..54].concat(), "20010db80001000000000000000000feff020000000000000000000000000001");
        assert_eq!(text[54..56].concat(), "8800");
        assert_eq!(text[58..].concat(), "2000000020010db80001000000000000000000fe0201020000000007");
        assert_eq!(checksum(IP, ALL_NODES, &frame[54..]), 0, "with its checksum it sums up to nothing");
        assert_eq!(advertisement(HARDWARE, IP, true)[58], 0xa0);
        assert_eq!(parse(&frame), Some((IP, HARDWARE)));
    }

    #[test]
    fn a_question_teaches_nobody() {
        let frame = question(HARDWARE, IP);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0, 0, 0xfe]);
        assert_eq!(frame[22..38], [0; 16]);
        assert_eq!(frame[54], 135);
        assert_eq!(frame.len(), 54 + 24, "no option with our hardware address");
        assert_eq!(parse(&frame), None);
    }

    #[test]
    fn other_frames_say_nothing() {
        let good = advertisement(HARDWARE, IP, false);
        for (at, value) in [(13, 0x06), (14, 0x40), (20, 6), (21, 254), (54, 135), (55, 1), (79, 0), (79, 9)]
        {
            let mut frame = good.clone();
            frame[at] = value;
            assert_eq!(parse(&frame), None, "byte {at} = {value}");
        }
        for length in 0..78 {
            assert_eq!(parse(&good[..length]), None, "{length} bytes");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..120)) {
            let _ = parse(&bytes);
        }
    }
}
