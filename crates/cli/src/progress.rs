//! What is going on, one line that replaces itself, on stderr.

use std::io::{IsTerminal, stderr};

use crate::printer::{FAINT, paint};

/// Back to the line's begin, and nothing on it.
const CLEAR: &str = "\r\x1b[2K";
/// What does not fit on the line is not shown, rather than on a second line that nobody clears.
const CUT: &str = "\x1b[?7l";
/// The terminal breaks lines again.
const BREAK: &str = "\x1b[?7h";

/// A line of progress. Without a terminal only lines that stay are printed, so that logs can be read, unless they were
/// asked for.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    lines: bool,
    shown: String,
}

impl Progress {
    /// None shown yet.
    pub(crate) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
        Self { terminal: stderr().is_terminal() && !dumb, lines: false, shown: String::new() }
    }

    /// The same; without a terminal every line is printed and stays.
    pub(crate) fn with_lines() -> Self {
        let mut progress = Self::new();
        progress.lines = true;
        progress
    }

    /// Shows this line in place of the last one.
    pub(crate) fn show(&mut self, line: &str) {
        if line == self.shown {
            return;
        }
        line.clone_into(&mut self.shown);
        if self.terminal {
            // Colours may be unwanted (NO_COLOR); movements are not a matter of taste.
            eprint!("{CLEAR}{CUT}");
            anstream::eprint!("{}", paint(FAINT, line));
            eprint!("{BREAK}");
        } else if self.lines {
            eprintln!("{line}");
        }
    }

    /// Shows a line that stays.
    pub(crate) fn keep(&mut self, line: &str) {
        self.clear();
        anstream::eprintln!("{line}");
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if self.terminal && !self.shown.is_empty() {
            eprint!("{CLEAR}");
        }
        self.shown.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
