//! Header fields: where they stand in the bytes, checked strictly.
//!
//! Stricter than RFC 9112 asks in one place: a line must end in CRLF, a bare LF is refused (section 2.2 lets a
//! recipient accept it). Two readers that differ about where a line ends are how requests are smuggled.

use std::ops::Range;

use super::refusal::{Refusal, Status};

/// Most header fields in one head.
pub const MOST_FIELDS: usize = 128;

/// One field line, as places in the head's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where the name, and the line, begins.
    pub start: u32,
    /// Where the name ends.
    pub name_end: u32,
    /// Where the value begins, without white space around it.
    pub value_start: u32,
    /// Where the value ends.
    pub value_end: u32,
    /// Where the next line begins.
    pub end: u32,
}

impl Field {
    /// The name as it was written.
    pub fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        slice(bytes, self.start..self.name_end)
    }

    /// The value without white space around it.
    pub fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        slice(bytes, self.value_start..self.value_end)
    }
}

fn slice(bytes: &[u8], range: Range<u32>) -> &[u8] {
    bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// The fields of one head; kept and reused, so that parsing allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    list: Vec<Field>,
}

impl Fields {
    /// An empty list with room for all.
    pub fn new() -> Self {
        Self { list: Vec::with_capacity(MOST_FIELDS) }
    }

    /// The fields in order.
    pub fn list(&self) -> &[Field] {
        &self.list
    }

    /// Parses field lines from `at` up to the empty line, and returns where that ends; `None`: more bytes are needed.
    ///
    /// # Errors
    /// 400 for a line that is not `name: value` CRLF, 431 for too many.
    pub fn parse(&mut self, bytes: &[u8], mut at: usize) -> Result<Option<usize>, Refusal> {
        self.list.clear();
        loop {
            match bytes.get(at..).unwrap_or_default() {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => return Ok(Some(at + 2)),
                [b'\r', ..] => return Err(Refusal::bad("a carriage return stands alone in the head")),
                [b'\n', ..] => return Err(Refusal::bad("a line of the head ends without a carriage return")),
                // RFC 9112 section 5.2: obs-fold.
                [b' ' | b'\t', ..] => return Err(Refusal::bad("a header line begins with white space")),
                [_, ..] => {}
            }
            let Some(field) = parse_line(bytes, at)? else { return Ok(None) };
            if self.list.len() == MOST_FIELDS {
                return Err(Refusal::new(Status::HeadTooLarge, "more than 128 header fields"));
            }
            at = field.end as usize;
            self.list.push(field);
        }
    }
}

fn parse_line(bytes: &[u8], at: usize) -> Result<Option<Field>, Refusal> {
    let line = bytes.get(at..).unwrap_or_default();
    let Some(name) = line.iter().position(|byte| !is_token(*byte)) else { return Ok(None) };
    // RFC 9112 section 5.1: no white space between the name and the colon; a name is a token of at least one character.
    if line.get(name) != Some(&b':') || name == 0 {
        return Err(Refusal::bad("a header name has a character that is not allowed there"));
    }
    let rest = line.get(name + 1..).unwrap_or_default();
    let Some(feed) = memchr::memchr(b'\n', rest) else {
        // The last byte may be the line's own carriage return.
        let so_far = rest.strip_suffix(b"\r").unwrap_or(rest);
        return if is_text(so_far) {
            Ok(None)
        } else {
            Err(Refusal::bad("a header value has a control character"))
        };
    };
    let Some(value) = rest.get(..feed).and_then(|value| value.strip_suffix(b"\r")) else {
        return Err(Refusal::bad("a line of the head ends without a carriage return"));
    };
    // RFC 9110 section 5.5: CR, LF and NUL are dangerous; no other control character has a place here either.
    if !is_text(value) {
        return Err(Refusal::bad("a header value has a control character"));
    }
    let start = at + name + 1;
    let value_start = start + value.len() - trim_start(value).len();
    let place = |index: usize| {
        u32::try_from(index).map_err(|_| Refusal::new(Status::HeadTooLarge, "the head is too large"))
    };
    Ok(Some(Field {
        start: place(at)?,
        name_end: place(at + name)?,
        value_start: place(value_start)?,
        value_end: place(value_start + trim(value).len())?,
        end: place(start + feed + 1)?,
    }))
}

fn trim_start(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    value
}

/// Without the optional white space around it (RFC 9110 section 5.6.3: only space and tab).
pub fn trim(value: &[u8]) -> &[u8] {
    let mut rest = trim_start(value);
    while let [head @ .., b' ' | b'\t'] = rest {
        rest = head;
    }
    rest
}

/// The elements of a comma-separated list (RFC 9110 section 5.6.1), empty ones left out.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Whether all bytes may stand in a field value. Branch-free, so that the compiler uses vector instructions.
fn is_text(value: &[u8]) -> bool {
    !value.iter().fold(false, |bad, byte| bad | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7f))
}

/// Whether the byte may stand in a token (RFC 9110 section 5.6.2).
pub const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
        byte += 1;
    }
    table
};
