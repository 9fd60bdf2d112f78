//! Changes of heads: header fields and the path.

use regex::bytes::Regex;
use relevo_model::cluster::{HeaderEdit, Rewrite};

use super::pattern::{Letters, regex};
use super::request::Facts;
use super::text::{Into, Text, put};

/// A compiled change of a header.
#[derive(Debug)]
pub(super) enum Edit {
    Set(String, Text),
    Add(String, Text),
    Delete(String),
}

/// A compiled change of the path.
#[derive(Debug)]
pub(super) enum Path {
    Whole(Text),
    Prefix(Vec<u8>, Vec<u8>),
    Regex(Regex, Vec<u8>),
}

/// What edits make of a head: fields to leave out, then lines to add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Fields of these names are left out, whatever the case of their letters.
    pub left_out: Vec<String>,
    /// Lines that end in CRLF, as `X-A: b`.
    pub lines: Vec<u8>,
}

impl Changes {
    /// Nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.left_out.is_empty() && self.lines.is_empty()
    }

    /// Forgets all; keeps the memory.
    pub fn clear(&mut self) {
        self.left_out.clear();
        self.lines.clear();
    }

    /// Does these as well, unless a field of theirs was already decided about.
    pub fn extend(&mut self, other: &Self) {
        if !other.left_out.iter().any(|name| self.leaves_out(name.as_bytes())) {
            self.left_out.extend_from_slice(&other.left_out);
            self.lines.extend_from_slice(&other.lines);
        }
    }

    /// Whether a field of this name is left out.
    pub fn leaves_out(&self, name: &[u8]) -> bool {
        self.left_out.iter().any(|other| other.as_bytes().eq_ignore_ascii_case(name))
    }

    pub(super) fn apply(&mut self, edit: &Edit, facts: &Facts<'_>) {
        let (name, value) = match edit {
            Edit::Delete(name) => (name, None),
            Edit::Set(name, value) | Edit::Add(name, value) => (name, Some(value)),
        };
        if !matches!(edit, Edit::Add(..)) {
            if !self.leaves_out(name.as_bytes()) {
                self.left_out.push(name.clone());
            }
            self.unsay(name.as_bytes());
        }
        if let Some(value) = value {
            self.lines.extend_from_slice(name.as_bytes());
            self.lines.extend_from_slice(b": ");
            value.render(facts, Into::Value, &mut self.lines);
            self.lines.extend_from_slice(b"\r\n");
        }
    }

    /// Takes back what former edits have added.
    fn unsay(&mut self, name: &[u8]) {
        let is_it = |line: &[u8]| {
            line.split(|byte| *byte == b':').next().is_some_and(|n| n.eq_ignore_ascii_case(name))
        };
        if self.lines.split_inclusive(|byte| *byte == b'\n').any(is_it) {
            let lines = self.lines.split_inclusive(|byte| *byte == b'\n');
            self.lines = lines.filter(|line| !is_it(line)).flatten().copied().collect();
        }
    }
}

/// Names that say how a message is framed, or that are for one hop (RFC 9110 section 7.6.1): the balancer's own business.
const OWN: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl Edit {
    /// Compiles an edit.
    ///
    /// # Errors
    /// A name that is none or that is not for rules; a text that is wrong.
    pub(super) fn new(edit: &HeaderEdit, of_answers: bool) -> Result<Self, String> {
        let (HeaderEdit::Set(name, _) | HeaderEdit::Add(name, _) | HeaderEdit::Delete(name)) = edit;
        if !is_token(name) {
            return Err(format!("{name:?} is not the name of a header"));
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if OWN.iter().any(|own| is(own)) {
            return Err(format!(
                "the header {name} is the balancer's own: it says how messages end and who speaks to whom"
            ));
        }
        if is("host") && !of_answers && !matches!(edit, HeaderEdit::Set(..)) {
            return Err("a request has one Host: it can be set, not added or deleted".to_owned());
        }
        Ok(match edit {
            HeaderEdit::Set(name, value) => Self::Set(name.clone(), Text::new(value)?),
            HeaderEdit::Add(name, value) => Self::Add(name.clone(), Text::new(value)?),
            HeaderEdit::Delete(name) => Self::Delete(name.clone()),
        })
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_fine)
}

impl Path {
    /// Compiles a change of the path.
    ///
    /// # Errors
    /// A text or an expression that is wrong.
    pub(super) fn new(rewrite: &Rewrite) -> Result<Self, String> {
        Ok(match rewrite {
            Rewrite::Path(text) => {
                let text = Text::new(text)?;
                if text.has(&['?', '#']) {
                    return Err("a new path has no ? and no #: the query stays as it is".to_owned());
                }
                Self::Whole(text)
            }
            Rewrite::Prefix(from, to) => Self::Prefix(from.as_bytes().to_vec(), to.as_bytes().to_vec()),
            Rewrite::Regex(from, to) => Self::Regex(regex(from, Letters::AsWritten)?, to.as_bytes().to_vec()),
        })
    }

    /// The new path; `None`: it stays. The result is a path that a server reads as one: it begins with exactly one slash.
    pub(super) fn apply(&self, path: &[u8], facts: &Facts<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Whole(text) => text.render(facts, Into::Path, &mut out),
            Self::Prefix(from, to) => {
                let rest = path.strip_prefix(from.as_slice())?;
                // `/old` is no prefix of `/older`.
                if !from.ends_with(b"/") && !matches!(rest.first(), None | Some(b'/')) {
                    return None;
                }
                put(to, Into::Path, &mut out);
                // `/old` to `/` makes `/x` of `/old/x`.
                let rest = if out.ends_with(b"/") { rest.strip_prefix(b"/").unwrap_or(rest) } else { rest };
                put(rest, Into::Path, &mut out);
            }
            Self::Regex(regex, to) => {
                let found = regex.captures(path)?;
                let whole = found.get(0)?;
                let mut new = Vec::new();
                found.expand(to, &mut new);
                put(path.get(..whole.start()).unwrap_or_default(), Into::Path, &mut out);
                put(&new, Into::Path, &mut out);
                put(path.get(whole.end()..).unwrap_or_default(), Into::Path, &mut out);
            }
        }
        let slashes = out.iter().take_while(|byte| **byte == b'/').count();
        if slashes == 0 {
            out.insert(0, b'/');
        } else {
            out.drain(1..slashes);
        }
        Some(out)
    }
}
