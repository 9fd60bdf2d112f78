//! Evidence in words: pieces of what a server said, short and printable.

use regex::bytes::{Regex, RegexBuilder};

/// Most characters of a piece.
const MOST: usize = 80;
/// Most bytes of a compiled expression.
const REGEX_SIZE: usize = 1 << 20;

/// The beginning of what somebody said, safe for a log and a terminal.
pub fn excerpt(bytes: &[u8]) -> String {
    // A character has at most four bytes, so that nothing is converted in vain.
    let start = bytes.get(..bytes.len().min(4 * MOST)).unwrap_or_default();
    let text = String::from_utf8_lossy(start);
    let mut words: String = text.chars().flat_map(char::escape_debug).take(MOST).collect();
    if words.len() < bytes.len() && (words.chars().count() == MOST || start.len() < bytes.len()) {
        words.push_str("...");
    }
    words
}

/// Compiles an expression over bytes.
pub(super) fn compiled(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .unicode(false)
        .size_limit(REGEX_SIZE)
        .dfa_size_limit(REGEX_SIZE)
        .build()
        .map_err(|_| format!("the expression /{}/ cannot be used", excerpt(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_printable() {
        for (bytes, words) in [
            (&b"ok"[..], "ok".to_owned()),
            (b"a\x1b[2Jb", "a\\u{1b}[2Jb".to_owned()),
            (b"\xff\r\n", "\u{fffd}\\r\\n".to_owned()),
            (&[b'x'; 80], "x".repeat(80)),
            (&[b'x'; 81], "x".repeat(80) + "..."),
            (&[b'x'; 100_000], "x".repeat(80) + "..."),
        ] {
            assert_eq!(excerpt(bytes), words);
        }
    }
}
