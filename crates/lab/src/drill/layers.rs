//! Drills of the network below: the spanning tree is given another root or another cost, a VXLAN is cut, and the machines
//! behind the directors go out through another one of them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use relevo_model::cluster::{ClusterFile, Family, Gateway, Switch};
use relevo_model::{NodeName, SwitchName};

use super::facts::Facts;
use super::scripts::{
    ANSWER_WITHIN, LOOK, MOVE_WITHIN, SETTLED_WITHIN, Script, at_rest, link_of_client, tree_again,
    whole_again,
};
use super::stage::{Stage, Stop, reached};
use crate::report::Limits;
use crate::{Fault, PortState};

/// A cost that no way around exceeds in a small mesh.
const DEAR: u16 = 1000;
/// The port at which the gateway's drill asks.
const PORT: u16 = 8088;

/// The tree is calculated anew: ports listen and learn before they pass traffic again. Directors that do not hear each other
/// meanwhile both take the address, so the time with two holders is not limited.
pub(super) fn tree_limits(_facts: &Facts) -> Limits {
    Limits { gap_ms: Some(12_000), ..Limits::default() }
}

/// The servers on this side answer. What was under way to the other side is given up by the checks' and the client's clocks.
pub(super) fn vxlan_limits(_facts: &Facts) -> Limits {
    Limits { gap_ms: Some(2_000), two_holders_ms: Some(0), undo_gap_ms: Some(500), ..Limits::default() }
}

/// As a crash of the director, though its power is gone too; connections that machines behind keep open go on.
pub(super) fn gateway_limits(facts: &Facts) -> Limits {
    let needed = u64::try_from(facts.active_down().as_millis()).unwrap_or(u64::MAX);
    // What is on its way when the power goes is sent again after 200 ms, then 400 ms.
    Limits {
        gap_ms: Some((needed * 5 / 2).max(1500)),
        gap_median_ms: Some((needed * 4 / 3).max(1000)),
        cut: Some(0),
        ..Limits::default()
    }
}

pub(super) fn root_change(stage: &mut Stage<'_>) -> Script {
    let next = next_root(stage)?;
    stage.observe()?;
    let before = stage.note_tree("before")?;
    let set = Fault::SetPriority { switch: next.clone(), priority: 0 };
    stage.strike(vec![(set, Fault::ResetPriority { switch: next.clone() })])?;
    let is_root = |stage: &Stage<'_>| Ok(stage.status()?.switch(&next).is_some_and(|switch| switch.root));
    stage.wait_for(SETTLED_WITHIN, &format!("{next} did not become root"), is_root)?;
    recalculated(stage, &before, &format!("with {next} as root"))
}

pub(super) fn cost_change(stage: &mut Stage<'_>) -> Script {
    let (a, b) = link_of_client(stage)?;
    stage.observe()?;
    let before = stage.note_tree("before")?;
    let set = Fault::SetCost { a: a.clone(), b: b.clone(), cost: DEAR };
    stage.strike(vec![(set, Fault::ResetCost { a: a.clone(), b: b.clone() })])?;
    let is_out = |stage: &Stage<'_>| {
        let status = stage.status()?;
        let blocks = |own: &str, far: &str| {
            status.switch(own).is_some_and(|switch| {
                switch.ports.iter().any(|port| port.name == far && port.state == PortState::Blocking)
            })
        };
        Ok(blocks(&a, &b) || blocks(&b, &a))
    };
    stage.wait_for(SETTLED_WITHIN, &format!("the link between {a} and {b} stays in use"), is_out)?;
    recalculated(stage, &before, &format!("with a cost of {DEAR} between {a} and {b}"))
}

/// Waits until the tree stands, writes it down, and undoes the change.
fn recalculated(stage: &mut Stage<'_>, before: &str, when: &str) -> Script {
    stage.wait_ready()?;
    stage.linger_after_fault(LOOK)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    at_rest(stage)?;
    stage.note_tree(when)?;
    whole_again(stage)?;
    tree_again(stage, before)
}

/// A switch of the asked network that is not the root.
fn next_root(stage: &Stage<'_>) -> Result<String, Stop> {
    let status = stage.status()?;
    let network = stage.facts().network.as_str();
    let own = |switch: &&crate::SwitchStatus| switch.network == network && switch.stp && switch.on;
    let found = status.switches.iter().filter(own).find(|switch| !switch.root);
    found.map(|switch| switch.name.clone()).ok_or_else(|| Stop::Problem("every switch is root".to_owned()))
}

