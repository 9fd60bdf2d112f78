//! `[lab.plug]`: which switch each node is plugged into, on each of its networks.

use std::collections::BTreeMap;

use super::findings::{Findings, Span};
use super::nodes::Nodes;
use super::suggest;
use super::switches::Switches;
use super::tree::{Item, entries};
use crate::cluster::{Client, Plug};
use crate::name::{NetworkName, SwitchName};

/// The plugs of all nodes.
pub(super) fn read(
    findings: &mut Findings<'_>,
    item: Option<&Item<'_>>,
    nodes: &Nodes,
    switches: &Switches,
    clients: &[Client],
) -> Vec<Plug> {
    let table = item.and_then(|item| item.table(findings, "{ web1 = \"SWITCH\" }"));
    let mut said: BTreeMap<&str, Item<'_>> = BTreeMap::new();
    for entry in table.map(entries).unwrap_or_default() {
        if clients.iter().any(|client| client.name.as_str() == entry.name) {
            let hint = format!("write switch = \"...\" in [lab.client.{}] instead", entry.name);
            findings.error(&entry.key, format!("`{}` is a client, not a node", entry.name), hint);
        } else if nodes.names.resolve(findings, entry.name, &entry.key) {
            said.insert(entry.name, entry);
        }
    }
    let mut plugs = Vec::new();
    for node in &nodes.list {
        let what = format!("node `{}`", node.name);
        let entry = said.get(node.name.as_str());
        let by_network = entry.and_then(|entry| entry.value.as_table());
        for key in by_network.map(entries).unwrap_or_default() {
            if node.address_on(key.name).is_none() {
                let networks: Vec<&str> =
                    node.addresses.iter().map(|address| address.network.as_str()).collect();
                let message = format!("{what} has no address on network `{}`", key.name);
                findings.error(&key.key, message, format!("it is on {}", suggest::list(&networks)));
            }
        }
        for address in &node.addresses {
            let network = &address.network;
            let value = match by_network {
                Some(table) => entries(table).into_iter().find(|item| item.name == network.as_str()),
                None => entry.cloned(),
            };
            let switch = match value {
                Some(item) => (item.text(findings, "\"SWITCH\""))
                    .and_then(|name| on(findings, switches, name, &item.span, network, &what)),
                None => {
                    let line = format!("{} = {{ {network} = \"SWITCH\" }} under [lab.plug]", node.name);
                    only(findings, switches, network, &what, &nodes.span(&node.name), &line)
                }
            };
            let Some(switch) = switch else { continue };
            plugs.push(Plug { node: node.name.clone(), network: network.clone(), switch });
        }
    }
    plugs
}

/// A switch by its name, if it carries the network.
pub(super) fn on(
    findings: &mut Findings<'_>,
    switches: &Switches,
    name: &str,
    span: &Span,
    network: &NetworkName,
    what: &str,
) -> Option<SwitchName> {
    if !switches.names.resolve(findings, name, span) {
        return None;
    }
    let switch = switches.find(name)?;
    if switch.network == *network {
        return Some(switch.name.clone());
    }
    let message =
        format!("switch `{name}` carries network `{}`, but {what} is on `{network}`", switch.network);
    findings.error(span, message, format!("for `{network}` {}", choices(switches, network)));
    None
}

/// The only switch of a network; several cannot be told apart without the file's word.
pub(super) fn only(
    findings: &mut Findings<'_>,
    switches: &Switches,
    network: &NetworkName,
    what: &str,
    span: &Span,
    line: &str,
) -> Option<SwitchName> {
    let mut all = switches.of(network);
    let (first, second) = (all.next(), all.next());
    if second.is_some() {
        let message =
            format!("network `{network}` has several switches, and {what} does not say which is its own");
        findings.error(span, message, format!("add {line}; {}", choices(switches, network)));
        return None;
    }
    first.map(|switch| switch.name.clone())
}

fn choices(switches: &Switches, network: &NetworkName) -> String {
    let names: Vec<&str> = switches.of(network).map(|switch| switch.name.as_str()).collect();
    if names.is_empty() {
        "there is no switch".to_owned()
    } else {
        format!("it can be {}", suggest::list(&names))
    }
}
