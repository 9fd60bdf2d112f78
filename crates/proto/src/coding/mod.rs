//! Which answers are compressed, how, and what their heads say then (RFC 9110 sections 8.4 and 12.5.3).
//!
//! Pure: heads are bytes with CRLF at each line's end and an empty line at the end. Compressing is not done here.

mod accept;
#[cfg(test)]
mod tests;

pub use accept::choose;
use relevo_model::cluster::{Coding, Compression};

use crate::head::{elements, field, fields_start, has_directive, lines_from, only_field, status};

/// How the end of a transformed body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It comes in chunks.
    Chunks,
    /// The connection ends: the client speaks HTTP/1.0.
    Close,
    /// There is no body: the answer to HEAD.
    None,
}

/// The name of a coding in Accept-Encoding and Content-Encoding.
pub const fn name(coding: Coding) -> &'static str {
    match coding {
        Coding::Zstd => "zstd",
        Coding::Br => "br",
        Coding::Gzip => "gzip",
    }
}

/// Whether an answer may be compressed, for clients that accept it.
///
/// Not: an answer that has a coding or two types, that nobody may transform (RFC 9111 section 5.2.2.6), a part of something, one
/// whose content is signed with a digest (RFC 9530), and what is too short or of another type.
pub fn is_eligible(head: &[u8], config: &Compression) -> bool {
    let is_short = || {
        let length = field(head, b"content-length").and_then(|value| std::str::from_utf8(value).ok());
        length.is_some_and(|text| text.parse::<u64>().is_ok_and(|length| length < config.least))
    };
    let kept = |name: &[u8]| field(head, name).is_none();
    matches!(status(head), 200..=203)
        && only_field(head, b"content-type").is_some_and(|value| is_of(value, &config.types))
        && [
            &b"content-encoding"[..],
            b"content-range",
            b"content-digest",
            b"repr-digest",
            b"digest",
            b"content-md5",
        ]
        .into_iter()
        .all(kept)
        && !has_directive(head, "no-transform")
        && !is_short()
}

/// Whether a Content-Type is one of these.
fn is_of(value: &[u8], types: &[String]) -> bool {
    let found = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    types.iter().any(|wanted| match wanted.strip_suffix('*') {
        Some(kind) => {
            found.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
        }
        None => found.eq_ignore_ascii_case(wanted.as_bytes()),
    })
}

/// Writes an eligible answer's head again. Whatever the client accepts, it learns that others may get something else
/// (`Vary`); with a coding its length and ranges are unknown, and its bytes are not those of its entity tag any more.
pub fn rewrite(head: &[u8], coding: Option<(Coding, Ending)>, out: &mut Vec<u8>) {
    let start = fields_start(head);
    out.extend_from_slice(head.get(..start).unwrap_or_default());
    let mut varies = elements(head, "vary").any(|name| name == b"*" || is(name, "accept-encoding"));
    for line in lines_from(head, start) {
        let whole = head.get(line.start..line.end).unwrap_or_default();
        let is = |name: &str| line.is(head, name.as_bytes());
        if is("vary") && !varies {
            varies = true;
            out.extend_from_slice(head.get(line.start..line.value_end).unwrap_or_default());
            let separator: &[u8] = if line.value(head).is_empty() { b"" } else { b", " };
            out.extend_from_slice(separator);
            out.extend_from_slice(b"Accept-Encoding\r\n");
            continue;
        }
        let Some((_, ending)) = coding else {
            out.extend_from_slice(whole);
            continue;
        };
        // Trailers do not come through, so nobody is told of them.
        if ["content-length", "transfer-encoding", "accept-ranges", "trailer"].into_iter().any(is) {
            continue;
        }
        if is("connection") && ending == Ending::Close {
            continue;
        }
        if is("etag") && line.value(head).starts_with(b"\"") {
            // RFC 9110 section 8.8.1: a strong one stands for these very bytes.
            out.extend_from_slice(b"ETag: W/");
            out.extend_from_slice(line.value(head));
            out.extend_from_slice(b"\r\n");
            continue;
        }
        out.extend_from_slice(whole);
    }
    if !varies {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
    if let Some((coding, ending)) = coding {
        out.extend_from_slice(format!("Content-Encoding: {}\r\n", name(coding)).as_bytes());
        out.extend_from_slice(match ending {
            Ending::Chunks => b"Transfer-Encoding: chunked\r\n",
            Ending::Close => b"Connection: close\r\n",
            Ending::None => b"",
        });
    }
    out.extend_from_slice(b"\r\n");
}

fn is(name: &[u8], wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted.as_bytes())
}