pub(super) fn vxlan_cut(stage: &mut Stage<'_>) -> Script {
    let (switch, sides) = tunnel(stage.cluster(), stage.facts())
        .ok_or_else(|| Stop::Problem("no VXLAN is between the servers".to_owned()))?;
    stage.observe()?;
    stage.note_reached("before")?;
    let cut = Fault::CutVxlan { switch: switch.clone() };
    stage.strike(vec![(cut, Fault::RestoreVxlan { switch })])?;
    let own_side = |stage: &Stage<'_>| {
        let status = stage.status()?;
        let pool = stage.facts().pool.name.clone();
        Ok(sides.iter().all(|(director, servers)| {
            let up: BTreeSet<String> = reached(&status, director, &pool).into_iter().collect();
            up == *servers
        }))
    };
    stage.wait_for(SETTLED_WITHIN, "directors still reach servers on the other side", own_side)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.linger_after_fault(LOOK)?;
    stage.note_reached("without the VXLAN")?;
    whole_again(stage)?;
    stage.note_reached("after")
}

/// Which servers a director reaches.
type Side = (NodeName, BTreeSet<String>);

/// The switch whose tunnel is cut, and which servers each director reaches then.
fn tunnel(cluster: &ClusterFile, facts: &Facts) -> Option<(String, Vec<Side>)> {
    let ends: Vec<&Switch> = cluster.lab.switches.iter().filter(|switch| switch.vxlan.is_some()).collect();
    let end = ends.first()?;
    let plugged = |node: &str| -> Option<&SwitchName> {
        let plug = cluster.lab.plugs.iter();
        let mut own = plug.filter(|plug| plug.node.as_str() == node && plug.network == end.network);
        own.next().map(|plug| &plug.switch)
    };
    let servers = || facts.pool.servers.iter().filter_map(|server| Some((server, server.node.as_ref()?)));
    let mut sides = Vec::new();
    for director in &facts.directors {
        let own = plugged(director)?;
        // The network of the tunnel has no other way between its switches.
        let same = |(_, node): &(&relevo_model::cluster::Server, &NodeName)| plugged(node) == Some(own);
        let names = servers().filter(same).map(|(server, _)| server.name.to_string());
        sides.push((director.clone(), names.collect()));
    }
    let all = facts.pool.servers.len();
    let is_split = sides.iter().any(|(_, reached): &Side| reached.len() < all);
    let has_own = sides.iter().all(|(_, reached)| !reached.is_empty());
    (is_split && has_own && ends.len() == 2).then(|| (end.name.to_string(), sides))
}

pub(super) fn has_tunnel(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    match tunnel(cluster, facts) {
        Some(_) => Ok(()),
        None => Err("no VXLAN is between the servers of this cluster".to_owned()),
    }
}

pub(super) fn gateway_moves(stage: &mut Stage<'_>) -> Script {
    let (gateway, from, client, ip) = way(stage.cluster(), stage.facts())
        .ok_or_else(|| Stop::Problem("nobody uses a gateway".to_owned()))?;
    let networks = [gateway.from.to_string(), gateway.to.to_string()];
    let active = stage.active()?;
    stage.visit_from(&from, &client, SocketAddr::new(ip, PORT))?;
    stage.observe()?;
    // As if its power was cut: its kernel forwards nothing more either.
    let node = active.to_string();
    let mut faults = vec![(Fault::Kill { node: node.clone() }, Fault::Start { node: node.clone() })];
    for network in networks {
        let unplug = Fault::Unplug { node: node.clone(), network: network.clone() };
        faults.push((unplug, Fault::Plug { node: node.clone(), network }));
    }
    stage.strike(faults)?;
    stage.wait_moved(&active, MOVE_WITHIN)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.linger_after_fault(LOOK)?;
    whole_again(stage)
}

/// A gateway of the asked group, a server that uses it, and a client on its other side.
fn way(cluster: &ClusterFile, facts: &Facts) -> Option<(Gateway, String, String, IpAddr)> {
    let gateway = cluster.gateways.iter().find(|gateway| gateway.group == facts.group.name)?;
    let server = facts.servers.iter().find(|server| {
        let node = cluster.node(server);
        node.is_some_and(|node| {
            node.address_on(&gateway.from).is_some() && node.address_on(&gateway.to).is_none()
        })
    })?;
    let client = cluster.lab.clients.iter().find(|client| client.network == gateway.to)?;
    let ip = match gateway.ways.first()?.family {
        Family::V4 => IpAddr::V4(client.ip),
        Family::V6 => IpAddr::V6(client.ip6?),
    };
    Some((gateway.clone(), server.to_string(), client.name.to_string(), ip))
}

pub(super) fn has_gateway(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    if facts.directors.len() < 2 {
        return Err("this cluster has one director".to_owned());
    }
    match way(cluster, facts) {
        Some(_) => Ok(()),
        None => Err("no server of this cluster reaches clients through a gateway".to_owned()),
    }
}
