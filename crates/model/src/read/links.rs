//! `[[lab.link]]`: cables between switches.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::switches::Switches;
use super::tree::Item;
use crate::cluster::Link;
use crate::name::SwitchName;
use crate::reference;

/// Most links.
const MOST: usize = 1024;

/// Reads all links, with their places.
pub(super) fn read(findings: &mut Findings<'_>, item: &Item<'_>, switches: &Switches) -> Vec<(Link, Span)> {
    let example = "[[lab.link]] and below it between = [\"switch1\", \"switch2\"]";
    let Some(list) = item.value.as_array() else {
        let message = "`lab.link` must be a list of tables";
        findings.value(&item.span, message, format!("write {example}"));
        return Vec::new();
    };
    if list.len() > MOST {
        findings.value(
            &item.span,
            format!("there are more than {MOST} links"),
            "link the switches in a tree or a ring",
        );
    }
    let mut links = Vec::new();
    let mut seen: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    for value in list.iter().take(MOST) {
        let entry = item.of_list(value);
        let Some(table) = entry.value.as_table() else {
            findings.value(&entry.span, "a link must be a table", format!("write {example}"));
            continue;
        };
        let fields = Fields::open(findings, table, &entry.span, "this link", &[&reference::LINK]);
        let cost = fields.find("cost").and_then(|item| item.integer(findings, 1..=65_535, "10"));
        let Some(item) = fields.require(findings, "between", "[\"switch1\", \"switch2\"]") else { continue };
        let Some((a, b)) = ends(findings, item, switches) else { continue };
        if let Some(before) = seen.insert((a.min(b), a.max(b)), item.span.clone()) {
            let message = format!("`{a}` and `{b}` are linked already, line {}", findings.line_of(&before));
            findings.error(&item.span, message, "remove one of the two links");
            continue;
        }
        let (a, b) = (SwitchName::new(a), SwitchName::new(b));
        let cost = cost.and_then(|cost| u16::try_from(cost).ok());
        links.push((Link { a, b, cost }, item.span.clone()));
    }
    links
}

fn ends<'a>(findings: &mut Findings<'_>, item: &Item<'a>, switches: &Switches) -> Option<(&'a str, &'a str)> {
    let list: Vec<Item<'a>> = match item.value.as_array() {
        Some(list) => list.iter().map(|value| item.of_list(value)).collect(),
        None => Vec::new(),
    };
    let [a, b] = list.as_slice() else {
        findings.value(
            &item.span,
            "`between` must be two switches",
            "write between = [\"switch1\", \"switch2\"]",
        );
        return None;
    };
    let (first, second) = (a.text(findings, "\"switch1\""), b.text(findings, "\"switch2\""));
    let (first, second) = (first?, second?);
    let known = switches.names.resolve(findings, first, &a.span);
    if !(switches.names.resolve(findings, second, &b.span) && known) {
        return None;
    }
    if first == second {
        findings.error(
            &item.span,
            format!("switch `{first}` is linked to itself"),
            "name two different switches",
        );
        return None;
    }
    let (one, other) = (&switches.find(first)?.network, &switches.find(second)?.network);
    if one != other {
        let message = format!("`{first}` carries network `{one}`, `{second}` carries `{other}`");
        findings.error(&item.span, message, "link switches of one network only");
        return None;
    }
    Some((first, second))
}
