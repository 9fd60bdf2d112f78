//! The chunked transfer coding (RFC 9112 section 7.1), checked byte by byte while it passes through.

use std::ops::Range;

use super::refusal::{Refusal, Status};

/// Most bytes of chunk extensions in one body, and of its trailer section.
const MOST_EXTRA: u32 = 8192;
/// Most digits of a chunk size: more do not fit into 64 bits.
const MOST_DIGITS: u8 = 16;

/// A decoder that remembers where it is; input may come in pieces of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunked {
    state: State,
    extra: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    SizeFeed { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerFeed,
    EndFeed,
    Done,
}

/// The bytes are not a chunked body, or more than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotChunked(pub Refusal);

const fn wrong(reason: &'static str) -> NotChunked {
    NotChunked(Refusal::bad(reason))
}

/// What was taken of some bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// How many belong to the body.
    pub used: usize,
    /// Which of them are lines of trailer fields; empty: none.
    pub trailers: Range<usize>,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunked {
    /// At the start of a body.
    pub const fn new() -> Self {
        Self { state: State::Size { size: 0, digits: 0 }, extra: 0 }
    }

    /// Whether the last chunk and the trailer section were seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes bytes; returns how many belong to this body. Each run of data is given to `data`.
    ///
    /// # Errors
    /// When the framing is wrong. The decoder must not be used after that.
    pub fn feed(&mut self, input: &[u8], data: impl FnMut(&[u8])) -> Result<usize, NotChunked> {
        self.feed_all(input, data).map(|fed| fed.used)
    }

    /// The same; tells also which bytes are lines of trailer fields. They follow each other.
    ///
    /// # Errors
    /// When the framing is wrong. The decoder must not be used after that.
    pub fn feed_all(&mut self, input: &[u8], mut data: impl FnMut(&[u8])) -> Result<Fed, NotChunked> {
        let mut at = 0;
        let mut trailers: Option<Range<usize>> = None;
        while let Some(&byte) = input.get(at) {
            if let State::Data { left } = self.state {
                let rest = input.get(at..).unwrap_or_default();
                let run = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                data(rest.get(..run).unwrap_or_default());
                at += run;
                let left = left - run as u64;
                self.state = if left == 0 { State::DataReturn } else { State::Data { left } };
                continue;
            }
            if self.state == State::Done {
                break;
            }
            if self.is_in_trailer_line(byte) {
                trailers.get_or_insert(at..at).end = at + 1;
            }
            self.state = self.next(byte)?;
            at += 1;
        }
        Ok(Fed { used: at, trailers: trailers.unwrap_or_default() })
    }

    /// Whether all trailer fields were seen, and only the end of the section may be missing.
    pub(super) const fn has_all_trailers(&self) -> bool {
        matches!(self.state, State::EndFeed | State::Done)
    }

    /// Whether the next byte belongs to the line of a trailer field.
    const fn is_in_trailer_line(&self, byte: u8) -> bool {
        match self.state {
            State::TrailerStart => byte != b'\r',
            State::TrailerName | State::TrailerValue | State::TrailerFeed => true,
            State::Size { .. }
            | State::Extension { .. }
            | State::SizeFeed { .. }
            | State::Data { .. }
            | State::DataReturn
            | State::DataFeed
            | State::EndFeed
            | State::Done => false,
        }
    }

    fn next(&mut self, byte: u8) -> Result<State, NotChunked> {
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == MOST_DIGITS {
                    return Err(wrong("a chunk size is too long"));
                }
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'f' => byte - b'a' + 10,
                    _ => byte - b'A' + 10,
                };
                State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(wrong("a chunk has no size")),
            (State::Size { size, .. }, b'\r') => State::SizeFeed { size },
            (State::Size { size, .. }, b';') => State::Extension { size },
            (State::Size { .. }, _) => return Err(wrong("a chunk size is not a hexadecimal number")),
            (State::Extension { size }, b'\r') => State::SizeFeed { size },
            (State::Extension { size }, _) => {
                self.count_extra(byte)?;
                State::Extension { size }
            }
            (State::SizeFeed { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeFeed { size }, b'\n') => State::Data { left: size },
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataReturn, _) => return Err(wrong("a chunk is longer than its size")),
            (State::DataFeed, b'\n') => State::Size { size: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::EndFeed,
            (State::TrailerStart, _) if super::fields::is_token(byte) => {
                self.count_extra(byte)?;
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerName, _) if super::fields::is_token(byte) => {
                self.count_extra(byte)?;
                State::TrailerName
            }
            (State::TrailerStart | State::TrailerName, _) => {
                return Err(wrong("a trailer name has a character that is not allowed there"));
            }
            (State::TrailerValue, b'\r') => State::TrailerFeed,
            (State::TrailerValue, _) => {
                self.count_extra(byte)?;
                State::TrailerValue
            }
            (State::TrailerFeed, b'\n') => State::TrailerStart,
            (State::EndFeed, b'\n') => State::Done,
            (State::SizeFeed { .. } | State::DataFeed | State::TrailerFeed | State::EndFeed, _) => {
                return Err(wrong("a carriage return stands alone"));
            }
            (State::Data { .. } | State::Done, _) => self.state,
        })
    }

    /// Extensions and trailers: no control characters, and not without end.
    fn count_extra(&mut self, byte: u8) -> Result<(), NotChunked> {
        self.extra += 1;
        if self.extra > MOST_EXTRA {
            let reason = "the chunk extensions or trailers are larger than 8 KiB";
            return Err(NotChunked(Refusal::new(Status::HeadTooLarge, reason)));
        }
        if (byte < 0x20 && byte != b'\t') || byte == 0x7f {
            return Err(wrong("a chunk extension or trailer has a control character"));
        }
        Ok(())
    }
}
