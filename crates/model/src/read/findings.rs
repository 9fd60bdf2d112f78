//! Collects what was found, with places in lines and columns.

use std::fmt::Display;
use std::ops::Range;

use crate::diagnostic::{Diagnostic, Place, Severity};

/// Bytes of the text, from and to.
pub(super) type Span = Range<usize>;

/// Most findings that are kept; the rest is only counted.
const MOST: usize = 200;

/// What a finding depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// The text is not TOML here.
    Syntax,
    /// One value by itself.
    Value,
    /// The file as a whole: may be the consequence of text that could not be read.
    Whole,
    /// What an otherwise right file leaves to wish for: may be the consequence of any error.
    Lint,
}

/// Everything that was found so far.
#[derive(Debug)]
pub(super) struct Findings<'t> {
    text: &'t str,
    starts: Vec<usize>,
    list: Vec<(Ground, Diagnostic)>,
    more: usize,
    expressions: usize,
}

impl<'t> Findings<'t> {
    /// Nothing found in this text yet.
    pub(super) fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts, list: Vec::new(), more: 0, expressions: 0 }
    }

    /// The text is not TOML.
    pub(super) fn syntax(&mut self, span: &Span, message: impl Display, hint: impl Display) {
        self.push(Ground::Syntax, Severity::Error, span, &message, &hint);
    }

    /// A value is wrong by itself.
    pub(super) fn value(&mut self, span: &Span, message: impl Display, hint: impl Display) {
        self.push(Ground::Value, Severity::Error, span, &message, &hint);
    }

    /// Things do not fit together.
    pub(super) fn error(&mut self, span: &Span, message: impl Display, hint: impl Display) {
        self.push(Ground::Whole, Severity::Error, span, &message, &hint);
    }

    /// Usable, but the operator should know. Said only of a file without errors.
    pub(super) fn lint(&mut self, span: &Span, message: impl Display, hint: impl Display) {
        self.push(Ground::Lint, Severity::Warning, span, &message, &hint);
    }

    /// Usable, but the operator should know.
    pub(super) fn warning(&mut self, span: &Span, message: impl Display, hint: impl Display) {
        self.push(Ground::Whole, Severity::Warning, span, &message, &hint);
    }

    /// Whether there is no use in looking for more.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MOST
    }

    /// Counts findings that are not kept.
    pub(super) fn skip(&mut self, count: usize) {
        self.more += count;
    }

    /// Counts a regular expression, whose check takes time; how many there were with it.
    pub(super) fn count_expression(&mut self) -> usize {
        self.expressions += 1;
        self.expressions
    }

    /// Whether any finding is an error.
    pub(super) fn has_errors(&self) -> bool {
        self.list.iter().any(|(_, diagnostic)| diagnostic.severity == Severity::Error)
    }

    /// The text of a span.
    pub(super) fn text_of(&self, span: &Span) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// The number of a span's first line, for messages about two places.
    pub(super) fn line_of(&self, span: &Span) -> usize {
        self.place(span).line
    }

    /// Everything in the order of the text. Where the text could not be read, only what does not depend on it.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        let broken: Vec<usize> = (self.list.iter())
            .filter(|(ground, _)| *ground == Ground::Syntax)
            .map(|(_, diagnostic)| diagnostic.place.line)
            .collect();
        let errors = self.has_errors();
        self.list.retain(|(ground, diagnostic)| match ground {
            Ground::Syntax => true,
            Ground::Value => !broken.contains(&diagnostic.place.line),
            Ground::Whole => broken.is_empty(),
            Ground::Lint => !errors,
        });
        let mut list: Vec<Diagnostic> = self.list.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        list.sort_by_key(|diagnostic| diagnostic.place);
        list.dedup();
        if self.more > 0
            && let Some(last) = list.last_mut()
        {
            last.hint = format!("{}; {} more mistakes are not shown", last.hint, self.more);
        }
        list
    }

    fn push(
        &mut self,
        ground: Ground,
        severity: Severity,
        span: &Span,
        message: &dyn Display,
        hint: &dyn Display,
    ) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        let place = self.place(span);
        let diagnostic = Diagnostic { severity, place, message: message.to_string(), hint: hint.to_string() };
        self.list.push((ground, diagnostic));
    }

    fn place(&self, span: &Span) -> Place {
        let mut start = span.start.min(self.text.len());
        // The end of a text that ends with its last line belongs to that line.
        if start == self.text.len() && self.text.ends_with('\n') {
            start -= 1;
        }
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let index = self.starts.partition_point(|begin| *begin <= start).saturating_sub(1);
        let begin = self.starts.get(index).copied().unwrap_or_default();
        let line = self.text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let column = line.get(..start - begin).map_or(line.chars().count(), |before| before.chars().count());
        let end = span.end.saturating_sub(begin).min(line.len());
        let marked = line.get(start - begin..end).map_or(0, |marked| marked.chars().count());
        Place { line: index + 1, column: column + 1, length: marked.max(1) }
    }
}
