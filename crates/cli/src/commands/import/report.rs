//! The account of every line, as a table.

use std::fmt::Write as _;

use relevo_import::{Entry, Fate};
use serde::Serialize;

use crate::printer::{BAD, Cell, DOUBT, GOOD, cell, count, styled, table as lined_up};

/// Longest text of a line that is shown, characters.
const SHOWN: usize = 56;

/// How many lines had which fate at worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    lines: usize,
    carried: usize,
    about: usize,
    dropped: usize,
}

impl Tally {
    /// Of these.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut tally = Self { lines: entries.len(), ..Self::default() };
        for entry in entries {
            match entry.worst() {
                Some(Fate::Carried { .. }) => tally.carried += 1,
                Some(Fate::Approximated { .. }) => tally.about += 1,
                Some(Fate::Dropped { .. }) | None => tally.dropped += 1,
            }
        }
        tally
    }

    /// `41 lines: 30 carried, 6 about, 5 dropped`.
    pub(super) fn words(&self) -> String {
        let Self { lines, carried, about, dropped } = *self;
        format!("{}: {carried} carried, {about} about, {dropped} dropped", count(lines, "line"))
    }
}

/// The table, and how many.
pub(super) fn table(entries: &[Entry]) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for entry in entries {
        for (index, fate) in entry.fates.iter().enumerate() {
            let (style, word, why) = match fate {
                Fate::Carried { to } => (GOOD, "carried", to.clone()),
                Fate::Approximated { to, how } => (DOUBT, "about", format!("{to}: {how}")),
                Fate::Dropped { why } => (BAD, "dropped", why.clone()),
            };
            let first = index == 0;
            let place = if first { format!("{}:{}", entry.file, entry.line) } else { String::new() };
            let text = if first { short(&entry.text) } else { String::new() };
            rows.push(vec![cell(place), styled(style, word), cell(text), cell(why)]);
        }
    }
    let mut out = lined_up(0, &["LINE", "BECAME", "TEXT", "WHERE, OR WHY NOT"], &rows);
    let _ = writeln!(out, "{}", Tally::of(entries).words());
    out
}

/// The table without colours.
pub(super) fn plain(entries: &[Entry]) -> String {
    anstream::adapter::strip_str(&table(entries)).to_string()
}

fn short(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN - 1).chain(['…']).collect()
}
