//! Trailer sections: what may stand behind a body, and leaving out the rest (RFC 9110 section 6.5.1).
//!
//! Many programs put trailer fields among the header fields, which were looked at long before. What decides about routing,
//! framing, users or caching must not come that late, and neither must what rules have set or deleted.

use std::borrow::Cow;

use super::body::Body;
use super::fields::{Field, Fields, MOST_FIELDS};
use super::hop::{Known, known};
use super::refusal::{Refusal, Status};

const TOO_MANY: Refusal = Refusal::new(Status::HeadTooLarge, "more than 128 trailer fields");

/// Fields that have no place there, besides those for one hop: routing, authentication, controls and conditions of
/// requests, data that says how an answer is used, and how content is understood.
const NEVER: [&str; 47] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "age",
    "authentication-info",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "date",
    "expires",
    "forwarded",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "trailer",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-http-method-override",
    "x-real-ip",
    "x-original-url",
];

/// Whether a field may stand in a trailer section.
pub(crate) fn may_trail(name: &[u8]) -> bool {
    let forwarded = name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"));
    known(name) == Known::Other
        && !forwarded
        && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
}

/// The trailers of one body on its way. They are held until they are complete; without any this is nothing.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    held: Vec<u8>,
}

impl Trailers {
    /// Takes what belongs to a body: how many bytes do, and what goes on of them. Each run of content is given to `data`;
    /// `keep` tells whether a trailer field of a name that may be there goes on.
    ///
    /// # Errors
    /// When chunks are framed wrongly, or there are too many trailers.
    pub(super) fn take<'a>(
        &mut self,
        body: &mut Body,
        input: &'a [u8],
        data: impl FnMut(&[u8]),
        keep: impl Fn(&[u8]) -> bool,
    ) -> Result<(usize, Cow<'a, [u8]>), Refusal> {
        let Body::Chunked(chunked) = body else {
            let used = body.take_data(input, data).map_err(|wrong| wrong.0)?;
            return Ok((used, Cow::Borrowed(input.get(..used).unwrap_or_default())));
        };
        let fed = chunked.feed_all(input, data).map_err(|wrong| wrong.0)?;
        let part = |from: usize, to: usize| input.get(from..to).unwrap_or_default();
        if fed.trailers.is_empty() && self.held.is_empty() {
            return Ok((fed.used, Cow::Borrowed(part(0, fed.used))));
        }
        self.held.extend_from_slice(part(fed.trailers.start, fed.trailers.end));
        let before = part(0, fed.trailers.start);
        if !chunked.has_all_trailers() {
            return Ok((fed.used, Cow::Borrowed(before)));
        }
        let mut out = before.to_vec();
        write_allowed(std::mem::take(&mut self.held), keep, &mut out)?;
        out.extend_from_slice(part(fed.trailers.end, fed.used));
        Ok((fed.used, Cow::Owned(out)))
    }
}

/// Writes the field lines that may be there.
fn write_allowed(mut lines: Vec<u8>, keep: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) -> Result<(), Refusal> {
    lines.extend_from_slice(b"\r\n");
    let mut fields = Fields::default();
    // Each line was found to be one.
    fields.parse(&lines, 0).map_err(
        |refusal| {
            if fields.list().len() == MOST_FIELDS { TOO_MANY } else { refusal }
        },
    )?;
    let allowed = |field: &&Field| may_trail(field.name(&lines)) && keep(field.name(&lines));
    for field in fields.list().iter().filter(allowed) {
        out.extend_from_slice(lines.get(field.start as usize..field.end as usize).unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::chunked::Chunked;
    use super::*;

    /// What goes on of a body that comes in pieces of this size.
    fn passed(input: &[u8], size: usize) -> Result<(Vec<u8>, usize), Refusal> {
        let (mut trailers, mut body) = (Trailers::default(), Body::Chunked(Chunked::new()));
        let (mut out, mut used) = (Vec::new(), 0);
        for piece in input.chunks(size) {
            let (count, passed) = trailers.take(&mut body, piece, |_| {}, |name| name != b"x-mine")?;
            out.extend_from_slice(&passed);
            used += count;
            if count < piece.len() {
                break;
            }
        }
        assert!(body.is_done());
        Ok((out, used))
    }

    #[test]
    fn what_must_not_trail_is_left_out_however_it_is_cut() {
        let start = "3;x=y\r\nabc\r\n0;z\r\n";
        let cases = [
            ("", ""),
            ("X-Sum: 1\r\n", "X-Sum: 1\r\n"),
            ("Host: evil\r\n", ""),
            ("X-Sum: 1\r\nAuthorization: x\r\nX-Y:\r\n", "X-Sum: 1\r\nX-Y:\r\n"),
            ("content-LENGTH: 5\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\ncookie:c\r\n", ""),
            (
                "X-Forwarded-For: 192.0.2.9\r\nx-forwarded-whatever: 1\r\nTE: x\r\nTrailer: y\r\nA: b\r\n",
                "A: b\r\n",
            ),
            ("x-mine: 1\r\nserver-timing: 2\r\n", "server-timing: 2\r\n"),
        ];
        for (fields, left) in cases {
            let input = format!("{start}{fields}\r\nGET / next");
            let wanted = format!("{start}{left}\r\n");
            for size in 1..=input.len() {
                let (out, used) = passed(input.as_bytes(), size).unwrap();
                assert_eq!(String::from_utf8_lossy(&out), wanted, "pieces of {size}");
                assert_eq!(used, input.len() - "GET / next".len());
            }
        }
    }

    #[test]
    fn trailers_are_bounded_in_count_and_size() {
        let many = |count: usize| format!("0\r\n{}\r\n", "a:\r\n".repeat(count));
        assert_eq!(passed(many(128).as_bytes(), 1000).unwrap().0, many(128).as_bytes());
        assert_eq!(passed(many(129).as_bytes(), 1000).unwrap_err(), TOO_MANY);
        let large = format!("0\r\na: {}\r\n\r\n", "x".repeat(9000));
        assert_eq!(passed(large.as_bytes(), 1000).unwrap_err().status, Status::HeadTooLarge);
    }
}
