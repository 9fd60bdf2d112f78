//! Whether a lab is ready, and if not, what is missing. Pure: it judges what was seen.

use relevo_api::types::{AdminState, GroupState, HealthState, ServiceStatus};
use relevo_model::ClusterFile;
use relevo_model::cluster::CheckKind;

use crate::status::{LabStatus, MainState, NodeKind, NodeStatus, PortState};

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Everything is there.
    Ready,
    /// It may still come.
    Waiting {
        /// How far it is, one line.
        progress: String,
        /// What is missing, one sentence each.
        missing: Vec<String>,
    },
    /// It will not come.
    Hopeless {
        /// The node whose log tells why.
        node: String,
        /// What happened.
        reason: String,
    },
}

/// Judges.
pub(crate) fn readiness(cluster: &ClusterFile, seen: &LabStatus) -> Readiness {
    for node in &seen.nodes {
        if let MainState::Dead { how } = &node.main {
            return Readiness::Hopeless {
                node: node.name.clone(),
                reason: format!("what runs on {} ended ({how})", node.name),
            };
        }
    }
    let mut missing = Vec::new();
    let settled = seen.switches.iter().filter(|switch| {
        let unsettled = switch.ports.iter().find(|port| {
            matches!(port.state, PortState::Disabled | PortState::Listening | PortState::Learning)
        });
        if let Some(port) = unsettled {
            missing.push(format!("the switch {} does not pass traffic to {} yet", switch.name, port.name));
        }
        unsettled.is_none()
    });
    let switches = format!("switches {}/{}", settled.count(), seen.switches.len());
    let directors: Vec<&NodeStatus> =
        seen.nodes.iter().filter(|node| node.kind == NodeKind::Director).collect();
    let answering = directors.iter().filter(|node| node.api.is_some()).count();
    for node in directors.iter().filter(|node| node.api.is_none()) {
        missing.push(format!("the director {} does not answer", node.name));
    }
    groups(cluster, seen, &directors, &mut missing);
    let servers = servers(cluster, &directors, &mut missing);
    if missing.is_empty() {
        return Readiness::Ready;
    }
    let progress = format!("{switches}, directors {answering}/{}, {servers}", directors.len());
    Readiness::Waiting { progress, missing }
}

/// One active director for each group, which has all its addresses and nobody else has.
fn groups(cluster: &ClusterFile, seen: &LabStatus, directors: &[&NodeStatus], missing: &mut Vec<String>) {
    for group in &cluster.groups {
        let active: Vec<&str> = directors
            .iter()
            .filter(|node| is_active(node, &group.name))
            .map(|node| node.name.as_str())
            .collect();
        match active.as_slice() {
            [] => missing.push(format!("no director is active for the group {}", group.name)),
            [one] => {
                for address in cluster.addresses_of(&group.name) {
                    if seen.holders(address.ip) != [*one] {
                        missing.push(format!("{} is not on {one} alone", address.ip));
                    }
                }
            }
            several => missing.push(format!("{} are all active for {}", several.join(" and "), group.name)),
        }
    }
}

fn is_active(node: &NodeStatus, group: &str) -> bool {
    let groups = node.api.iter().flat_map(|api| &api.groups);
    groups.filter(|seen| seen.name.as_str() == group).any(|seen| seen.state == GroupState::Active)
}

/// Every checked server is up on every director.
fn servers(cluster: &ClusterFile, directors: &[&NodeStatus], missing: &mut Vec<String>) -> String {
    let (mut up, mut all) = (0, 0);
    for director in directors {
        let services: &[ServiceStatus] = director.api.as_ref().map_or(&[], |api| &api.services);
        for service in services {
            let checked = cluster
                .services
                .iter()
                .any(|one| one.name == service.name && one.check.kind != CheckKind::None);
            for server in service.servers.iter().filter(|server| server.admin == AdminState::Ready) {
                all += 1;
                if !checked || server.health == HealthState::Up {
                    up += 1;
                } else {
                    let why =
                        if server.reason.is_empty() { "not checked yet" } else { server.reason.as_str() };
                    missing.push(format!("{} sees {} not up: {why}", director.name, server.name));
                }
            }
        }
    }
    format!("checks {up}/{all}")
}
