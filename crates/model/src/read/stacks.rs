//! Interfaces of one node together: each name once, each port in one place, nothing on itself, and room for what is
//! carried.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use super::layer2::Placed;
use super::networks::Networks;
use super::nodes::Nodes;
use crate::cluster::{Interface, Network, Node, mtu_of, underlay_mtu, vxlan_overhead};

/// Looks at the interfaces of every node.
pub(super) fn check(findings: &mut Findings<'_>, list: &[Placed], networks: &Networks, nodes: &Nodes) {
    if list.is_empty() {
        return;
    }
    // One finding for each table, however many nodes it is on.
    let mut told: BTreeSet<(usize, usize)> = BTreeSet::new();
    for node in &nodes.list {
        let own: Vec<(usize, &Placed)> =
            list.iter().enumerate().filter(|(_, placed)| placed.interface.is_on(&node.name)).collect();
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ports: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, placed) in &own {
            let name = placed.interface.name.as_str();
            if let Some(other) = names.insert(name, *index)
                && told.insert((other, *index))
            {
                let line = list.get(other).map_or(0, |other| findings.line_of(&other.span));
                let message = format!("node `{}` has an interface `{name}` already, line {line}", node.name);
                findings.error(&placed.span, message, "give one of them other nodes, or another `name`");
            }
            for (port, span) in
                placed.below.iter().filter(|(port, _)| placed.interface.ports().contains(port))
            {
                let Some(other) = ports.insert(port, *index) else { continue };
                if other != *index && told.insert((other, *index)) {
                    let line = list.get(other).map_or(0, |other| findings.line_of(&other.span));
                    let message =
                        format!("`{port}` is a port of another interface of `{}`, line {line}", node.name);
                    findings.error(span, message, "an interface is a port of one other only");
                }
            }
        }
        let looped = loops(findings, list, &names, &mut told);
        if !looped {
            let own: Vec<&Interface> = own.iter().map(|(_, placed)| &placed.interface).collect();
            room(findings, list, &own, &networks.list, node, &mut told);
        }
        if findings.is_full() {
            return;
        }
    }
}

/// Whether an interface lies on itself, at once or through others.
fn loops(
    findings: &mut Findings<'_>,
    list: &[Placed],
    names: &BTreeMap<&str, usize>,
    told: &mut BTreeSet<(usize, usize)>,
) -> bool {
    let below = |index: usize| list.get(index).map(|placed| placed.below.as_slice()).unwrap_or_default();
    // 0: not seen, 1: on the way, 2: done.
    let mut seen: BTreeMap<usize, u8> = BTreeMap::new();
    let mut found = false;
    for start in names.values() {
        let mut way: Vec<(usize, usize)> = vec![(*start, 0)];
        if seen.contains_key(start) {
            continue;
        }
        seen.insert(*start, 1);
        while let Some((index, next)) = way.pop() {
            let Some((name, span)) = below(index).get(next) else {
                seen.insert(index, 2);
                continue;
            };
            way.push((index, next + 1));
            let Some(lower) = names.get(name.as_str()) else { continue };
            match seen.get(lower) {
                Some(1) => {
                    found = true;
                    if told.insert((*lower, index)) {
                        let message = format!("`{name}` lies on itself");
                        findings.error(span, message, "an interface cannot carry what carries it");
                    }
                }
                Some(_) => {}
                None => {
                    seen.insert(*lower, 1);
                    way.push((*lower, 0));
                }
            }
        }
    }
    found
}

/// Whether a VXLAN's packets fit into what they travel on, where the file tells its MTU.
fn room(
    findings: &mut Findings<'_>,
    list: &[Placed],
    own: &[&Interface],
    networks: &[Network],
    node: &Node,
    told: &mut BTreeSet<(usize, usize)>,
) {
    for (index, placed) in list.iter().enumerate().filter(|(_, placed)| placed.interface.is_on(&node.name)) {
        let Some(span) = &placed.mtu else { continue };
        let Some((below, is_ipv6)) = underlay_mtu(own, networks, node, &placed.interface) else { continue };
        let most = below.saturating_sub(vxlan_overhead(is_ipv6));
        let mtu = mtu_of(own, networks, node, &placed.interface.name);
        if let Some(mtu) = mtu.filter(|mtu| *mtu > most)
            && told.insert((index, index))
        {
            let message =
                format!("packets of {mtu} bytes do not fit into the VXLAN: it lies on an MTU of {below}");
            findings.error(span, message, format!("write at most {most}, or remove it: it is computed"));
        }
    }
}
