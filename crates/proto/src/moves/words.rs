//! What directors say to each other about moves and about their connections. Numbers are big-endian; a group goes by the first
//! four bytes of the SHA-256 of its name, as in [`crate::ownership`].
//!
//! ```text
//!   1 version, kind ─ 1 draining ─ group, for how long already (milliseconds, 4 bytes)
//!                   ├ 2 drained ── group
//!                   ├ 4 took ───── group
//!                   └ 3 connections ─ 4|6, port, address of the place, count, (port, address) of each client
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::peers::MOST_BYTES;

const VERSION: u8 = 1;

/// What a former owner says of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It goes on with connections.
    Draining {
        /// For how long already.
        age: Duration,
    },
    /// It has none any more.
    Drained,
    /// It did, and has the addresses again.
    Took,
}

/// Something that a director said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// About a group, by [`id`](crate::ownership::id).
    Group(u32, Word),
    /// It has these clients at a place.
    Clients {
        /// Where they are connected to.
        at: SocketAddr,
        /// Who they are.
        clients: Vec<SocketAddr>,
    },
}

/// A word about a group.
pub fn encode(group: u32, word: Word) -> Vec<u8> {
    let kind = match word {
        Word::Draining { .. } => 1,
        Word::Drained => 2,
        Word::Took => 4,
    };
    let mut bytes = vec![VERSION, kind];
    bytes.extend(group.to_be_bytes());
    if let Word::Draining { age } = word {
        bytes.extend(u32::try_from(age.as_millis()).unwrap_or(u32::MAX).to_be_bytes());
    }
    bytes
}

/// Clients of a place, in as many datagrams as it takes. Those of another family are left out.
pub fn encode_clients(at: SocketAddr, clients: &[SocketAddr]) -> Vec<Vec<u8>> {
    let own: Vec<&SocketAddr> = clients.iter().filter(|client| client.is_ipv4() == at.is_ipv4()).collect();
    let each = if at.is_ipv4() { 6 } else { 18 };
    let most = (MOST_BYTES - 3 - each - 2) / each;
    let datagram = |clients: &[&SocketAddr]| {
        let mut bytes = vec![VERSION, 3, if at.is_ipv4() { 4 } else { 6 }];
        put(&mut bytes, &at);
        bytes.extend(u16::try_from(clients.len()).unwrap_or(u16::MAX).to_be_bytes());
        clients.iter().for_each(|client| put(&mut bytes, client));
        bytes
    };
    own.chunks(most).map(datagram).collect()
}

/// `None`: it is of another version, or damaged.
pub fn decode(bytes: &[u8]) -> Option<Said> {
    let [VERSION, kind, rest @ ..] = bytes else { return None };
    match kind {
        1 | 2 | 4 => {
            let (group, rest) = rest.split_first_chunk::<4>()?;
            let word = match (kind, rest) {
                (1, rest) => {
                    let age = u32::from_be_bytes(rest.try_into().ok()?);
                    Word::Draining { age: Duration::from_millis(age.into()) }
                }
                (2, []) => Word::Drained,
                (4, []) => Word::Took,
                _ => return None,
            };
            Some(Said::Group(u32::from_be_bytes(*group), word))
        }
        3 => {
            let (family, mut rest) = rest.split_first()?;
            let v4 = match family {
                4 => true,
                6 => false,
                _ => return None,
            };
            let at = take(&mut rest, v4)?;
            let (count, mut rest) = rest.split_first_chunk::<2>()?;
            let count = usize::from(u16::from_be_bytes(*count));
            if rest.len() != count * if v4 { 6 } else { 18 } {
                return None;
            }
            let clients = std::iter::from_fn(|| take(&mut rest, v4)).collect();
            Some(Said::Clients { at, clients })
        }
        _ => None,
    }
}

fn put(bytes: &mut Vec<u8>, at: &SocketAddr) {
    bytes.extend(at.port().to_be_bytes());
    match at.ip() {
        IpAddr::V4(ip) => bytes.extend(ip.octets()),
        IpAddr::V6(ip) => bytes.extend(ip.octets()),
    }
}

fn take(bytes: &mut &[u8], v4: bool) -> Option<SocketAddr> {
    let (port, rest) = bytes.split_first_chunk::<2>()?;
    let (ip, rest) = match v4 {
        true => {
            let (ip, rest) = rest.split_first_chunk::<4>()?;
            (IpAddr::V4(Ipv4Addr::from(*ip)), rest)
        }
        false => {
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            (IpAddr::V6(Ipv6Addr::from(*ip)), rest)
        }
    };
    *bytes = rest;
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}
