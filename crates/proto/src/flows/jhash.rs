//! The kernel's hash of a client, computed here as nftables' `jhash` does: Bob Jenkins' lookup3 as in Linux'
//! `include/linux/jhash.h`, scaled to a number of slots.

use std::net::{IpAddr, SocketAddr};

/// The seed of all directors. It must never change: flows live on by it.
pub const SEED: u32 = 0x5245_4c56;

/// What linux/jhash.h starts from.
const INITIAL: u32 = 0xdead_beef;

/// What of a client chooses its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// Its address and port: connections of one client are spread.
    #[default]
    Connection,
    /// Its address: they stay together.
    Source,
}

/// The slot of a client, 0 to `slots` - 1.
pub fn slot_of(client: SocketAddr, key: Key, slots: u32) -> u32 {
    let mut bytes = Vec::with_capacity(20);
    match client.ip() {
        IpAddr::V4(ip) => bytes.extend(ip.octets()),
        IpAddr::V6(ip) => bytes.extend(ip.octets()),
    }
    if key == Key::Connection {
        // A register has four bytes, and a port fills two of them.
        bytes.extend(client.port().to_be_bytes());
        bytes.extend([0, 0]);
    }
    scale(jhash(&bytes, SEED), slots)
}

/// The kernel's `reciprocal_scale`.
fn scale(hash: u32, slots: u32) -> u32 {
    u32::try_from((u64::from(hash) * u64::from(slots)) >> 32).unwrap_or(0)
}

/// `jhash()` of linux/jhash.h on a little-endian machine.
pub fn jhash(bytes: &[u8], seed: u32) -> u32 {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let start = INITIAL.wrapping_add(length).wrapping_add(seed);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = bytes;
    while rest.len() > 12 {
        let (block, more) = rest.split_at(12);
        a = a.wrapping_add(word(block, 0));
        b = b.wrapping_add(word(block, 4));
        c = c.wrapping_add(word(block, 8));
        (a, b, c) = mix(a, b, c);
        rest = more;
    }
    if rest.is_empty() {
        return c;
    }
    a = a.wrapping_add(word(rest, 0));
    b = b.wrapping_add(word(rest, 4));
    c = c.wrapping_add(word(rest, 8));
    last(a, b, c)
}

/// Four bytes from a place on; those beyond the end are zero.
fn word(bytes: &[u8], at: usize) -> u32 {
    let byte = |place: usize| bytes.get(at + place).copied().unwrap_or(0);
    u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
}

const fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

const fn last(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}
