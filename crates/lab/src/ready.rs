//! Whether a lab is ready, and if not, what is missing. Pure: it judges what was seen.

use relevo_api::types::{AdminState, GroupState, HealthState, ServerStatus};
use relevo_model::ClusterFile;
use relevo_model::cluster::CheckKind;

use crate::status::{LabStatus, MainState, NodeKind, NodeStatus, PortState, state_word};

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
            [] => missing.push(format!(
                "no director is active for the group {}{}",
                group.name,
                why(directors, &group.name)
            )),
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

/// What the directors say of it.
fn why(directors: &[&NodeStatus], group: &str) -> String {
    let said = directors.iter().filter_map(|node| {
        let seen = node.api.as_ref()?.groups.iter().find(|seen| seen.name.as_str() == group)?;
        Some(format!("{} is {}: {}", node.name, state_word(seen.state), seen.reason))
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) }
}

fn is_active(node: &NodeStatus, group: &str) -> bool {
    let groups = node.api.iter().flat_map(|api| &api.groups);
    groups.filter(|seen| seen.name.as_str() == group).any(|seen| seen.state == GroupState::Active)
}

/// Every checked server is up as every director sees it.
fn servers(cluster: &ClusterFile, directors: &[&NodeStatus], missing: &mut Vec<String>) -> String {
    let (mut up, mut all) = (0, 0);
    for director in directors {
        for wanted in &cluster.pools {
            // A director that answers has its pools: its balancer starts before its control socket.
            let seen = director.api.as_ref().and_then(|api| api.pool(&wanted.name));
            let servers = seen.map_or(&[][..], |pool| &pool.servers);
            all += servers.len();
            for server in servers {
                let unchecked = wanted.check.kind == CheckKind::None;
                if is_good(unchecked, server) {
                    up += 1;
                } else {
                    let why =
                        if server.reason.is_empty() { "not checked yet" } else { server.reason.as_str() };
                    missing.push(format!("{} does not see {} up: {why}", director.name, server.name));
                }
            }
        }
    }
    format!("checks {up}/{all}")
}

fn is_good(is_unchecked: bool, server: &ServerStatus) -> bool {
    is_unchecked || server.admin != AdminState::Ready || server.health == HealthState::Up
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterFile {
        relevo_model::read(include_str!("../../../examples/minimal.toml")).cluster.unwrap()
    }

    fn seen(cluster: &ClusterFile) -> LabStatus {
        let node = |node: &relevo_model::cluster::Node| NodeStatus {
            name: node.name.to_string(),
            kind: match node.is(relevo_model::cluster::Role::Director) {
                true => NodeKind::Director,
                false => NodeKind::Server,
            },
            main: MainState::Running { pid: 1 },
            processes: Vec::new(),
            addresses: Vec::new(),
            plugs: Vec::new(),
            api: None,
        };
        LabStatus {
            name: cluster.name.clone(),
            keeper: 1,
            rootless: false,
            url: None,
            nodes: cluster.nodes.iter().map(node).collect(),
            switches: vec![crate::status::SwitchStatus {
                name: "lan".into(),
                network: "lan".into(),
                on: true,
                stp: true,
                root: true,
                ports: vec![crate::status::PortStatus { name: "lb1".into(), state: PortState::Learning }],
            }],
            links: Vec::new(),
            resets: Vec::new(),
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let cluster = cluster();
        let Readiness::Waiting { progress, missing } = readiness(&cluster, &seen(&cluster)) else {
            panic!("it is not ready");
        };
        assert_eq!(progress, "switches 0/1, directors 0/2, checks 0/0");
        let expected = [
            "the switch lan does not pass traffic to lb1 yet",
            "the director lb1 does not answer",
            "the director lb2 does not answer",
            "no director is active for the group main",
        ];
        assert_eq!(missing, expected);
    }

    #[test]
    fn a_dead_process_is_not_waited_for() {
        let cluster = cluster();
        let mut seen = seen(&cluster);
        seen.nodes[2].main = MainState::Dead { how: "exit code 1".into() };
        let expected = Readiness::Hopeless {
            node: "web1".into(),
            reason: "what runs on web1 ended (exit code 1)".into(),
        };
        assert_eq!(readiness(&cluster, &seen), expected);
    }
}
