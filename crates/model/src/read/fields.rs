//! A table with a fixed set of keys, which know the ranges of their values.

use std::time::Duration;

use toml::de::DeTable;

use super::findings::{Findings, Span};
use super::foreign;
use super::suggest;
use super::tree::{Item, entries};
use crate::cluster::Mode;
use crate::reference::{Kind, Table};

/// A table with a fixed set of keys.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    what: String,
    span: Span,
    items: Vec<Item<'a>>,
    /// What its keys are and which values they can have.
    tables: Vec<&'static Table>,
    /// Where its own tables are, as in `lab.`.
    pub(super) within: &'static str,
    /// Keys that a misspelled one was probably meant to be.
    meant: Vec<String>,
}

impl<'a> Fields<'a> {
    /// Opens a table and reports keys that it cannot have. `what` names it in messages.
    pub(super) fn open(
        findings: &mut Findings<'_>,
        table: &'a DeTable<'a>,
        span: &Span,
        what: &str,
        tables: &[&'static Table],
    ) -> Self {
        let items = entries(table);
        let mut meant = Vec::new();
        let known = || tables.iter().flat_map(|table| table.names());
        for item in items.iter().filter(|item| !known().any(|name| name == item.name)) {
            if findings.is_full() {
                findings.skip(1);
                continue;
            }
            let message = format!("{what} has no key `{}`", item.name);
            if let Some((hint, key)) = foreign::hint(item.name, tables) {
                findings.error(&item.key, message, hint);
                meant.extend(key.map(str::to_owned));
                continue;
            }
            let mut hint = suggest::one_of(item.name, known());
            if hint.ends_with(" others") {
                hint.push_str("; `relevo reference` tells them all");
            }
            findings.error(&item.key, message, hint);
            meant.extend(suggest::nearest(item.name, known()).map(str::to_owned));
        }
        let (what, span) = (what.to_owned(), span.clone());
        Self { what, span, items, tables: tables.to_vec(), within: "", meant }
    }

    /// Opens a table that was opened before: what is wrong with its keys has been reported.
    pub(super) fn again(table: &'a DeTable<'a>, span: &Span, what: &str, tables: &[&'static Table]) -> Self {
        let (what, span, items) = (what.to_owned(), span.clone(), entries(table));
        Self { what, span, items, tables: tables.to_vec(), within: "", meant: Vec::new() }
    }

    /// A table that is not there.
    pub(super) fn none(what: &str) -> Self {
        let what = what.to_owned();
        Self { what, span: 0..0, items: Vec::new(), tables: Vec::new(), within: "", meant: Vec::new() }
    }

    /// The value of a key, if it is there.
    pub(super) fn find(&self, key: &str) -> Option<&Item<'a>> {
        self.items.iter().find(|item| item.name == key)
    }

    /// The value of a key that must be there; `example` is what to write.
    pub(super) fn require(&self, findings: &mut Findings<'_>, key: &str, example: &str) -> Option<&Item<'a>> {
        let found = self.find(key);
        if found.is_none() && !self.meant.iter().any(|meant| meant == key) {
            findings.error(
                &self.span,
                format!("{} has no `{key}`", self.what),
                format!("add {key} = {example}"),
            );
        }
        found
    }

    /// Where the table begins.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// How messages name it.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// The keys that are there and belong to this table, in the file's order.
    pub(super) fn of(&self, table: &'static Table) -> impl Iterator<Item = &Item<'a>> {
        self.items.iter().filter(|item| table.key(item.name).is_some())
    }

    /// A yes or no.
    pub(super) fn flag(&self, findings: &mut Findings<'_>, key: &str) -> Option<bool> {
        self.find(key)?.boolean(findings)
    }

    /// A whole number within the key's range.
    pub(super) fn number<T: TryFrom<i64>>(&self, findings: &mut Findings<'_>, key: &str) -> Option<T> {
        let item = self.find(key)?;
        let Some(Kind::Integer { least, most }) = self.kind(key) else { return None };
        let example = least.max(1).min(most).to_string();
        item.integer(findings, least..=most, &example).and_then(|number| T::try_from(number).ok())
    }

    /// A duration within the key's range.
    pub(super) fn time(&self, findings: &mut Findings<'_>, key: &str) -> Option<Duration> {
        let item = self.find(key)?;
        let (least, most) = self.kind(key).and_then(Kind::times)?;
        item.duration(findings, least..=most)
    }

    /// A size within the key's range, bytes.
    pub(super) fn size(&self, findings: &mut Findings<'_>, key: &str) -> Option<u64> {
        let item = self.find(key)?;
        let Some(Kind::Size { least, most }) = self.kind(key) else { return None };
        item.size(findings, least..=most)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &self,
        findings: &mut Findings<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        self.find(key)?.word(findings, words)
    }

    /// Reports keys of a table that have no meaning in a service's mode.
    pub(super) fn fit(&self, findings: &mut Findings<'_>, mode: Mode, table: &'static Table) {
        for item in self.of(table) {
            let Some(key) = table.key(item.name) else { continue };
            if !key.modes.contains(&mode) {
                misplaced(findings, &item.key, item.name, mode, key.modes);
            }
        }
    }

    /// The keys of a table that are there, with the modes that they have a meaning in.
    pub(super) fn uses(&self, table: &'static Table) -> Vec<Use> {
        let used = |item: &Item<'a>| {
            let modes = table.key(item.name)?.modes;
            Some(Use { name: item.name.to_owned(), span: item.key.clone(), modes })
        };
        self.of(table).filter_map(used).collect()
    }

    fn kind(&self, key: &str) -> Option<Kind> {
        let found = self.tables.iter().find_map(|table| table.key(key));
        debug_assert!(found.is_some(), "no table has the key {key}");
        found.map(|key| key.kind)
    }
}

/// Something that has a meaning in some modes only.
#[derive(Clone, Debug)]
pub(super) struct Use {
    /// What is written.
    pub(super) name: String,
    /// Where.
    pub(super) span: Span,
    /// The modes in which it has a meaning.
    pub(super) modes: &'static [Mode],
}

/// Reports a key that has no meaning in a mode.
pub(super) fn misplaced(findings: &mut Findings<'_>, span: &Span, name: &str, mode: Mode, right: &[Mode]) {
    let message = format!("`{name}` has no meaning in mode `{}`", mode_word(mode));
    let hint = match right.first() {
        Some(Mode::Http) => "remove it, or write mode = \"http\"".to_owned(),
        Some(_) => {
            let words: Vec<&str> = right.iter().map(|mode| mode_word(*mode)).collect();
            format!("remove it; it is for mode {}", suggest::list(&words))
        }
        None => "remove it".to_owned(),
    };
    findings.error(span, message, hint);
}

/// A mode as it is written.
pub(super) const fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
        Mode::Udp => "udp",
    }
}
