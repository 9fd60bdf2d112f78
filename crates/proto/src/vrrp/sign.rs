//! Signed adverts: an HMAC-SHA256 behind the message, with a key's number and a time that only grows.
//!
//! ```text
//!  0        1        2        3
//! +--------+--------+-----------------+
//! | type 1 | key id | zero            |    behind the VRRP message (version 2: behind its authentication data)
//! +--------+--------+-----------------+
//! | seconds since 1970, UTC           |
//! +-----------------+-----------------+
//! | 1/65536 seconds | counter         |
//! +-----------------+-----------------+
//! | HMAC-SHA256, the first 16 bytes   |
//! +-----------------------------------+
//! ```
//!
//! The HMAC is over 20 bytes that are not sent (4 or 6, version, VRID, zero, source address padded with zeros to 16 bytes),
//! the message with its checksum as zero, and the trailer with zeros for the HMAC. It is the form of keepalived 2.4's
//! `auth_hmac`; the test vectors here are those that it is tested with. In IPv6 the checksum covers the trailer, in IPv4 it
//! does not, nor a pseudo-header.
//!
//! **Replay.** A receiver takes a time only if it is within [`WINDOW`] of its own clock, and later than the last one of the
//! same source. So what somebody recorded is worth nothing, also to a director that has just started. The price: clocks of the
//! directors that differ by more than the window silence one another.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use relevo_model::cluster::{HmacMode, VrrpVersion};
use sha2::Sha256;

use super::packet::{DropReason, version_number};

/// Bytes behind a signed message.
pub const TRAILER: usize = 28;
/// How much the clocks of two directors may differ.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Most keys in a file.
pub const MOST_KEYS: usize = 16;

const TYPE_SHA256: u8 = 1;
const SIGNED: usize = 12;
const LEAST_BYTES: usize = 32;
const MOST_BYTES: usize = 64;
/// Most sources that a router remembers.
const MOST_SOURCES: usize = 32;

/// A key with its number.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// 1 to 255; travels in clear.
    pub id: u8,
    /// 32 to 64 bytes.
    pub secret: Vec<u8>,
}

/// Never shows the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.id)
    }
}

/// How a group's adverts are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// The first one signs, all of them verify.
    pub keys: Vec<Key>,
    /// What is signed, and what is believed.
    pub mode: HmacMode,
    /// The wall clock (since 1970, UTC) at the machine's time zero; see [`super::Input::Wall`].
    pub wall: Duration,
}

/// Why a key file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A line is wrong.
    #[error("line {line}: {what}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// There is no key in it.
    #[error(
        "there is no key in it: write a line `1 KEY`, with 32 to 64 bytes in hexadecimal digits or base64"
    )]
    Empty,
}

/// Reads a key file: lines `ID KEY`, where the key is hexadecimal or base64; `#` begins a comment.
///
/// # Errors
/// The first thing that is wrong.
pub fn keys(text: &str) -> Result<Vec<Key>, KeyError> {
    let mut keys: Vec<Key> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let (Some(id), secret, rest) = (words.next(), words.next(), words.next()) else { continue };
        let wrong = |what| KeyError::Line { line: index + 1, what };
        let id = id.parse().ok().filter(|id| *id > 0).ok_or(wrong("the number of a key is 1 to 255"))?;
        let secret = secret.filter(|_| rest.is_none()).ok_or(wrong("a line is `ID KEY`"))?;
        let secret = bytes_of(secret).ok_or(wrong("a key is hexadecimal digits or base64"))?;
        if !(LEAST_BYTES..=MOST_BYTES).contains(&secret.len()) {
            return Err(wrong("a key has 32 to 64 bytes"));
        }
        if keys.iter().any(|key| key.id == id) {
            return Err(wrong("this number is there twice"));
        }
        if keys.len() == MOST_KEYS {
            return Err(wrong("more than 16 keys"));
        }
        keys.push(Key { id, secret });
    }
    if keys.is_empty() { Err(KeyError::Empty) } else { Ok(keys) }
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && text.len().is_multiple_of(2) && text.len() >= 2 * LEAST_BYTES {
        let pairs = text.as_bytes().chunks_exact(2);
        let pairs = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        return pairs.collect();
    }
    Base64::decode_vec(text).ok()
}

/// A wall clock as it travels: seconds, 1/65536 seconds, and a counter of zero.
pub fn sequence(wall: Duration) -> u64 {
    // The seconds wrap in 2106; they are compared as serial numbers (RFC 1982).
    let fraction = (u64::from(wall.subsec_nanos()) << 16) / 1_000_000_000;
    (wall.as_secs() << 32) | (fraction << 16)
}

