//! The directors of a group and their priorities.

use std::collections::BTreeMap;

use super::findings::{Findings, Span};
use super::nodes::Nodes;
use super::suggest;
use super::tree::{Item, entries};
use crate::cluster::{Family, Role};
use crate::name::{NetworkName, NodeName};

/// Priorities of directors in the file's order, when the file says none.
const PRIORITIES: [u8; 16] = [150, 100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 9, 8, 7, 6, 5];

/// Every director, in the file's order, with the default priorities.
pub(super) fn all_directors(findings: &mut Findings<'_>, nodes: &Nodes, at: &Span) -> Vec<(NodeName, u8)> {
    if nodes.directors().count() > PRIORITIES.len() {
        let message = format!("there are more than {} directors", PRIORITIES.len());
        findings.error(at, message, "say who holds this group: priority = { lb1 = 150, lb2 = 100 }");
    }
    nodes.directors().map(|node| node.name.clone()).zip(PRIORITIES).collect()
}

/// `priority = { bal1 = 150, bal2 = 100 }`, highest first.
pub(super) fn read(findings: &mut Findings<'_>, item: &Item<'_>, nodes: &Nodes) -> Vec<(NodeName, u8)> {
    let mut priorities: Vec<(NodeName, u8)> = Vec::new();
    let Some(table) = item.table(findings, "{ lb1 = 150, lb2 = 100 }") else { return priorities };
    let mut seen: BTreeMap<u8, &str> = BTreeMap::new();
    for entry in entries(table) {
        if !nodes.names.resolve(findings, entry.name, &entry.key) {
            continue;
        }
        if let Some(node) = nodes.find(entry.name)
            && !(node.roles.is_empty() || node.is(Role::Director))
        {
            let directors: Vec<&str> = nodes.directors().map(|node| node.name.as_str()).collect();
            let hint = match directors.as_slice() {
                [] => "give it the role \"director\"".to_owned(),
                some => format!("give it the role \"director\", or name {}", suggest::list(some)),
            };
            findings.error(&entry.key, format!("node `{}` is not a director", entry.name), hint);
        }
        if entry.value.as_integer().is_some_and(|number| number.as_str() == "255") {
            let message = "the priority 255 belongs to the owner of an address";
            findings.value(
                &entry.span,
                message,
                "write a number from 1 to 254: here nobody owns it (RFC 9568, 5.2.4)",
            );
            continue;
        }
        let priority = entry.integer(findings, 1..=254, "100").and_then(|number| u8::try_from(number).ok());
        let Some(priority) = priority else { continue };
        if let Some(other) = seen.insert(priority, entry.name) {
            let message = format!("`{other}` and `{}` have the same priority {priority}", entry.name);
            findings.error(
                &entry.span,
                message,
                "give each director its own, so that it is clear who comes next",
            );
        }
        priorities.push((NodeName::new(entry.name), priority));
    }
    priorities.sort_by_key(|(_, priority)| std::cmp::Reverse(*priority));
    priorities
}

/// Whether these directors can hold a group with addresses on these networks.
pub(super) fn check(
    findings: &mut Findings<'_>,
    nodes: &Nodes,
    priorities: &[(NodeName, u8)],
    routers: &[(NetworkName, Family)],
    group: &str,
    at: &Span,
) {
    match priorities {
        [] if nodes.may_have_more_directors() => {}
        [] => {
            let hint = "give two nodes roles = [\"director\"]";
            findings.error(at, format!("group `{group}` has no director"), hint);
        }
        [(only, _)] => {
            let message = format!("only `{only}` can hold group `{group}`: when it fails, nobody takes over");
            findings.lint(at, message, "add a second director");
        }
        _ => {}
    }
    let members = priorities.iter().filter_map(|(name, _)| nodes.find(name));
    for node in members.filter(|node| node.is(Role::Director) && !nodes.is_doubtful(&node.name)) {
        for (network, family) in routers {
            let address = node.address_on(network);
            let (message, example) = match (address.map(|address| address.of(*family)), family) {
                (Some(Some(_)), _) => continue,
                (Some(None), _) => (
                    format!("director `{}` has no IPv6 address on network `{network}`", node.name),
                    "[\"...\", \"...\"]",
                ),
                (None, Family::V4) => {
                    (format!("director `{}` is not on network `{network}`", node.name), "\"...\"")
                }
                // Told already, or to be told with the IPv4 address that it needs as well.
                (None, Family::V6) if routers.contains(&(network.clone(), Family::V4)) => continue,
                (None, Family::V6) => {
                    (format!("director `{}` is not on network `{network}`", node.name), "[\"...\", \"...\"]")
                }
            };
            let message = format!("{message}, where group `{group}` has an address");
            let hint = format!(
                "add address.{network} = {example} to the node, or leave it out of the group's `priority`"
            );
            findings.error(&nodes.span(&node.name), message, hint);
        }
    }
}
