//! A mistake in the cluster file: where, what is wrong, what would be right.

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
