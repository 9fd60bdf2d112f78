//! The Cookie field (RFC 6265 sections 4.2 and 5.4), read as its servers do: pairs between semicolons, whatever they
//! are worth.

use crate::head::{Line, fields_start, lines_from};

/// One `name=value` of a head, as places in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) line: Line,
    /// From the name on.
    pub(super) start: usize,
    pub(super) name_end: usize,
    /// Within quotes, if there are any.
    pub(super) value: usize,
    pub(super) value_end: usize,
    /// The semicolon behind it, or the value's end.
    pub(super) end: usize,
}

impl Pair {
    pub(super) fn value<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        head.get(self.value..self.value_end).unwrap_or_default()
    }
}

/// The value of the first cookie of a name that a request brings, without quotes.
pub fn cookie<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    find(head, name, fields_start(head)).map(|pair| pair.value(head))
}

/// The first cookie of a name, from a line on. There may be several Cookie lines: those of HTTP/2 come apart (RFC 9113
/// section 8.2.3).
pub(super) fn find(head: &[u8], name: &[u8], from: usize) -> Option<Pair> {
    lines_from(head, from)
        .filter(|line| line.is(head, b"cookie"))
        .find_map(|line| pairs(head, line).find(|pair| head.get(pair.start..pair.name_end) == Some(name)))
}

/// The pairs of a line. Names are as they are written: case matters.
fn pairs(head: &[u8], line: Line) -> impl Iterator<Item = Pair> {
    let mut at = line.value;
    std::iter::from_fn(move || {
        while at < line.value_end {
            let rest = head.get(at..line.value_end)?;
            let length = memchr::memchr(b';', rest).unwrap_or(rest.len());
            let from = at;
            at += length + 1;
            if let Some(pair) = pair(head, line, from, from + length) {
                return Some(pair);
            }
        }
        None
    })
}

/// The pair between two places; `None`: there is no `=`.
pub(super) fn pair(head: &[u8], line: Line, from: usize, end: usize) -> Option<Pair> {
    let text = head.get(from..end)?;
    let equals = memchr::memchr(b'=', text)?;
    let (name, value) = (text.get(..equals)?, text.get(equals + 1..)?);
    let start = from + name.len() - name.trim_ascii_start().len();
    let value_start = from + equals + 1 + value.len() - value.trim_ascii_start().len();
    let value = value.trim_ascii();
    let quoted = usize::from(value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\""));
    Some(Pair {
        line,
        start,
        name_end: start + name.trim_ascii().len(),
        value: value_start + quoted,
        value_end: value_start + value.len() - quoted,
        end,
    })
}

/// Takes a pair out of its line; the line goes with its last pair.
pub(super) fn remove(head: &mut Vec<u8>, pair: &Pair) {
    let line = pair.line;
    let before = head.get(line.value..pair.start).unwrap_or_default().trim_ascii();
    let after = head.get(pair.end..line.value_end).unwrap_or_default();
    let after_length = after.strip_prefix(b";").map_or(0, |rest| rest.trim_ascii_start().len());
    if before.is_empty() && after_length == 0 {
        head.drain(line.start..line.end);
    } else if after_length == 0 {
        // Without the semicolon before it.
        let before = before.strip_suffix(b";").unwrap_or(before).trim_ascii_end();
        head.drain(line.value + before.len()..line.value_end);
    } else {
        head.drain(pair.start..line.value_end - after_length);
    }
}
