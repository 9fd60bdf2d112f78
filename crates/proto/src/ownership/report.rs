//! What a publication looks like: a version, a round, and records, each of which stands for itself. Numbers are big-endian.
//!
//! Names are told by the first four bytes of their SHA-256: every director has the same file, and knows which there are.

use sha2::{Digest, Sha256};

use super::Verdict;
use crate::peers::MOST_BYTES;
use crate::vrrp::State;

const VERSION: u8 = 1;
const HEAD: usize = 9;

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Whether the sender hears a node on a network.
    Path {
        /// The node.
        node: u32,
        /// The network.
        network: u32,
        /// Whether.
        heard: bool,
    },
    /// What the sender is for a group.
    Group {
        /// The group.
        group: u32,
        /// The state.
        state: State,
        /// Active, and giving it away.
        resigning: bool,
        /// The priority of its adverts.
        priority: u8,
        /// For how long it is in that state, milliseconds.
        age: u32,
        /// Who is active as it sees it; 0: not known.
        owner: u32,
    },
    /// Whose adverts the sender hears for a group on a network.
    Adverts {
        /// The group.
        group: u32,
        /// The network.
        network: u32,
        /// Whose.
        node: u32,
    },
    /// The sender's hardware address for a group on a network.
    Hardware {
        /// The group.
        group: u32,
        /// The network.
        network: u32,
        /// The address.
        hardware: [u8; 6],
    },
    /// What the sender found when it asked an address.
    Verdict {
        /// The address.
        address: u32,
        /// What it found.
        verdict: Verdict,
    },
}

/// A name in a publication; never 0.
pub fn id(name: &str) -> u32 {
    let digest = Sha256::digest(name.as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]).max(1)
}

/// Writes records into as many publications as it takes.
pub(super) fn encode(round: u64, records: &[Record]) -> Vec<Vec<u8>> {
    let head = || {
        let mut bytes = vec![VERSION];
        bytes.extend(round.to_be_bytes());
        bytes
    };
    let mut list = vec![head()];
    for record in records {
        let bytes = record.encode();
        if let Some(last) = list.last_mut().filter(|last| last.len() + bytes.len() <= MOST_BYTES) {
            last.extend(bytes);
        } else {
            let mut next = head();
            next.extend(bytes);
            list.push(next);
        }
    }
    list
}

/// Reads a publication: its round and its records. `None`: it is of another version, or not one. Records of a kind that is
/// not known end it: a newer version may say more.
pub fn decode(bytes: &[u8]) -> Option<(u64, Vec<Record>)> {
    let (head, mut rest) = bytes.split_first_chunk::<HEAD>()?;
    if head[0] != VERSION {
        return None;
    }
    let (_, round) = head.split_last_chunk::<8>()?;
    let mut records = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        let mut from = Reader(after);
        let Some(record) = from.record(*kind)? else { break };
        records.push(record);
        rest = from.0;
    }
    Some((u64::from_be_bytes(*round), records))
}

impl Record {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16);
        match self {
            Self::Path { node, network, heard } => {
                bytes.push(1);
                bytes.extend(node.to_be_bytes());
                bytes.extend(network.to_be_bytes());
                bytes.push(u8::from(*heard));
            }
            Self::Group { group, state, resigning, priority, age, owner } => {
                bytes.push(2);
                bytes.extend(group.to_be_bytes());
                let state = match state {
                    State::Init => 0,
                    State::Backup => 1,
                    State::Active => 2,
                    State::Fault => 3,
                };
                bytes.push(state | u8::from(*resigning) << 7);
                bytes.push(*priority);
                bytes.extend(age.to_be_bytes());
                bytes.extend(owner.to_be_bytes());
            }
            Self::Adverts { group, network, node } => {
                bytes.push(3);
                for number in [group, network, node] {
                    bytes.extend(number.to_be_bytes());
                }
            }
            Self::Hardware { group, network, hardware } => {
                bytes.push(4);
                bytes.extend(group.to_be_bytes());
                bytes.extend(network.to_be_bytes());
                bytes.extend(hardware);
            }
            Self::Verdict { address, verdict } => {
                bytes.push(5);
                bytes.extend(address.to_be_bytes());
                let (kind, hardware) = match verdict {
                    Verdict::Unknown => (0, [0; 6]),
                    Verdict::Right => (1, [0; 6]),
                    Verdict::Other(hardware) => (2, *hardware),
                    Verdict::Silent => (3, [0; 6]),
                };
                bytes.push(kind);
                bytes.extend(hardware);
            }
        }
        bytes
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// `Some(None)`: a kind that is not known.
    fn record(&mut self, kind: u8) -> Option<Option<Record>> {
        let record = match kind {
            1 => Record::Path { node: self.number()?, network: self.number()?, heard: self.byte()? != 0 },
            2 => {
                let group = self.number()?;
                let state = self.byte()?;
                Record::Group {
                    group,
                    resigning: state & 0x80 != 0,
                    state: match state & 0x7f {
                        0 => State::Init,
                        1 => State::Backup,
                        2 => State::Active,
                        3 => State::Fault,
                        _ => return None,
                    },
                    priority: self.byte()?,
                    age: self.number()?,
                    owner: self.number()?,
                }
            }
            3 => Record::Adverts { group: self.number()?, network: self.number()?, node: self.number()? },
            4 => Record::Hardware { group: self.number()?, network: self.number()?, hardware: self.take()? },
            5 => {
                let (address, kind, hardware) = (self.number()?, self.byte()?, self.take()?);
                let verdict = match kind {
                    0 => Verdict::Unknown,
                    1 => Verdict::Right,
                    2 => Verdict::Other(hardware),
                    3 => Verdict::Silent,
                    _ => return None,
                };
                Record::Verdict { address, verdict }
            }
            _ => return Some(None),
        };
        Some(Some(record))
    }
}
