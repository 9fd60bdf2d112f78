//! `[peers]`, and a group's `bfd` and `heartbeat`.

use std::time::Duration;

use super::fields::Fields;
use super::findings::Findings;
use super::groups::Groups;
use super::networks::Networks;
use super::nodes::Nodes;
use super::texts::{file, opened, several};
use crate::cluster::{Bfd, Group, Peers, Role};
use crate::name::{NetworkName, NodeName};
use crate::quantity::format_duration;
use crate::reference::{BFD, PEERS};

/// The port that nothing else of a cluster uses.
const DEFAULT_PORT: u16 = 7402;
/// A pause of the active director that any busy machine has now and then.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads `[peers]`.
pub(super) fn read(findings: &mut Findings<'_>, root: &Fields<'_>) -> Option<Peers> {
    let item = root.find("peers")?;
    let fields = opened(findings, item, &PEERS, "a table", "{ key = \"/etc/relevo/peers.key\" }")?;
    let key = fields.require(findings, "key", "\"/etc/relevo/peers.key\"");
    let key = key.and_then(|item| file(findings, item, "/etc/relevo/peers.key"));
    let port = fields.number(findings, "port").unwrap_or(DEFAULT_PORT);
    Some(Peers { key: key?, port })
}

/// Reads a group's `bfd`: `true`, `false` or a table.
pub(super) fn bfd(findings: &mut Findings<'_>, fields: &Fields<'_>) -> Option<Bfd> {
    let item = fields.find("bfd")?;
    let default = Bfd { interval: Duration::from_millis(10), multiplier: 5 };
    if let Some(on) = item.value.as_bool() {
        return on.then_some(default);
    }
    let example = "true or { interval = \"10ms\", multiplier = 5 }";
    let inner = opened(findings, item, &BFD, "true, false or a table", example)?;
    let interval = inner.time(findings, "interval").unwrap_or(default.interval);
    let multiplier = inner.number(findings, "multiplier").unwrap_or(default.multiplier);
    let detection = interval * u32::from(multiplier);
    if detection < PAUSE {
        let message = format!(
            "a pause of {multiplier} x {} = {} makes the group move, shorter than 50ms",
            format_duration(interval),
            format_duration(detection)
        );
        findings.warning(
            &item.span,
            message,
            "a busy machine pauses that long; write multiplier = 5 or more",
        );
    }
    Some(Bfd { interval, multiplier })
}

/// Reads a group's `heartbeat`: a network's name, or several. Whether it fits is looked at by [`check`].
pub(super) fn heartbeat(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    used: &[NetworkName],
    networks: &Networks,
) -> Vec<NetworkName> {
    let Some(item) = fields.find("heartbeat") else { return Vec::new() };
    let mut list: Vec<NetworkName> = Vec::new();
    for item in several(findings, item, 16) {
        let Some(name) = item.text(findings, "\"heart\"") else { continue };
        if !networks.names.resolve(findings, name, &item.span) {
            continue;
        }
        if list.iter().any(|one| one.as_str() == name) {
            findings.value(&item.span, "a network is there twice", "keep one of them");
        } else if used.iter().any(|one| one.as_str() == name) {
            let message = format!("the group has an address on network `{name}`, which is watched anyway");
            findings.error(
                &item.span,
                message,
                "name a network that has none of its addresses, or remove it",
            );
        } else {
            list.push(NetworkName::new(name));
        }
    }
    list
}

/// Whether every group's heartbeat reaches its directors, and there is a channel to use it.
pub(super) fn check(findings: &mut Findings<'_>, root: &Fields<'_>, groups: &Groups, nodes: &Nodes) {
    for group in groups.list.iter().filter(|group| !group.heartbeat.is_empty()) {
        let Some(span) = groups.heartbeats.get(&group.name).cloned() else { continue };
        if root.find("peers").is_none() {
            let hint = "add [peers] and below it key = \"/etc/relevo/peers.key\"";
            let message =
                format!("the heartbeat of group `{}` needs the channel between directors", group.name);
            findings.error(&span, message, hint);
        }
        for (node, network) in absent(group, nodes) {
            let message = format!(
                "director `{node}` is not on network `{network}`, the heartbeat of group `{}`",
                group.name
            );
            findings.error(&span, message, format!("add address.{network} = \"...\" to the node"));
        }
    }
    let directors = nodes.directors().count();
    if let Some(item) = root.find("peers").filter(|_| directors == 1 && !nodes.may_have_more_directors()) {
        findings.lint(&item.key, "there is only one director: it has no peers", "remove `peers`");
    }
}

/// Directors of the group that are not on one of its heartbeat networks.
fn absent(group: &Group, nodes: &Nodes) -> Vec<(NodeName, NetworkName)> {
    let members = group.priorities.iter().filter_map(|(name, _)| nodes.find(name));
    let members = members.filter(|node| node.is(Role::Director) && !nodes.is_doubtful(&node.name));
    let pairs = members.flat_map(|node| group.heartbeat.iter().map(move |network| (node, network)));
    pairs
        .filter(|(node, network)| node.address_on(network).is_none())
        .map(|(node, network)| (node.name.clone(), network.clone()))
        .collect()
}
