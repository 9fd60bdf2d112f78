//! Text to a tree of tables and values that know their place.

use toml::de::{DeTable, DeValue};
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use super::findings::{Findings, Span};

/// Largest text that is read, bytes.
const MOST_BYTES: usize = 1 << 20;

/// Most dots in one dotted key. The parser bounds brackets by itself, but not dots.
const MOST_DOTS: usize = 16;

/// Parses a text. `None`: it was refused as a whole.
pub(super) fn parse<'t>(text: &'t str, findings: &mut Findings<'t>) -> Option<DeTable<'t>> {
    if text.len() > MOST_BYTES {
        let message = format!("the file is larger than 1 MiB: {} bytes", text.len());
        findings.syntax(&(0..0), message, "a cluster file has some hundred lines; is this the right file?");
        return None;
    }
    if let Some(span) = long_key(text) {
        findings.syntax(
            &span,
            format!("a key has more than {MOST_DOTS} dots"),
            "no key of a cluster file is that deep",
        );
        return None;
    }
    let (root, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    complaints(text, findings, &errors);
    Some(root.into_inner())
}

/// Reports what the parser said: of errors that follow from one another only the first.
fn complaints(text: &str, findings: &mut Findings<'_>, errors: &[toml::de::Error]) {
    let mut headers: Vec<usize> = Vec::new();
    let (mut line, mut open) = (0, false);
    let (mut seen, mut header) = (0, 0);
    for (index, error) in errors.iter().enumerate() {
        if findings.is_full() {
            findings.skip(errors.len() - index);
            return;
        }
        let span = error.span().unwrap_or(0..0);
        let what = error.message().split(", expected").next().unwrap_or_default();
        if what == "duplicate key" {
            // Of a table that is there twice only the header is reported, not every key again.
            let passed = text.get(seen..span.end).unwrap_or_default();
            header = passed.rfind("\n[").map_or(header, |at| seen + at + 1);
            seen = span.start;
            if headers.contains(&header) {
                continue;
            }
            if text.get(header..span.end).is_some_and(|line| line.starts_with('[') && !line.contains('\n')) {
                headers.push(header);
            }
            let key = findings.text_of(&span).trim_matches(['"', '\'']);
            findings.error(&span, format!("`{key}` is there twice"), "keep one of them");
            continue;
        }
        // An open bracket makes every line after it wrong.
        let bracket = ["missing comma", "inline table", "array"].iter().any(|word| what.contains(word));
        let here = findings.line_of(&span);
        if here == line || (bracket && open) {
            continue;
        }
        line = here;
        open |= bracket;
        if ["float", "integer", "number"].iter().any(|word| what.contains(word)) {
            let message = "not TOML: neither a number nor text between quotes";
            findings.syntax(&whole_word(text, &span), message, syntax_hint("string"));
        } else {
            findings.syntax(&span, format!("not TOML: {what}"), syntax_hint(what));
        }
    }
}

/// A span with the rest of its word before it.
fn whole_word(text: &str, span: &Span) -> Span {
    let before = text.get(..span.start).unwrap_or_default();
    let ends = |char: char| char.is_whitespace() || "=,[{".contains(char);
    let start = before.rfind(ends).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    start..span.end
}

fn long_key(text: &str) -> Option<Span> {
    let mut dots = 0;
    for token in Source::new(text).lex() {
        match token.kind() {
            TokenKind::Dot => dots += 1,
            TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString | TokenKind::Whitespace => {}
            TokenKind::Equals
            | TokenKind::Comma
            | TokenKind::LeftSquareBracket
            | TokenKind::RightSquareBracket
            | TokenKind::LeftCurlyBracket
            | TokenKind::RightCurlyBracket
            | TokenKind::Comment
            | TokenKind::Newline
            | TokenKind::MlLiteralString
            | TokenKind::MlBasicString
            | TokenKind::Eof => dots = 0,
        }
        if dots > MOST_DOTS {
            return Some(token.span().start()..token.span().end());
        }
    }
    None
}

fn syntax_hint(message: &str) -> &'static str {
    if message.contains("escape") {
        "between double quotes a backslash begins an escape; write \\\\ for a backslash, or use single quotes"
    } else if message.contains("missing comma")
        || message.contains("inline table")
        || message.contains("array")
    {
        "a `{` or `[` at this line or before it is not closed, or a comma is missing"
    } else if ["string", "date", "bool"].iter().any(|word| message.contains(word)) {
        "text stands between double quotes, as in \"10.0.0.1\""
    } else if message.contains("table") || message.contains("header") {
        "a table begins with its name in brackets on a line of its own, as in [node.web1]"
    } else {
        "each line is a [table], a comment after #, or key = value; text stands between double quotes"
    }
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    /// The key.
    pub(super) name: &'a str,
    /// Where the key is.
    pub(super) key: Span,
    /// Where the value is; of a table its header.
    pub(super) span: Span,
    /// The value.
    pub(super) value: &'a DeValue<'a>,
}

/// The entries of a table in the file's order.
pub(super) fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = (table.iter())
        .map(|(key, value)| Item {
            name: key.get_ref().as_ref(),
            key: key.span(),
            span: value.span(),
            value: value.get_ref(),
        })
        .collect();
    items.sort_by_key(|item| item.key.start);
    items
}
