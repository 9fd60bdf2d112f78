//! A mistake in the cluster file: where, what is wrong, what would be right.

use std::fmt::Write;

use serde::Serialize;

/// Whether a finding stops the file from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; the operator should know.
    Warning,
}

/// A place in a text; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Line of the first character.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Characters on that line, at least 1.
    pub length: usize,
}

/// One finding about a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it stops the file from being used.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What would be right.
    pub hint: String,
}

/// Shows findings under the lines they are about, as plain text.
///
/// ```text
/// error: network `pubic` does not exist
///   --> cluster.toml:12:11
///    |
/// 12 | network = "pubic"
///    |           ^^^^^^^
///    = help: did you mean `public`?
/// ```
pub fn render(path: &str, text: &str, diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        render_one(&mut out, path, &lines, diagnostic);
    }
    out
}

fn render_one(out: &mut String, path: &str, lines: &[&str], diagnostic: &Diagnostic) {
    let Place { line, column, length } = diagnostic.place;
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let gutter = " ".repeat(line.to_string().len());
    let source = lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
    let (shown, before, marked) = expand(source, column.saturating_sub(1), length);
    let (before, marks) = (" ".repeat(before), "^".repeat(marked.max(1)));
    let Diagnostic { message, hint, .. } = diagnostic;
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{severity}: {message}\n{gutter}--> {path}:{line}:{column}\n{gutter} |\n{line} | {shown}\n\
         {gutter} | {before}{marks}\n{gutter} = help: {hint}\n"
    );
}

/// Most characters of a line that are shown; longer lines are cut around the place.
const WIDEST: usize = 160;

/// The line as shown, the width before the mark and the width of the mark. A tab becomes four spaces, other
/// control characters become `\u{fffd}`; of a very long line only the part around the place is kept.
fn expand(line: &str, skip: usize, length: usize) -> (String, usize, usize) {
    let first = if skip > WIDEST / 2 { skip - WIDEST / 4 } else { 0 };
    let (mut shown, mut before, mut marked) = (String::new(), 0, 0);
    if first > 0 {
        shown.push_str("...");
        before = 3;
    }
    for (index, char) in line.chars().enumerate().skip(first) {
        if index >= first + WIDEST {
            shown.push_str("...");
            break;
        }
        let width = if char == '\t' { 4 } else { 1 };
        match char {
            '\t' => shown.push_str("    "),
            control if control.is_control() => shown.push('\u{fffd}'),
            plain => shown.push(plain),
        }
        if index < skip {
            before += width;
        } else if index - skip < length {
            marked += width;
        }
    }
    (shown.trim_end().to_owned(), before, marked)
}
