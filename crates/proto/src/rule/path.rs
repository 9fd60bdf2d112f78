//! What a path says, in the ways in which servers read it.
//!
//! A rule that guards `/admin/*` must not be passed by writing the path otherwise, and servers differ in what they take
//! for the same path. So a path is read twice:
//!
//! - *plain*: what RFC 3986 section 6.2.2 calls the same: letters, digits, `-._~` that are percent-encoded are decoded, and
//!   the digits of other escapes are in upper case;
//! - *resolved*: the plain one as lenient servers see it: `%2F`, `\` and `%5C` are slashes, several slashes are one,
//!   and parameters of segments (`;...`) are left out.
//!
//! Both are nearly always the path as it was sent, and then cost one look at its bytes. The segments `.` and `..`, written
//! in any way, and the byte 0 have no reading: clients resolve them before they send, and what a server makes of
//! them cannot be foreseen. A service whose rules look at paths answers them with 400.
//!
//! Not read otherwise: letters of the other case, and escapes of escapes (`%252F`). A server that takes `/ADMIN` for
//! `/admin` needs `"~(?i)^/admin"`.

use std::borrow::Cow;

use super::request::escaped;

/// A path, read.
#[derive(Debug)]
pub(super) struct Readings<'a> {
    pub(super) plain: Cow<'a, [u8]>,
    /// `None`: the same.
    resolved: Option<Vec<u8>>,
    /// It has what cannot be read with certainty.
    pub(super) is_doubtful: bool,
}

impl<'a> Readings<'a> {
    pub(super) fn of(path: &'a [u8]) -> Self {
        let plain = plain(path);
        let resolved = (!is_usual(&plain)).then(|| resolve(&plain));
        let is_doubtful = resolved.as_ref().is_some_and(|resolved| has_dots(resolved) || has_zero(&plain));
        Self { plain, resolved, is_doubtful }
    }

    /// The reading of lenient servers, if it is another one.
    pub(super) fn resolved(&self) -> Option<&[u8]> {
        self.resolved.as_deref().filter(|resolved| *resolved != &*self.plain)
    }
}

/// Decodes what need not be encoded, and writes other escapes in one way.
pub(super) fn plain(path: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'%', path) else { return Cow::Borrowed(path) };
    let (head, mut rest) = path.split_at(first);
    let mut out = head.to_vec();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match escaped(tail).filter(|_| *byte == b'%') {
            Some(decoded) => {
                rest = tail.get(2..).unwrap_or_default();
                if decoded.is_ascii_alphanumeric() || matches!(decoded, b'-' | b'.' | b'_' | b'~') {
                    out.push(decoded);
                } else {
                    escape(decoded, &mut out);
                }
            }
            None => out.push(*byte),
        }
    }
    if out == path { Cow::Borrowed(path) } else { Cow::Owned(out) }
}

/// Writes a byte as `%41`.
pub(super) fn escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

/// Whether no server can read it otherwise.
fn is_usual(plain: &[u8]) -> bool {
    let mut before = 0;
    for (place, byte) in plain.iter().enumerate() {
        match byte {
            b'\\' | b';' => return false,
            b'/' | b'.' if before == b'/' => return false,
            b'%' if matches!(plain.get(place + 1..place + 3), Some(b"2F" | b"5C" | b"3B" | b"00")) => {
                return false;
            }
            _ => before = *byte,
        }
    }
    true
}

/// The reading of lenient servers. Dots stay.
fn resolve(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len());
    let mut rest = plain;
    let mut in_parameters = false;
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match rest {
            [b'%', b'2', b'F', tail @ ..] | [b'%', b'5', b'C', tail @ ..] | [b'\\', tail @ ..] => {
                (b'/', tail)
            }
            [b'%', b'3', b'B', tail @ ..] => (b';', tail),
            _ => (*byte, tail),
        };
        rest = tail;
        match byte {
            b'/' => {
                in_parameters = false;
                if out.last() != Some(&b'/') {
                    out.push(b'/');
                }
            }
            b';' => in_parameters = true,
            _ if in_parameters => {}
            _ => out.push(byte),
        }
    }
    out
}

fn has_dots(resolved: &[u8]) -> bool {
    resolved.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b".."))
}

fn has_zero(plain: &[u8]) -> bool {
    memchr::memmem::find(plain, b"%00").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> (String, String, bool) {
        let readings = Readings::of(path.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let plain = text(&readings.plain);
        (plain.clone(), readings.resolved().map_or(plain, text), readings.is_doubtful)
    }

    #[test]
    fn a_path_is_read_in_two_ways() {
        for (path, plain, resolved) in [
            ("/", "/", "/"),
            ("/a/b.html", "/a/b.html", "/a/b.html"),
            ("/.well-known/x", "/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/...", "/a/..."),
            ("/%61%7e", "/a~", "/a~"),
            ("/caf%c3%a9", "/caf%C3%A9", "/caf%C3%A9"),
            ("//admin///x", "//admin///x", "/admin/x"),
            ("/a%2fb%5Cc\\d", "/a%2Fb%5Cc\\d", "/a/b/c/d"),
            ("/a;v=1/b;w", "/a;v=1/b;w", "/a/b"),
            ("/a%3Bx/b", "/a%3Bx/b", "/a/b"),
            ("/100%", "/100%", "/100%"),
            ("/%zz%2", "/%zz%2", "/%zz%2"),
            ("/%252e", "/%252e", "/%252e"),
            ("*", "*", "*"),
        ] {
            assert_eq!(read(path), (plain.to_owned(), resolved.to_owned(), false), "{path}");
        }
    }

    #[test]
    fn dots_and_zeros_are_in_doubt_however_they_are_written() {
        for path in [
            "/..",
            "/a/../b",
            "/a/./b",
            "/.",
            "/%2e%2e/b",
            "/a/.%2E/b",
            "/a%2f../b",
            "/a\\..\\b",
            "/a/..;x/b",
            "/a/..%2fb",
            "/a//../b",
            "/a%00.html",
            "/..%5cb",
            "/a/..%3bx/b",
        ] {
            assert!(read(path).2, "{path}");
        }
    }

    #[test]
    fn what_is_usual_is_not_copied() {
        for path in ["/index.html", "/a/b/c", "/a%20b"] {
            assert!(matches!(Readings::of(path.as_bytes()).plain, Cow::Borrowed(_)), "{path}");
        }
    }
}
