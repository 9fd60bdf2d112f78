//! Routes and rules that move along: `virtual_routes`, `virtual_rules`.

use super::super::{Director, Node};
use super::plan::Plan;
use crate::draft::{Draft, Table, key, quoted};
use crate::ledger::Ledger;

/// A destination or a source with its prefix length.
fn prefixed(text: &str) -> String {
    let whole = text.contains('/') || matches!(text, "default" | "default6");
    match (whole, text.contains(':')) {
        (true, _) => text.to_owned(),
        (false, true) => format!("{text}/128"),
        (false, false) => format!("{text}/32"),
    }
}

/// The number of a routing table: the kernel's own have names.
fn table_number(text: &str) -> Option<u32> {
    match text {
        "main" => Some(254),
        "local" => Some(255),
        "default" => Some(253),
        _ => text.parse().ok(),
    }
}

/// A route. `own`: the instance's interface and its network.
#[allow(clippy::too_many_arguments, reason = "a route names what all others are about")]
pub(super) fn route(
    director: &Director,
    node: &Node,
    own: (&str, &str),
    here: &str,
    name: &str,
    draft: &Draft,
    plan: &mut Plan,
    ledger: &mut Ledger,
) {
    let mut table = Table::new(format!("[group.{}.route]", key(name)));
    let mut to = None;
    let mut unknown = Vec::new();
    let mut words = node.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "unicast" => {}
            "blackhole" | "unreachable" | "prohibit" | "throw" | "nexthop" | "local" | "broadcast"
            | "multicast" => {
                ledger.dropped(
                    &node.at,
                    format!("a route leads to one router or interface: `{word}` cannot be said"),
                );
                return;
            }
            "to" => to = words.next().map(str::to_owned),
            "via" | "gw" => {
                let next = words.next().unwrap_or_default();
                let next =
                    if matches!(next, "inet" | "inet6") { words.next().unwrap_or_default() } else { next };
                table.set("via", quoted(next));
            }
            "dev" | "oif" => {
                let interface = words.next().unwrap_or_default();
                let network = if interface == own.0 {
                    Some(own.1.to_owned())
                } else {
                    draft.interface_network(&director.name, interface)
                };
                // What the interface is called is each director's own.
                match network {
                    Some(network) => table.set("network", quoted(&network)),
                    None => table.set("interface", quoted(interface)),
                }
            }
            "src" => table.set("source", quoted(words.next().unwrap_or_default())),
            "table" => match words.next().and_then(table_number) {
                Some(number) => table.set("table", number.to_string()),
                None => unknown.push("table"),
            },
            "metric" | "preference" => match words.next().and_then(|text| text.parse::<u32>().ok()) {
                Some(number) => table.set("metric", number.to_string()),
                None => unknown.push("metric"),
            },
            first if to.is_none() && (first == "default" || first.contains(['.', ':', '/'])) => {
                to = Some(first.to_owned());
            }
            other => unknown.push(other),
        }
    }
    let Some(to) = to else {
        ledger.dropped(&node.at, "it names no destination");
        return;
    };
    let to = if to == "0.0.0.0/0" { "default".to_owned() } else { prefixed(&to) };
    table.keys.insert(0, ("to".to_owned(), quoted(&to)));
    settle(node, table, &unknown, here, name, plan, ledger);
}

/// A rule.
pub(super) fn rule(node: &Node, here: &str, name: &str, plan: &mut Plan, ledger: &mut Ledger) {
    let mut table = Table::new(format!("[group.{}.policy]", key(name)));
    let mut unknown = Vec::new();
    let mut words = node.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "from" | "to" => match words.next().unwrap_or_default() {
                "all" | "0.0.0.0/0" => {}
                text => table.set(word, quoted(&prefixed(text))),
            },
            "iif" | "dev" => table.set("interface", quoted(words.next().unwrap_or_default())),
            "table" | "lookup" => match words.next().and_then(table_number) {
                Some(number) => table.set("table", number.to_string()),
                None => {
                    ledger.dropped(&node.at, "the number of its routing table is not known");
                    return;
                }
            },
            "priority" | "preference" | "pref" | "order" => {
                match words.next().and_then(|text| text.parse::<u32>().ok()) {
                    Some(number) => table.set("priority", number.to_string()),
                    None => unknown.push("priority"),
                }
            }
            other => unknown.push(other),
        }
    }
    if table.find("table").is_none() {
        ledger.dropped(&node.at, "a rule leads to a routing table here, and it names none");
        return;
    }
    settle(node, table, &unknown, here, name, plan, ledger);
}

fn settle(
    node: &Node,
    table: Table,
    unknown: &[&str],
    here: &str,
    name: &str,
    plan: &mut Plan,
    ledger: &mut Ledger,
) {
    if unknown.is_empty() {
        ledger.carried(&node.at, here);
    } else {
        ledger.approximated(
            &node.at,
            here,
            format!("without `{}`: look whether that matters", unknown.join(" ")),
        );
    }
    if let Some(group) = plan.find(name) {
        group.add(table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_the_prefix_length_of_their_family() {
        let all = ["10.0.0.1", "10.0.0.0/8", "2001:db8::1", "fd00::/8", "default"].map(prefixed);
        assert_eq!(all, ["10.0.0.1/32", "10.0.0.0/8", "2001:db8::1/128", "fd00::/8", "default"]);
    }

    #[test]
    fn the_kernels_tables_have_names() {
        let all = ["main", "200", "vpn"].map(table_number);
        assert_eq!(all, [Some(254), Some(200), None]);
    }
}