/// Puts the trailer behind a message whose checksum is zero.
pub(super) fn sign(key: &Key, version: VrrpVersion, source: IpAddr, message: &mut Vec<u8>, sequence: u64) {
    let mut trailer = [0; TRAILER];
    trailer[0] = TYPE_SHA256;
    trailer[1] = key.id;
    trailer[4..SIGNED].copy_from_slice(&sequence.to_be_bytes());
    let code = code(key, version, source, message, &trailer);
    if let Some(code) = code {
        trailer[SIGNED..].copy_from_slice(&code);
    }
    message.extend(trailer);
}

/// Looks at a trailer; what it says of the time.
pub(super) fn verify(
    keys: &[Key],
    version: VrrpVersion,
    source: IpAddr,
    message: &[u8],
    trailer: &[u8; TRAILER],
) -> Result<u64, DropReason> {
    let [kind, id, zero1, zero2, rest @ ..] = *trailer;
    if kind != TYPE_SHA256 || zero1 != 0 || zero2 != 0 {
        return Err(DropReason::Trailer);
    }
    let key = keys.iter().find(|key| key.id == id).ok_or(DropReason::KeyId(id))?;
    let mut zeroed = *trailer;
    zeroed[SIGNED..].fill(0);
    let mut bare = message.to_vec();
    if let Some(checksum) = bare.get_mut(6..8) {
        checksum.fill(0);
    }
    let code = code(key, version, source, &bare, &zeroed).ok_or(DropReason::Signature)?;
    // The time it takes must not tell how much of it is right.
    let differs = code.iter().zip(&trailer[SIGNED..]).fold(0, |sum, (a, b)| sum | (a ^ b));
    if differs != 0 {
        return Err(DropReason::Signature);
    }
    let time = rest.first_chunk().copied().unwrap_or_default();
    Ok(u64::from_be_bytes(time))
}

fn code(
    key: &Key,
    version: VrrpVersion,
    source: IpAddr,
    message: &[u8],
    trailer: &[u8; TRAILER],
) -> Option<[u8; 16]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.secret).ok()?;
    let mut bound = [0; 20];
    bound[1] = version_number(version);
    bound[2] = message.get(1).copied().unwrap_or(0);
    match source {
        IpAddr::V4(ip) => {
            bound[0] = 4;
            bound[4..8].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bound[0] = 6;
            bound[4..].copy_from_slice(&ip.octets());
        }
    }
    mac.update(&bound);
    mac.update(message);
    mac.update(trailer);
    mac.finalize().into_bytes().first_chunk().copied()
}

/// The last time heard from each source.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    marks: BTreeMap<IpAddr, u64>,
}

impl Heard {
    /// Takes a time that was signed, or says why not. `wall`: our own clock.
    pub(super) fn take(&mut self, source: IpAddr, sequence: u64, wall: Duration) -> Result<(), DropReason> {
        let now = self::sequence(wall);
        let off = difference(sequence, now);
        if off.unsigned_abs() > WINDOW.as_secs() << 32 {
            return Err(DropReason::Clock(i32::try_from(off >> 32).unwrap_or(i32::MAX)));
        }
        if let Some(mark) = self.marks.get(&source).copied() {
            // A mark that our own clock has not reached for so long comes from a clock that was wrong: ours or theirs.
            let is_stranded = difference(mark, now) > (WINDOW.as_secs() << 32).cast_signed();
            if !is_stranded && difference(sequence, mark) <= 0 {
                return Err(DropReason::Replay);
            }
        } else if self.marks.len() >= MOST_SOURCES {
            let oldest = self.marks.iter().min_by_key(|(_, mark)| difference(**mark, now));
            if let Some(oldest) = oldest.map(|(source, _)| *source) {
                self.marks.remove(&oldest);
            }
        }
        self.marks.insert(source, sequence);
        Ok(())
    }
}

/// The next time to sign with: that of the clock, but always later than the last one.
pub(super) fn next(last: u64, wall: Duration) -> u64 {
    let now = sequence(wall);
    let ahead = difference(last, now);
    // A clock that was set back far begins anew: receivers would refuse the old times.
    if ahead < 0 || ahead > (WINDOW.as_secs() << 32).cast_signed() { now } else { last.wrapping_add(1) }
}

const fn difference(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b).cast_signed()
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
