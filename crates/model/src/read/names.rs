//! Names that the file declares, and references to them.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::suggest;
use super::tree::{Item, entries};

/// All names of one kind, also of things that turned out wrong, so that a mistake is reported once.
#[derive(Debug)]
pub(super) struct Names {
    kind: &'static str,
    order: Vec<String>,
    spans: BTreeMap<String, Span>,
    /// Some names could not be read: what is not found may be one of them.
    broken: bool,
}

impl Names {
    /// None of this kind yet.
    pub(super) const fn new(kind: &'static str) -> Self {
        Self { kind, order: Vec::new(), spans: BTreeMap::new(), broken: false }
    }

    /// Adds one.
    pub(super) fn add(&mut self, name: &str, span: &Span) {
        if self.spans.insert(name.to_owned(), span.clone()).is_none() {
            self.order.push(name.to_owned());
        }
    }

    /// Whether it is declared.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.spans.contains_key(name)
    }

    /// Whether some could not be read.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Where it is declared.
    pub(super) fn span(&self, name: &str) -> Option<&Span> {
        self.spans.get(name)
    }

    /// All of them, in the file's order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Whether a name that the file uses is declared; if not, says so.
    pub(super) fn resolve(&self, findings: &mut Findings<'_>, name: &str, span: &Span) -> bool {
        let known = self.contains(name);
        if !known && self.broken {
            return false;
        }
        if !known && findings.is_full() {
            findings.skip(1);
        } else if !known {
            let hint = if self.order.is_empty() {
                format!("no {} is declared", self.kind)
            } else {
                suggest::one_of(name, self.iter())
            };
            findings.error(span, format!("there is no {} `{name}`", self.kind), hint);
        }
        known
    }
}

/// A `[kind.NAME]` table.
#[derive(Debug)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) span: Span,
    pub(super) header: Span,
    pub(super) table: &'a DeTable<'a>,
}

/// The tables under `[kind]`, in the file's order, and all their names, also of those that are not tables.
pub(super) fn named<'a>(
    findings: &mut Findings<'_>,
    fields: &Fields<'a>,
    key: &str,
    kind: &'static str,
    most: usize,
) -> (Vec<Named<'a>>, Names) {
    let mut names = Names::new(kind);
    let Some(outer) = fields.find(key) else { return (Vec::new(), names) };
    let path = format!("{}{key}", fields.within);
    let right = format!("write [{path}.NAME] and below it the {kind}'s keys");
    let Some(table) = outer.value.as_table() else {
        findings.error(&outer.span, format!("`{path}` has only tables by name"), right);
        names.broken = true;
        return (Vec::new(), names);
    };
    let items = entries(table);
    if let Some(extra) = items.get(most) {
        findings.error(
            &extra.key,
            format!("there are more than {most} entries in `{key}`"),
            "split the cluster",
        );
    }
    let mut tables = Vec::new();
    for Item { name, key: span, span: header, value } in items.into_iter().take(most) {
        let Some(table) = value.as_table() else {
            findings.error(
                &span,
                format!("`{name}` is not a table, and `{path}` has only tables by name"),
                &right,
            );
            names.broken = true;
            continue;
        };
        names.add(name, &span);
        check_name(findings, name, &span, kind);
        tables.push(Named { name, span, header, table });
    }
    (tables, names)
}

/// Checks that a name can be a host name, a file name and part of an interface's name.
pub(super) fn check_name(findings: &mut Findings<'_>, name: &str, span: &Span, kind: &str) {
    let fits = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    let problem = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > 63 {
        format!("has {} characters", name.chars().count())
    } else if let Some(wrong) = name.chars().find(|char| !fits(*char)) {
        format!("has the character {wrong:?}")
    } else if !name.starts_with(|char: char| char.is_ascii_alphanumeric()) {
        "does not begin with a letter or digit".to_owned()
    } else if name.parse::<std::net::Ipv4Addr>().is_ok() {
        "looks like an address".to_owned()
    } else {
        return;
    };
    let hint = "a name has 1 to 63 letters, digits, `-`, `_` or `.`, begins with a letter or digit, and is not an IPv4 address";
    findings.value(span, format!("the name of this {kind} {problem}"), hint);
}
