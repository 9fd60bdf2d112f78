//! The account of every line: what became of it.
//!
//! A line is opened when its file is read and must be settled before the end; one that nobody settled counts as dropped and says
//! so. Comments and empty lines have no entry.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use crate::secret::masked;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// The file's name, as it was given.
    pub(crate) file: Rc<str>,
    /// Counts from 1.
    pub(crate) line: usize,
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase", tag = "fate")]
pub enum Fate {
    /// The cluster file says the same.
    Carried {
        /// Where it says so.
        to: String,
    },
    /// The cluster file says something alike.
    Approximated {
        /// Where it says so.
        to: String,
        /// What differs.
        how: String,
    },
    /// The cluster file says nothing of it.
    Dropped {
        /// Why.
        why: String,
    },
}

/// A line and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The file's name, as it was given.
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    /// The line without the spaces around it, and without passwords.
    pub text: String,
    /// What became of it. If it said several things, several, without doubles; at least one.
    pub fates: Vec<Fate>,
}

/// The entries while they are being written.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lines: BTreeMap<At, (String, Vec<Fate>)>,
    files: Vec<Rc<str>>,
}

impl Ledger {
    /// Opens a file; entries come out in this order.
    pub(crate) fn open_file(&mut self, name: &str) -> Rc<str> {
        let name: Rc<str> = Rc::from(name);
        if !self.files.contains(&name) {
            self.files.push(Rc::clone(&name));
        }
        name
    }

    /// Opens a line that says something.
    pub(crate) fn open(&mut self, at: &At, text: &str) {
        self.lines.entry(at.clone()).or_insert_with(|| (text.trim().to_owned(), Vec::new()));
    }

    /// The cluster file says the same, at `to`.
    pub(crate) fn carried(&mut self, at: &At, to: impl Into<String>) {
        self.settle(at, Fate::Carried { to: to.into() });
    }

    /// The cluster file says something alike.
    pub(crate) fn approximated(&mut self, at: &At, to: impl Into<String>, how: impl Into<String>) {
        self.settle(at, Fate::Approximated { to: to.into(), how: how.into() });
    }

    /// The cluster file says nothing of it.
    pub(crate) fn dropped(&mut self, at: &At, why: impl Into<String>) {
        self.settle(at, Fate::Dropped { why: why.into() });
    }

    /// Whether anything was said of a line.
    pub(crate) fn is_settled(&self, at: &At) -> bool {
        self.lines.get(at).is_some_and(|(_, fates)| !fates.is_empty())
    }

    /// What the cluster file was to say at `table`, or at its `key`, it cannot say.
    pub(crate) fn refuse(&mut self, table: &str, key: Option<&str>, why: &str) {
        let wanted = match key {
            Some(key) => format!("{table} {key}"),
            None => table.to_owned(),
        };
        let is_it = |to: &str| {
            to.strip_prefix(&wanted).is_some_and(|rest| {
                !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_')
            })
        };
        for (_, fates) in self.lines.values_mut() {
            for fate in fates.iter_mut() {
                let hit = match fate {
                    Fate::Carried { to } | Fate::Approximated { to, .. } => is_it(to),
                    Fate::Dropped { .. } => false,
                };
                if hit {
                    *fate =
                        Fate::Dropped { why: format!("the cluster file cannot say it ({wanted}): {why}") };
                }
            }
        }
    }

    /// What became of one line became of another that says the same.
    pub(crate) fn same_as(&mut self, at: &At, other: &At) {
        let fates = self.lines.get(other).map(|(_, fates)| fates.clone()).unwrap_or_default();
        for fate in fates {
            self.settle(at, fate);
        }
    }

    fn settle(&mut self, at: &At, fate: Fate) {
        let (_, fates) = self.lines.entry(at.clone()).or_default();
        if !fates.contains(&fate) {
            fates.push(fate);
        }
    }

    /// All entries: files in the order of opening, lines in theirs.
    pub(crate) fn close(self) -> Vec<Entry> {
        let Self { lines, files } = self;
        let order = |at: &At| files.iter().position(|file| *file == at.file);
        let mut lines: Vec<_> = lines.into_iter().collect();
        lines.sort_by_key(|(at, _)| (order(at), at.line));
        lines
            .into_iter()
            .map(|(at, (text, mut fates))| {
                if fates.is_empty() {
                    let why = "the importer does not know what it means".to_owned();
                    fates.push(Fate::Dropped { why });
                }
                Entry { file: at.file.to_string(), line: at.line, text: masked(&text), fates }
            })
            .collect()
    }
}

impl Entry {
    /// The worst of what became of it.
    pub fn worst(&self) -> Option<&Fate> {
        self.fates.iter().max()
    }
}
