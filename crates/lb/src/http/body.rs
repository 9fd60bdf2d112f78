//! How a message's body ends (RFC 9112 section 6).

use super::chunked::{Chunked, NotChunked};

/// The part of a body that has not been seen yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes more; 0: there is no body, or it is complete.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// All until the connection closes (answers only).
    UntilClose,
}

impl Body {
    /// No body.
    pub const NONE: Self = Self::Length(0);

    /// Whether it is complete.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Takes bytes; returns how many of them belong to this body. They can be passed on as they are.
    ///
    /// # Errors
    /// When chunks are framed wrongly.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, NotChunked> {
        self.take_data(input, |_| {})
    }

    /// The same; `data` gets the content without any framing.
    ///
    /// # Errors
    /// When chunks are framed wrongly.
    pub fn take_data(&mut self, input: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, NotChunked> {
        match self {
            Self::Length(left) => {
                let run = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= run as u64;
                data(input.get(..run).unwrap_or_default());
                Ok(run)
            }
            Self::Chunked(chunked) => chunked.feed(input, data),
            Self::UntilClose => {
                data(input);
                Ok(input.len())
            }
        }
    }
}
