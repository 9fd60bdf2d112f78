//! haproxy.cfg as sections and lines of words.
//!
//! Source: HAProxy's configuration manual, 2.2 "Quoting and escaping". Environment variables stay as they are written.

use crate::Input;
use crate::ledger::{At, Ledger};

/// A line of a section.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) at: At,
    /// At least one.
    pub(super) words: Vec<String>,
    /// It stands in a `defaults` section.
    pub(super) inherited: bool,
}

/// A section.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) at: At,
    /// `frontend`, `backend`, ...
    pub(super) kind: String,
    pub(super) name: String,
    /// The defaults that it names.
    pub(super) from: Option<String>,
    pub(super) lines: Vec<Line>,
}

impl Line {
    /// A word; nothing beyond the last.
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// The word behind a word.
    pub(super) fn after(&self, name: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| word == name)?;
        self.words.get(at + 1).map(String::as_str)
    }
}

const KINDS: [&str; 19] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "userlist",
    "peers",
    "resolvers",
    "mailers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "fcgi-app",
    "crt-store",
    "traces",
    "acme",
    "log-profile",
];

/// The sections of a file.
pub(super) fn sections(input: &Input, ledger: &mut Ledger) -> Vec<Section> {
    let file = ledger.open_file(&input.path);
    let mut sections: Vec<Section> = Vec::new();
    for (index, raw) in input.text.lines().enumerate() {
        let at = At { file: file.clone(), line: index + 1 };
        let words = words(raw);
        let Some(first) = words.first() else { continue };
        ledger.open(&at, raw);
        if KINDS.contains(&first.as_str()) {
            let from = words.iter().position(|word| word == "from").and_then(|at| words.get(at + 1)).cloned();
            let name = words.get(1).filter(|word| *word != "from").cloned().unwrap_or_default();
            sections.push(Section { at, kind: first.clone(), name, from, lines: Vec::new() });
        } else if let Some(section) = sections.last_mut() {
            let inherited = section.kind == "defaults";
            section.lines.push(Line { at, words, inherited });
        } else {
            ledger.dropped(&at, "it is outside any section");
        }
    }
    sections
}

/// Words between spaces: quotes keep them together, `\` takes a letter as it is, `#` begins a comment.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut begun = false;
    let mut quote: Option<char> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('\''), _) => word.push(letter),
            (Some(_) | None, '\\') => {
                if let Some(next) = letters.next() {
                    // A backslash that escapes nothing special stays: expressions need it.
                    if !matches!(next, ' ' | '#' | '\\' | '"' | '\'' | '$') {
                        word.push('\\');
                    }
                    word.push(next);
                    begun = true;
                }
            }
            (Some(_), _) => word.push(letter),
            (None, '"' | '\'') => {
                quote = Some(letter);
                begun = true;
            }
            (None, '#') => break,
            (None, space) if space.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, _) => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// A time with a unit; without, milliseconds.
pub(super) fn millis(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    let factor = match unit {
        "us" => return Some(number.div_ceil(1000)),
        "" | "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_and_escaped() {
        assert_eq!(words("  a  b\\ c 'd # e' \"f \\\" g\" # h"), ["a", "b c", "d # e", "f \" g"]);
        assert_eq!(words("acl x path_reg ^/a\\.b$"), ["acl", "x", "path_reg", "^/a\\.b$"]);
        assert_eq!(words("x \"${HOME}/y\" ''"), ["x", "${HOME}/y", ""]);
        assert!(words("   # nothing").is_empty());
    }

    #[test]
    fn times_have_units() {
        assert_eq!(millis("5s"), Some(5000));
        assert_eq!(millis("250"), Some(250));
        assert_eq!(millis("1500us"), Some(2));
        assert_eq!(millis("99999999999999999d"), None);
        assert_eq!(millis("x"), None);
    }
}
