//! What a text must be: exact, with `*`, or a regular expression.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use relevo_model::cluster::Pattern;

use super::path;

/// Most memory of one compiled expression, and of its cache while it is matched, bytes.
const REGEX_SIZE: usize = 1 << 20;

/// How letters are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    AsWritten,
    AnyCase,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) enum Matcher {
    Exact(Box<[u8]>, Letters),
    Glob(Glob),
    Regex(Regex),
}

/// What stands before, between and after the stars.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    first: Box<[u8]>,
    middle: Box<[Finder<'static>]>,
    last: Box<[u8]>,
    letters: Letters,
}

impl Matcher {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn new(pattern: &Pattern, letters: Letters) -> Result<Self, String> {
        match pattern {
            Pattern::Exact(text) => Ok(Self::Exact(text.as_bytes().into(), letters)),
            Pattern::Glob(text) => Ok(Self::glob(text.as_bytes(), letters)),
            Pattern::Regex(text) => regex(text, letters).map(Self::Regex),
        }
    }

    /// The same for a path: what RFC 3986 calls the same path is the same, and letters beyond ASCII are as on the wire.
    pub(super) fn of_path(pattern: &Pattern) -> Result<Self, String> {
        let wire = |text: &str| {
            let mut out = Vec::with_capacity(text.len());
            for byte in text.bytes() {
                if byte.is_ascii_graphic() { out.push(byte) } else { path::escape(byte, &mut out) }
            }
            path::plain(&out).into_owned()
        };
        match pattern {
            Pattern::Exact(text) => Ok(Self::Exact(wire(text).into(), Letters::AsWritten)),
            Pattern::Glob(text) => Ok(Self::glob(&wire(text), Letters::AsWritten)),
            Pattern::Regex(text) => regex(text, Letters::AsWritten).map(Self::Regex),
        }
    }

    fn glob(text: &[u8], letters: Letters) -> Self {
        let text = match letters {
            Letters::AsWritten => text.to_vec(),
            Letters::AnyCase => text.to_ascii_lowercase(),
        };
        let mut parts: Vec<&[u8]> = text.split(|byte| *byte == b'*').collect();
        let first = parts.remove(0);
        let Some(last) = parts.pop() else { return Self::Exact(first.into(), letters) };
        let middle = parts.iter().filter(|part| !part.is_empty());
        let middle = middle.map(|part| Finder::new(*part).into_owned()).collect();
        Self::Glob(Glob { first: first.into(), middle, last: last.into(), letters })
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(wanted, Letters::AsWritten) => **wanted == *text,
            Self::Exact(wanted, Letters::AnyCase) => wanted.eq_ignore_ascii_case(text),
            Self::Glob(glob) => glob.is_match(text),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

impl Glob {
    fn is_match(&self, text: &[u8]) -> bool {
        let same = |a: &[u8], b: &[u8]| match self.letters {
            Letters::AsWritten => a == b,
            Letters::AnyCase => a.eq_ignore_ascii_case(b),
        };
        let Some((first, rest)) = text.split_at_checked(self.first.len()) else { return false };
        let Some(end) = rest.len().checked_sub(self.last.len()) else { return false };
        let (mut rest, last) = rest.split_at(end);
        if !same(first, &self.first) || !same(last, &self.last) {
            return false;
        }
        // The first place of each is as good as any other: what follows needs only what is behind it.
        self.middle.iter().all(|part| {
            let place = match self.letters {
                Letters::AsWritten => part.find(rest),
                Letters::AnyCase => {
                    rest.windows(part.needle().len()).position(|piece| same(piece, part.needle()))
                }
            };
            let behind = place.and_then(|place| rest.get(place + part.needle().len()..));
            rest = behind.unwrap_or_default();
            behind.is_some()
        })
    }
}

/// Compiles an expression over bytes: `.` is any byte but a line's end, so that text that is not UTF-8 cannot slip through.
pub(super) fn regex(text: &str, letters: Letters) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(letters == Letters::AnyCase)
        .size_limit(REGEX_SIZE)
        .dfa_size_limit(REGEX_SIZE)
        .build()
        .map_err(|error| {
            if matches!(error, regex::Error::CompiledTooBig(_)) {
                return format!("the expression {text:?} is too large");
            }
            // The last line says what is wrong; those before it draw where.
            let words = error.to_string();
            let reason = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the expression {text:?} cannot be used: {reason}")
        })
}

/// A pattern as sentences call it.
pub(super) fn words(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exact(text) | Pattern::Glob(text) => format!("{text:?}"),
        Pattern::Regex(text) => format!("{:?}", format!("~{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        match text.strip_prefix('~') {
            Some(expression) => Pattern::Regex(expression.to_owned()),
            None if text.contains('*') => Pattern::Glob(text.to_owned()),
            None => Pattern::Exact(text.to_owned()),
        }
    }

    #[test]
    fn patterns_match_what_they_say() {
        for (text, yes, no) in [
            ("a", &["a"][..], &["", "A", "aa"][..]),
            ("", &[""], &["a"]),
            ("*", &["", "anything"], &[]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*a", &["a", "ba"], &["ab"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("*b*", &["b", "abc"], &["ac"]),
            ("a*bc*bc", &["abcbc", "axbcxbc"], &["abc", "abcxb"]),
            ("a**b", &["ab", "axb"], &["a"]),
            ("~^[0-9]+$", &["17"], &["", "1a", "17\n"]),
            ("~b", &["abc"], &["a"]),
        ] {
            let matcher = Matcher::new(&pattern(text), Letters::AsWritten).unwrap();
            for yes in yes {
                assert!(matcher.is_match(yes.as_bytes()), "{text} {yes}");
            }
            for no in no {
                assert!(!matcher.is_match(no.as_bytes()), "{text} {no}");
            }
        }
    }

    #[test]
    fn any_case_is_any_case_in_every_form() {
        for text in ["Shop.Example.org", "*.Example.org", "shop*xamPle*org", "~^SHOP\\."] {
            let matcher = Matcher::new(&pattern(text), Letters::AnyCase).unwrap();
            assert!(matcher.is_match(b"sHop.eXample.ORG"), "{text}");
            assert!(!matcher.is_match(b"sHup.eXampl.ORG"), "{text}");
        }
    }

    #[test]
    fn a_path_may_be_written_in_any_way_that_means_the_same() {
        for text in ["/caf%c3%a9/~x", "/café/%7Ex", "/café/*x", "/ca*/~x"] {
            let matcher = Matcher::of_path(&pattern(text)).unwrap();
            assert!(matcher.is_match(b"/caf%C3%A9/~x"), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_seen_by_expressions() {
        let matcher = Matcher::new(&pattern("~^a.*z$"), Letters::AsWritten).unwrap();
        assert!(matcher.is_match(b"a\xff\xfez"));
    }

    #[test]
    fn expressions_that_cannot_be_used_are_told() {
        for (text, words) in
            [("~(", "unclosed group"), ("~(a{1000}){1000}", "too large"), ("~\\p{Greek}", "cannot be used")]
        {
            let error = Matcher::new(&pattern(text), Letters::AsWritten).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
