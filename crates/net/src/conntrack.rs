//! The kernel's table of connections (`ctnetlink`, linux/netfilter/nfnetlink_conntrack.h): forgets those that were translated
//! for a gateway.
//!
//! A director that was the way and is not any more has entries whose sequence numbers fall behind the connection's. Were it
//! the way again, the kernel would call the connection's packets invalid. Without an entry it takes them up anew.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::libc;

use crate::Error;
use crate::netlink::{self, ACK, DUMP, Netlink};

/// Forgets all connections of machines of `subnet` that leave under `source`, or, with `None`, that leave the subnet under
/// their own addresses; how many there were.
///
/// # Errors
/// [`Error::Permission`] without `CAP_NET_ADMIN`; [`Error::Kernel`] where the kernel has no connection tracking.
pub fn forget(subnet: IpNet, source: Option<IpAddr>) -> Result<usize, Error> {
    let family = if subnet.addr().is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let work = || -> io::Result<usize> {
        let mut kernel = Netlink::open(NETFILTER)?;
        let mut found: Vec<Vec<u8>> = Vec::new();
        kernel.exchange(&request(family, GET, DUMP, &[]), |kind, payload| {
            let entry = payload.get(4..).filter(|_| kind == NEW).unwrap_or_default();
            if let Some(tuple) = tuple_of(entry, subnet, source).filter(|_| found.len() < MOST) {
                found.push(tuple.to_vec());
            }
        })?;
        let mut count = 0;
        for tuple in &found {
            match kernel.exchange(&request(family, DELETE, ACK, tuple), |_, _| {}) {
                Ok(()) => count += 1,
                // It ended by itself meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    };
    work().map_err(|source| Error::kernel("forget connections of the gateway", source))
}

/// A request for a family with one attribute, already made, or none.
fn request(family: libc::c_int, kind: u16, flags: u16, attribute: &[u8]) -> Vec<u8> {
    // struct nfgenmsg: family, version, resource.
    netlink::request(kind, flags, &[&[family as u8, 0, 0, 0], attribute].concat())
}

/// The attributes of a message or of another attribute: kind, with its header, without.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & 0x3fff;
        let (whole, payload) = (bytes.get(..length)?, bytes.get(4..length)?);
        bytes = bytes.get((length + 3) & !3..).unwrap_or(&[]);
        Some((kind, whole, payload))
    })
}

fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, ..)| *kind == wanted).map(|(.., payload)| payload)
}

/// What names an entry, if it is one that is looked for: as the machine inside sees it, with the attribute's header.
fn tuple_of(entry: &[u8], subnet: IpNet, source: Option<IpAddr>) -> Option<&[u8]> {
    let address = |tuple: &[u8], which: Which| {
        let ips = attribute(tuple, TUPLE_IP)?;
        match subnet {
            IpNet::V4(_) => {
                let bytes: [u8; 4] = attribute(ips, which.0)?.try_into().ok()?;
                Some(IpAddr::V4(Ipv4Addr::from(bytes)))
            }
            IpNet::V6(_) => {
                let bytes: [u8; 16] = attribute(ips, which.1)?.try_into().ok()?;
                Some(IpAddr::V6(Ipv6Addr::from(bytes)))
            }
        }
    };
    let original = attribute(entry, TUPLE_ORIGINAL)?;
    let reply = attribute(entry, TUPLE_REPLY)?;
    let inside = address(original, IP_SOURCE)?;
    let seen = address(reply, IP_DESTINATION)?;
    let fits = match source {
        Some(source) => seen == source,
        None => seen == inside && !subnet.contains(&address(original, IP_DESTINATION)?),
    };
    let named = attributes(entry).find(|(kind, ..)| *kind == TUPLE_ORIGINAL).map(|(_, whole, _)| whole);
    named.filter(|_| fits && subnet.contains(&inside))
}

/// The number of an attribute for IPv4 and for IPv6.
#[derive(Clone, Copy)]
struct Which(u16, u16);

/// `NETLINK_NETFILTER`.
const NETFILTER: isize = 12;
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
const NEW: u16 = 0x100;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const IP_SOURCE: Which = Which(1, 3);
const IP_DESTINATION: Which = Which(2, 4);
/// Most entries that are forgotten in one go.
const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(kind: u16, inner: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(4 + inner.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend((kind | 0x8000).to_ne_bytes());
        bytes.extend(inner);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn tuple(kind: u16, source: &str, destination: &str) -> Vec<u8> {
        let bytes = |which: Which, ip: &str| match ip.parse().unwrap() {
            IpAddr::V4(ip) => nested(which.0, &ip.octets()),
            IpAddr::V6(ip) => nested(which.1, &ip.octets()),
        };
        let ips = [bytes(IP_SOURCE, source), bytes(IP_DESTINATION, destination)].concat();
        nested(kind, &nested(TUPLE_IP, &ips))
    }

    #[test]
    fn only_connections_of_the_gateway_are_meant() {
        for (subnet, source, inside, outside, other) in [
            ("10.0.10.0/24", "192.168.1.200", "10.0.10.110", "192.168.1.50", "10.0.11.110"),
            ("fd00:10::/64", "2001:db8::200", "fd00:10::110", "2001:db8::50", "fd00:11::110"),
        ] {
            let subnet: IpNet = subnet.parse().unwrap();
            let hidden = Some(source.parse().unwrap());
            let original = tuple(TUPLE_ORIGINAL, inside, outside);
            let translated = tuple(TUPLE_REPLY, outside, source);
            let entry = [original.clone(), translated.clone()].concat();
            assert_eq!(tuple_of(&entry, subnet, hidden), Some(&original[..]));
            assert_eq!(tuple_of(&entry, subnet, None), None, "it leaves under another address");
            let plain = [original.clone(), tuple(TUPLE_REPLY, outside, inside)].concat();
            assert_eq!(tuple_of(&plain, subnet, hidden), None);
            assert_eq!(tuple_of(&plain, subnet, None), Some(&original[..]));
            let stays = [tuple(TUPLE_ORIGINAL, inside, inside), tuple(TUPLE_REPLY, inside, inside)].concat();
            assert_eq!(tuple_of(&stays, subnet, None), None, "the director's own");
            let foreign = [tuple(TUPLE_ORIGINAL, other, outside), translated].concat();
            assert_eq!(tuple_of(&foreign, subnet, hidden), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
            for subnet in ["10.0.10.0/24", "fd00::/64"] {
                let _ = tuple_of(&bytes, subnet.parse().unwrap(), None);
            }
        }
    }
}
