//! What directors tell each other about leases, in datagrams. The channel says who sent them and that nobody changed them.

use std::net::Ipv4Addr;

use relevo_model::cluster::Mac;

use super::lease::{Client, Lease, LeaseState, host_name};
use super::table::PARTS;

/// Most bytes of a datagram.
pub(super) const MOST_BYTES: usize = 1150;
/// The language of both.
const VERSION: u8 = 1;
/// Bytes before what is told.
const HEAD: usize = 10;

/// What a director tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// I am here, and this is what my table looks like.
    Hello {
        /// Counts what I wait for.
        nonce: u64,
        /// The last nonce of each other director.
        heard: Vec<(u32, u64)>,
        /// The table's digests.
        digests: Vec<u32>,
    },
    /// These leases there are.
    Leases {
        /// Somebody waits for them to be acknowledged.
        ask: bool,
        /// The leases.
        leases: Vec<Lease>,
    },
    /// What came of leases.
    Acks {
        /// Who asked.
        to: u32,
        /// Address, version, and whether it holds here.
        acks: Vec<(Ipv4Addr, u64, bool)>,
    },
}

/// A datagram: of which network, from whom, what.
pub(super) fn encode(network: u32, from: u32, word: &Word) -> Vec<u8> {
    let mut out = Vec::with_capacity(MOST_BYTES);
    out.push(VERSION);
    out.extend(network.to_be_bytes());
    out.extend(from.to_be_bytes());
    match word {
        Word::Hello { nonce, heard, digests } => {
            out.push(1);
            out.extend(nonce.to_be_bytes());
            out.push(u8::try_from(heard.len().min(32)).unwrap_or(32));
            for (origin, nonce) in heard.iter().take(32) {
                out.extend(origin.to_be_bytes());
                out.extend(nonce.to_be_bytes());
            }
            out.extend(digests.iter().flat_map(|digest| digest.to_be_bytes()));
        }
        Word::Leases { ask, leases } => {
            out.push(2);
            out.push(u8::from(*ask));
            for lease in leases {
                put(&mut out, lease);
            }
        }
        Word::Acks { to, acks } => {
            out.push(3);
            out.extend(to.to_be_bytes());
            for (ip, version, holds) in acks {
                out.extend(ip.octets());
                out.extend(version.to_be_bytes());
                out.push(u8::from(*holds));
            }
        }
    }
    out
}

/// Leases in as few datagrams as they fit in, at most `most`.
pub(super) fn packed<'a>(
    network: u32,
    from: u32,
    ask: bool,
    leases: impl Iterator<Item = &'a Lease>,
    most: usize,
) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    let (mut group, mut bytes) = (Vec::new(), HEAD + 1);
    for lease in leases {
        let size = size(lease);
        if bytes + size > MOST_BYTES {
            list.push(encode(network, from, &Word::Leases { ask, leases: std::mem::take(&mut group) }));
            bytes = HEAD + 1;
            if list.len() == most {
                return list;
            }
        }
        bytes += size;
        group.push(lease.clone());
    }
    if !group.is_empty() {
        list.push(encode(network, from, &Word::Leases { ask, leases: group }));
    }
    list
}

/// Reads a datagram of this network: from whom, what. `None`: it is of another one, or makes no sense.
pub(super) fn decode(network: u32, bytes: &[u8]) -> Option<(u32, Word)> {
    let mut rest = bytes;
    if number::<1>(&mut rest)? != [VERSION] || u32::from_be_bytes(number(&mut rest)?) != network {
        return None;
    }
    let from = u32::from_be_bytes(number(&mut rest)?);
    let word = match number::<1>(&mut rest)? {
        [1] => {
            let nonce = u64::from_be_bytes(number(&mut rest)?);
            let [count] = number(&mut rest)?;
            let mut heard = Vec::new();
            for _ in 0..count.min(32) {
                heard.push((u32::from_be_bytes(number(&mut rest)?), u64::from_be_bytes(number(&mut rest)?)));
            }
            let mut digests = Vec::with_capacity(PARTS);
            for _ in 0..PARTS {
                digests.push(u32::from_be_bytes(number(&mut rest)?));
            }
            Word::Hello { nonce, heard, digests }
        }
        [2] => {
            let [ask] = number(&mut rest)?;
            let mut leases = Vec::new();
            while !rest.is_empty() {
                leases.push(lease(&mut rest)?);
            }
            Word::Leases { ask: ask == 1, leases }
        }
        [3] => {
            let to = u32::from_be_bytes(number(&mut rest)?);
            let mut acks = Vec::new();
            while !rest.is_empty() {
                let ip = Ipv4Addr::from(number::<4>(&mut rest)?);
                let version = u64::from_be_bytes(number(&mut rest)?);
                acks.push((ip, version, number(&mut rest)? == [1]));
            }
            Word::Acks { to, acks }
        }
        _ => return None,
    };
    rest.is_empty().then_some((from, word))
}

fn number<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (value, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*value)
}

fn size(lease: &Lease) -> usize {
    4 + 8 + 4 + 1 + 8 + 6 + 1 + lease.client.as_bytes().len() + 1 + lease.name.len()
}

fn put(out: &mut Vec<u8>, lease: &Lease) {
    out.extend(lease.ip.octets());
    out.extend(lease.version.to_be_bytes());
    out.extend(lease.origin.to_be_bytes());
    out.push(match lease.state {
        LeaseState::Bound => 1,
        LeaseState::Free => 2,
        LeaseState::Declined => 3,
    });
    out.extend(lease.until.to_be_bytes());
    out.extend(lease.mac.0);
    for text in [lease.client.as_bytes(), lease.name.as_bytes()] {
        // Neither is longer than 63.
        out.push(u8::try_from(text.len()).unwrap_or_default());
        out.extend(text);
    }
}

fn lease(rest: &mut &[u8]) -> Option<Lease> {
    let ip = Ipv4Addr::from(number::<4>(rest)?);
    let version = u64::from_be_bytes(number(rest)?);
    let origin = u32::from_be_bytes(number(rest)?);
    let state = match number(rest)? {
        [1] => LeaseState::Bound,
        [2] => LeaseState::Free,
        [3] => LeaseState::Declined,
        _ => return None,
    };
    let until = u64::from_be_bytes(number(rest)?);
    let mac = Mac(number(rest)?);
    let client = Client::from_bytes(text(rest)?)?;
    let name = match text(rest)? {
        [] => String::new(),
        name => host_name(std::str::from_utf8(name).ok()?)?,
    };
    Some(Lease { ip, version, origin, state, until, client, mac, name })
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [length] = number(rest)?;
    let (text, after) = rest.split_at_checked(usize::from(length))?;
    *rest = after;
    Some(text)
}
