//! What is going on, one line that replaces itself, on stderr.

use std::io::{IsTerminal, Write, stderr};

use crate::printer::{FAINT, paint};

/// A line of progress. Without a terminal only lines that stay are printed, so that logs can be read.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    shown: String,
}

impl Progress {
    /// None shown yet.
    pub(crate) fn new() -> Self {
        Self { terminal: stderr().is_terminal(), shown: String::new() }
    }

    /// Shows this line in place of the last one.
    pub(crate) fn show(&mut self, line: &str) {
        if line == self.shown {
            return;
        }
        line.clone_into(&mut self.shown);
        if self.terminal {
            anstream::eprint!("\r\x1b[2K{}", paint(FAINT, line));
            let _ = stderr().flush();
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
            anstream::eprint!("\r\x1b[2K");
            let _ = stderr().flush();
        }
        self.shown.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
