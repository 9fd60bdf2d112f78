//! Keys of the channel: 32 random bytes, written as 64 hexadecimal digits.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Most keys in a file.
const MOST: usize = 8;

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// The keys of a file: the first one signs, each one is believed. So a key is changed without a gap: first the new one is
/// added behind on every node, then put first, then the old one is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// Why a text has no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no line with a key.
    #[error("there is no key in it; `relevo key` prints one")]
    Empty,
    /// A line is not a key.
    #[error("line {0} is not a key: a key has 64 hexadecimal digits; `relevo key` prints one")]
    Line(usize),
    /// There are too many.
    #[error("there are more than {MOST} keys in it")]
    TooMany,
}

impl Key {
    /// A key of these random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let value = digit(pair[0])? * 16 + digit(pair[1])?;
            *byte = u8::try_from(value).ok()?;
        }
        Some(Self(bytes))
    }

    /// Says which key it is without saying anything about it.
    pub(super) fn id(&self) -> [u8; 4] {
        let digest = Sha256::new().chain_update(b"relevo peers key").chain_update(self.0).finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    pub(super) fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // HMAC takes keys of any length; the other arm is not reached.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| Hmac::new(&[0; 64].into()));
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Keys {
    /// Reads a key file: a key a line; empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// See [`KeyError`]. It says nothing about what is in the file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            keys.push(Key::from_hex(line).ok_or(KeyError::Line(number + 1))?);
            if keys.len() > MOST {
                return Err(KeyError::TooMany);
            }
        }
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self(keys)) }
    }

    /// Keys of which there is one.
    pub fn of(key: Key) -> Self {
        Self(vec![key])
    }

    pub(super) fn first(&self) -> Option<&Key> {
        self.0.first()
    }

    pub(super) fn find(&self, id: [u8; 4]) -> Option<&Key> {
        self.0.iter().find(|key| key.id() == id)
    }
}
