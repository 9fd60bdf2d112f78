//! Where a body ends, from the fields that say so. Two readers that differ about it are how requests are smuggled.

use super::body::Body;
use super::chunked::Chunked;
use super::fields::elements;
use super::refusal::{Refusal, Status};
use super::request_line::Version;

/// What the framing fields say together (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
}

impl Framing {
    /// Only digits, and only once: even equal repetitions are refused, though RFC 9110 section 8.6 lets them pass.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let mut length: u64 = 0;
        for byte in value {
            length = match byte {
                b'0'..=b'9' => length
                    .checked_mul(10)
                    .and_then(|length| length.checked_add(u64::from(byte - b'0')))
                    .ok_or("the Content-Length is too large")?,
                _ => return Err("the Content-Length is not a number"),
            };
        }
        if value.is_empty() || self.length.replace(length).is_some() {
            return Err("there is not exactly one Content-Length");
        }
        Ok(())
    }

    /// RFC 9112 section 6.1: chunked once, as the last; other codings are not implemented.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.chunked, true) {
            return Err(Refusal::bad("more than one Transfer-Encoding"));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            return Ok(());
        }
        let is_chunked = |element: &&[u8]| element.eq_ignore_ascii_case(b"chunked");
        let last = elements(value).last().is_some_and(|element| is_chunked(&element));
        if last && elements(value).count() > 1 && elements(value).filter(is_chunked).count() == 1 {
            return Err(Refusal::new(
                Status::NotImplemented,
                "chunked is the only transfer coding spoken here",
            ));
        }
        Err(Refusal::bad("the Transfer-Encoding is not chunked"))
    }

    /// Of a request (RFC 9112 section 6.3, stricter: both together are refused).
    pub(super) fn request_body(self, version: Version) -> Result<Body, Refusal> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refusal::bad("both Transfer-Encoding and Content-Length")),
            (true, None) if version == Version::V10 => Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding")),
            (true, None) => Ok(Body::Chunked(Chunked::new())),
            (false, length) => Ok(Body::Length(length.unwrap_or(0))),
        }
    }
}
