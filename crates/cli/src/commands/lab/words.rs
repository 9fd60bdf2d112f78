//! What `relevo lab` says in words.

use std::fmt::Write as _;

use relevo_api::types::{GroupState, Status};
use relevo_lab::{LabStatus, MainState, NodeKind, NodeStatus, PortState, SwitchStatus, draw, state_word};
use relevo_model::ClusterFile;

/// What `relevo lab up` ends with.
pub(super) fn summary(cluster: &ClusterFile, seen: &LabStatus, foreground: bool, is_only: bool) -> String {
    let mut text = nodes(seen);
    let name = &seen.name;
    // With several labs, commands must say which one they mean.
    let (option, argument) =
        if is_only { (String::new(), String::new()) } else { (format!(" --lab {name}"), format!(" {name}")) };
    if let Some(url) = &seen.url {
        let _ = write!(text, "\nThe lab {name} is up. Open {url} in a browser.\n\n");
    } else {
        let _ = write!(text, "\nThe lab {name} is up.\n\n");
    }
    let director = worth_killing(seen).map_or("NODE", |node| node.name.as_str());
    let client = seen.nodes.iter().find(|node| node.kind == NodeKind::Client);
    if let (Some(client), Some(at)) =
        (client, cluster.services.first().and_then(|service| service.listen.first()))
    {
        let _ = writeln!(text, "  relevo lab exec{option} {} -- curl -s http://{}/", client.name, at.at);
    }
    let _ = writeln!(text, "  relevo lab status{argument}");
    let _ = writeln!(
        text,
        "  relevo lab fault{option} kill {director}      and: relevo lab fault{option} start {director}"
    );
    let _ = writeln!(text, "  relevo lab shell{option} {director}");
    let _ = match foreground {
        true => writeln!(text, "  Ctrl-C takes it down"),
        false => writeln!(text, "  relevo lab down{argument}"),
    };
    text
}

/// The active director, or the first one: that it dies says most.
fn worth_killing(seen: &LabStatus) -> Option<&NodeStatus> {
    let is_active = |node: &&NodeStatus| {
        let mut groups = node.api.iter().flat_map(|api| &api.groups);
        groups.any(|group| group.state == GroupState::Active)
    };
    let directors = || seen.nodes.iter().filter(|node| node.kind == NodeKind::Director);
    directors().find(is_active).or_else(|| directors().next())
}

/// `relevo lab status`.
pub(super) fn status(cluster: &ClusterFile, seen: &LabStatus) -> String {
    let how = if seen.rootless { "without root" } else { "as root" };
    let mut text = format!("lab {}, {how}, keeper {}\n\n{}", seen.name, seen.keeper, draw(cluster, seen));
    let _ = write!(text, "\n{}\n{}", nodes(seen), switches(seen));
    text
}

fn nodes(seen: &LabStatus) -> String {
    let mut rows = vec![["NODE", "ROLE", "STATE", "ADDRESSES", "PROCESSES"].map(str::to_owned)];
    for node in &seen.nodes {
        let kind = match node.kind {
            NodeKind::Director => "director",
            NodeKind::Server => "server",
            NodeKind::Client => "client",
        };
        let held = node.addresses.iter().map(|held| match held.is_virtual {
            true => format!("{}*", held.ip),
            false => held.ip.to_string(),
        });
        let processes: Vec<String> =
            node.processes.iter().map(|process| format!("{} {}", process.pid, process.name)).collect();
        let processes = match processes.as_slice() {
            [first, second, _, .., last] => format!("{first}, {second} ... {last}"),
            few => few.join(", "),
        };
        let held: Vec<String> = held.collect();
        rows.push([node.name.clone(), kind.to_owned(), state(node), held.join(" "), processes]);
    }
    let mut text = table(&rows);
    if seen.nodes.iter().flat_map(|node| &node.addresses).any(|held| held.is_virtual) {
        text.push_str("* virtual address\n");
    }
    text
}

