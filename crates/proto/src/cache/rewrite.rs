//! Heads of kept answers: as they are stored, refreshed by 304, and for clients that have the answer already.

use super::date::seconds;
use crate::head::{elements, field, fields_start, lines_from};

/// The head of an answer as it is kept: with its length, without what told of the way it came.
pub fn stored(answer: &[u8], length: usize) -> Vec<u8> {
    let mut head = without(answer, &["content-length", "transfer-encoding", "trailer", "connection", "age"]);
    head.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
    head
}

/// The kept head after the server has said that it is still good: its fields are those of the 304 where that has them
/// (RFC 9111 section 3.2). What tells of the content itself stays.
pub fn refreshed(kept: &[u8], answer: &[u8]) -> Vec<u8> {
    const OF_CONTENT: [&str; 8] = [
        "content-length",
        "content-encoding",
        "content-type",
        "content-range",
        "transfer-encoding",
        "connection",
        "age",
        "vary",
    ];
    let newer: Vec<_> = lines_from(answer, fields_start(answer))
        .filter(|line| !OF_CONTENT.iter().any(|name| line.is(answer, name.as_bytes())))
        .collect();
    let start = fields_start(kept);
    let mut head = kept.get(..start).unwrap_or_default().to_vec();
    for line in lines_from(kept, start) {
        let name = kept.get(line.start..line.name_end).unwrap_or_default();
        if !newer.iter().any(|newer| newer.is(answer, name)) {
            head.extend_from_slice(kept.get(line.start..line.end).unwrap_or_default());
        }
    }
    for line in newer {
        head.extend_from_slice(answer.get(line.start..line.end).unwrap_or_default());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Lines that ask the server whether the kept answer is still good (section 4.3.1); empty: it cannot say.
pub fn validators(kept: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, of) in [("If-None-Match: ", "etag"), ("If-Modified-Since: ", "last-modified")] {
        if let Some(value) = field(kept, of.as_bytes()) {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        }
    }
    lines
}

/// Whether the client has the answer already (section 4.3.2, RFC 9110 section 13.2.2).
pub fn is_not_modified(request: &[u8], kept: &[u8]) -> bool {
    if field(request, b"if-none-match").is_some() {
        let tag = field(kept, b"etag").map(opaque);
        return elements(request, "if-none-match").any(|one| one == b"*" || tag == Some(opaque(one)));
    }
    let date = |head: &[u8], name: &[u8]| field(head, name).and_then(seconds);
    let since = date(request, b"if-modified-since");
    since.is_some_and(|since| date(kept, b"last-modified").is_some_and(|modified| modified <= since))
}

/// An entity tag for weak comparison (RFC 9110 section 8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The head of the answer to such a client (RFC 9110 section 15.4.5).
pub fn not_modified(kept: &[u8]) -> Vec<u8> {
    let mut head = without(kept, &["content-length", "content-type", "content-encoding", "content-language"]);
    head.drain(..fields_start(&head));
    [&b"HTTP/1.1 304 Not Modified\r\n"[..], &head, b"\r\n"].concat()
}

/// A head without these fields, and without its last, empty line.
fn without(head: &[u8], names: &[&str]) -> Vec<u8> {
    let start = fields_start(head);
    let mut rest = head.get(..start).unwrap_or_default().to_vec();
    for line in lines_from(head, start) {
        if !names.iter().any(|name| line.is(head, name.as_bytes())) {
            rest.extend_from_slice(head.get(line.start..line.end).unwrap_or_default());
        }
    }
    rest
}
