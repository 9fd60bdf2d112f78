//! What a datagram looks like. Numbers are big-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `RLV1` |
//! | 4 | which key |
//! | 8 | boot number of the sender |
//! | 8 | boot number of the receiver, as the sender knows it; 0: not known |
//! | 8 | number of the datagram |
//! | 8 | when it was sent, nanoseconds of the sender's clock |
//! | 1 | topic |
//! | 1 | length of the sender's name, 1 to 63 |
//! | n | the sender's name |
//! | m | what the topic says, at most 1200 |
//! | 32 | HMAC-SHA256 over all before, the receiver's name and the network's name |

use std::fmt;

use hmac::Mac;
use relevo_model::Time;

use super::{Key, Keys, MOST_BYTES};

const MAGIC: [u8; 4] = *b"RLV1";
const HEAD: usize = 42;
const TAG: usize = 32;
/// Longest name of a node.
const NAME: usize = 63;

/// What stands before a topic's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) boot: u64,
    pub(super) echo: u64,
    pub(super) number: u64,
    pub(super) sent: Time,
    pub(super) topic: u8,
    pub(super) from: &'a str,
}

/// Why a datagram was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// It is not of this channel, or shorter or longer than any.
    Form,
    /// It was signed with a key that this node does not have.
    Key,
    /// The signature is wrong: another key, another network, another receiver, or somebody changed it.
    Signature,
    /// The sender is not a director of this cluster file, or this node itself.
    Sender,
    /// It came from an address that is not the sender's on this network.
    Address,
    /// It is of an earlier run of the sender.
    OldRun,
    /// The sender does not know this run of ours: it must be greeted, or does not hear us.
    Unacquainted,
    /// It was there before, or is older than the window.
    Again,
    /// The network kept it back.
    Late,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Form => "it is not a datagram of this channel",
            Self::Key => "it is signed with a key that this node does not have",
            Self::Signature => "its signature is wrong",
            Self::Sender => "its sender is not another director of the cluster file",
            Self::Address => "it came from an address that is not its sender's",
            Self::OldRun => "it is of an earlier run of its sender",
            Self::Unacquainted => "its sender has not heard this node yet",
            Self::Again => "it was there before",
            Self::Late => "it was kept back on its way",
        })
    }
}

/// Where a datagram belongs; a part of what is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) to: &'a str,
    pub(super) network: &'a str,
}

pub(super) fn encode(key: &Key, head: &Head<'_>, way: Way<'_>, bytes: &[u8]) -> Vec<u8> {
    debug_assert!(bytes.len() <= MOST_BYTES, "a topic says at most {MOST_BYTES} bytes");
    debug_assert!((1..=NAME).contains(&head.from.len()), "the reader has checked names");
    let bytes = &bytes[..bytes.len().min(MOST_BYTES)];
    let mut datagram = Vec::with_capacity(HEAD + head.from.len() + bytes.len() + TAG);
    datagram.extend(MAGIC);
    datagram.extend(key.id());
    for number in [head.boot, head.echo, head.number, head.sent.as_nanos()] {
        datagram.extend(number.to_be_bytes());
    }
    datagram.push(head.topic);
    datagram.push(u8::try_from(head.from.len()).unwrap_or(u8::MAX));
    datagram.extend(head.from.as_bytes());
    datagram.extend(bytes);
    let tag = key.mac(&[&datagram, way.to.as_bytes(), way.network.as_bytes()]).finalize().into_bytes();
    datagram.extend(tag);
    datagram
}

pub(super) fn decode<'a>(
    keys: &Keys,
    way: Way<'_>,
    datagram: &'a [u8],
) -> Result<(Head<'a>, &'a [u8]), DropReason> {
    if datagram.len() > HEAD + NAME + MOST_BYTES + TAG {
        return Err(DropReason::Form);
    }
    let (signed, tag) = datagram.split_last_chunk::<TAG>().ok_or(DropReason::Form)?;
    let (fixed, rest) = signed.split_first_chunk::<HEAD>().ok_or(DropReason::Form)?;
    let name_length = usize::from(fixed[41]);
    let (name, bytes) = rest.split_at_checked(name_length).ok_or(DropReason::Form)?;
    let from = std::str::from_utf8(name).map_err(|_| DropReason::Form)?;
    if fixed[..4] != MAGIC || !(1..=NAME).contains(&name_length) || bytes.len() > MOST_BYTES {
        return Err(DropReason::Form);
    }
    let key = keys.find([fixed[4], fixed[5], fixed[6], fixed[7]]).ok_or(DropReason::Key)?;
    let mac = key.mac(&[signed, way.to.as_bytes(), way.network.as_bytes()]);
    mac.verify_slice(tag).map_err(|_| DropReason::Signature)?;
    let number = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&fixed[at..at + 8]);
        u64::from_be_bytes(word)
    };
    let head = Head {
        boot: number(8),
        echo: number(16),
        number: number(24),
        sent: Time::from_nanos(number(32)),
        topic: fixed[40],
        from,
    };
    Ok((head, bytes))
}