fn state(node: &NodeStatus) -> String {
    let unplugged: Vec<&str> =
        node.plugs.iter().filter(|plug| !plug.plugged).map(|plug| plug.network.as_str()).collect();
    let mut state = match &node.main {
        MainState::None => String::from("-"),
        MainState::Frozen { .. } => String::from("frozen"),
        MainState::Dead { how } => format!("dead ({how})"),
        MainState::Running { .. } => match (&node.api, node.kind) {
            (Some(api), _) => groups(api),
            (None, NodeKind::Director) => String::from("running, does not answer"),
            (None, NodeKind::Server | NodeKind::Client) => String::from("running"),
        },
    };
    if !unplugged.is_empty() {
        let _ = write!(state, ", unplugged from {}", unplugged.join(" and "));
    }
    state
}

fn groups(api: &Status) -> String {
    let list: Vec<String> = match api.groups.as_slice() {
        [] => vec![String::from("running")],
        [one] => vec![state_word(one.state).to_owned()],
        several => {
            several.iter().map(|group| format!("{} {}", group.name, state_word(group.state))).collect()
        }
    };
    list.join(", ")
}

fn switches(seen: &LabStatus) -> String {
    let mut rows = vec![["SWITCH", "NETWORK", "STATE", "PORTS"].map(str::to_owned)];
    for switch in &seen.switches {
        let state = match (switch.on, switch.stp, switch.root) {
            (false, ..) => "off",
            (true, true, true) => "on, root",
            (true, ..) => "on",
        };
        rows.push([switch.name.clone(), switch.network.clone(), state.to_owned(), ports(switch)]);
    }
    let mut text = table(&rows);
    for link in seen.links.iter().filter(|link| link.cut) {
        let _ = writeln!(text, "cut: {} {}", link.a, link.b);
    }
    text
}

/// The ports, with their state where it is not forwarding.
fn ports(switch: &SwitchStatus) -> String {
    let list: Vec<String> = switch
        .ports
        .iter()
        .map(|port| match port.state {
            PortState::Forwarding => port.name.clone(),
            PortState::Disabled => format!("{} (down)", port.name),
            PortState::Listening => format!("{} (listening)", port.name),
            PortState::Learning => format!("{} (learning)", port.name),
            PortState::Blocking => format!("{} (blocking)", port.name),
            PortState::Unknown => format!("{} (?)", port.name),
        })
        .collect();
    list.join(", ")
}

/// Columns as wide as their widest cell.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use relevo_api::types::GroupStatus;
    use relevo_model::{GroupName, NodeName};

    fn director(name: &str, state: Option<GroupState>) -> NodeStatus {
        let group = |state| GroupStatus::new(GroupName::new("main"), state, 100);
        let api =
            |state| Status { groups: vec![group(state)], ..Status::new("minimal", NodeName::new(name)) };
        NodeStatus {
            name: name.to_owned(),
            kind: NodeKind::Director,
            main: MainState::Running { pid: 1 },
            processes: Vec::new(),
            addresses: Vec::new(),
            plugs: Vec::new(),
            api: state.map(api),
        }
    }

    #[test]
    fn the_hint_kills_the_active_director() {
        let cluster =
            relevo_model::read(include_str!("../../../../../examples/minimal.toml")).cluster.unwrap();
        let seen = |first, second| LabStatus {
            name: "minimal".into(),
            keeper: 1,
            rootless: false,
            url: None,
            nodes: vec![director("lb1", first), director("lb2", second)],
            switches: Vec::new(),
            resets: Vec::new(),
            links: Vec::new(),
        };
        let active =
            summary(&cluster, &seen(Some(GroupState::Backup), Some(GroupState::Active)), false, true);
        assert!(active.contains("relevo lab fault kill lb2  "), "{active}");
        let nobody = summary(&cluster, &seen(None, Some(GroupState::Backup)), false, true);
        assert!(nobody.contains("relevo lab fault kill lb1  "), "{nobody}");
    }
}
