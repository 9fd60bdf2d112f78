//! Patterns of rules, regular expressions, and texts with placeholders.

use regex::bytes::RegexBuilder;

use super::findings::{Findings, Span};
use super::suggest;
use super::tree::Item;
use crate::cluster::{PLACEHOLDERS, Pattern};

/// Longest pattern, bytes.
const LONGEST: usize = 1024;

/// Most memory of a compiled regular expression, bytes; not more than the balancer gives it.
const REGEX_SIZE: usize = 1 << 18;

/// Most regular expressions of one file: each is compiled to see whether it is right, and that takes time.
const MOST_EXPRESSIONS: usize = 1000;

/// A pattern of a value that must be text.
pub(super) fn pattern(findings: &mut Findings<'_>, item: &Item<'_>, example: &str) -> Option<Pattern> {
    let text = item.text(findings, &format!("\"{example}\""))?;
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        let hint = format!("write at most {LONGEST} bytes without control characters, as in \"{example}\"");
        findings.value(&item.span, "this is not a pattern", hint);
        return None;
    }
    if let Some(expression) = text.strip_prefix('~') {
        let span = item.part(findings, text, 1..text.len());
        return regex(findings, &span, expression).map(|_| Pattern::Regex(expression.to_owned()));
    }
    Some(if text.contains('*') { Pattern::Glob(text.to_owned()) } else { Pattern::Exact(text.to_owned()) })
}

/// Checks a regular expression: how many groups it has, the whole included.
pub(super) fn regex(findings: &mut Findings<'_>, span: &Span, text: &str) -> Option<usize> {
    let count = findings.count_expression();
    if count > MOST_EXPRESSIONS {
        if count == MOST_EXPRESSIONS + 1 {
            let message = format!("there are more than {MOST_EXPRESSIONS} regular expressions");
            findings.value(span, message, "use patterns with `*`, or fewer rules");
        }
        return None;
    }
    if text.is_empty() || text.len() > LONGEST {
        let hint = format!("write 1 to {LONGEST} bytes");
        let message = if text.is_empty() { "the expression is empty" } else { "the expression is too long" };
        findings.value(span, message, hint);
        return None;
    }
    match RegexBuilder::new(text).unicode(false).size_limit(REGEX_SIZE).build() {
        Ok(regex) => Some(regex.captures_len()),
        Err(regex::Error::CompiledTooBig(_)) => {
            let hint = "use smaller counts in braces, as in x{1,10}";
            findings.value(span, "the regular expression is too large", hint);
            None
        }
        Err(error) => {
            let told = error.to_string();
            let reason = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let hint = if reason.contains("look-around") || reason.contains("backreference") {
                "write it without; in a rule, `unless` says what must not match"
            } else {
                "the syntax is that of Rust's regex crate; \\\\ before a character takes its meaning away"
            };
            findings.value(span, format!("this is not a regular expression: {reason}"), hint);
            None
        }
    }
}

/// Checks the placeholders of a text.
pub(super) fn placeholders(findings: &mut Findings<'_>, item: &Item<'_>, text: &str) -> bool {
    let mut at = 0;
    let mut right = true;
    while let Some(open) = text[at..].find('{').map(|found| at + found) {
        if text[open + 1..].starts_with('{') {
            at = open + 2;
            continue;
        }
        let Some(close) = text[open..].find('}').map(|found| open + found) else {
            let span = item.part(findings, text, open..open + 1);
            findings.value(&span, "a placeholder has no end", "write {host}, or {{ for a brace");
            return false;
        };
        let name = &text[open + 1..close];
        if !PLACEHOLDERS.contains(&name) {
            let span = item.part(findings, text, open..close + 1);
            let hint = match suggest::nearest(name, PLACEHOLDERS) {
                Some(near) => format!("write {{{near}}}"),
                None => format!("{}; {{{{ is a brace", suggest::one_of(name, PLACEHOLDERS)),
            };
            let message = format!("there is no placeholder `{{{name}}}`");
            findings.value(&span, message, hint);
            right = false;
        }
        at = close + 1;
    }
    right
}

/// Checks that the groups a replacement speaks of are there.
pub(super) fn groups(findings: &mut Findings<'_>, item: &Item<'_>, text: &str, count: usize) -> bool {
    let mut rest = text.char_indices().peekable();
    while let Some((at, char)) = rest.next() {
        if char != '$' {
            continue;
        }
        let digits: String = text[at + 1..].chars().take_while(char::is_ascii_digit).collect();
        let Ok(number) = digits.parse::<usize>() else { continue };
        if number >= count {
            let span = item.part(findings, text, at..at + 1 + digits.len());
            let message = format!("the expression has no group {number}");
            let hint = match count {
                0 | 1 => "put what is meant between parentheses".to_owned(),
                _ => format!("it has {}: $1 to ${}", count - 1, count - 1),
            };
            findings.value(&span, message, hint);
            return false;
        }
        while rest.next_if(|(_, char)| char.is_ascii_digit()).is_some() {}
    }
    true
}
