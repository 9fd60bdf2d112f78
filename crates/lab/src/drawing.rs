//! Draws a lab in the terminal: networks, switches, what is plugged into them, and who is active. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;

use relevo_model::ClusterFile;

use crate::status::{LabStatus, MainState, NodeStatus, PortState, SwitchStatus, state_word};
use crate::topology::INTERFACE_NAME_MAX;

/// Draws what was seen of a lab that was made from this cluster file, as lines of text without colours.
pub fn draw(cluster: &ClusterFile, seen: &LabStatus) -> String {
    let mut text = String::new();
    for network in &cluster.networks {
        let _ = writeln!(
            text,
            "{} {}{}",
            network.name,
            network.subnet,
            virtual_addresses(cluster, &network.name)
        );
        let switches: Vec<&SwitchStatus> =
            seen.switches.iter().filter(|switch| switch.network == network.name.as_str()).collect();
        for (index, switch) in switches.iter().enumerate() {
            let (branch, stem) =
                if index + 1 == switches.len() { ("└──", "   ") } else { ("├──", "│  ") };
            draw_switch(&mut text, cluster, seen, switch, (branch, stem));
        }
        text.push('\n');
    }
    if !seen.links.is_empty() {
        text.push_str("══ passes traffic   ·· passes none   ╳ cut   ~~ VXLAN\n");
    }
    if let Some(url) = &seen.url {
        let _ = writeln!(text, "open {url}");
    }
    text
}

fn virtual_addresses(cluster: &ClusterFile, network: &str) -> String {
    let on_network = cluster.addresses.iter().filter(|address| address.network.as_str() == network);
    let list: Vec<String> = on_network.map(|address| format!("{} {}", address.name, address.ip)).collect();
    if list.is_empty() { String::new() } else { format!(", virtual: {}", list.join(", ")) }
}

fn draw_switch(
    text: &mut String,
    cluster: &ClusterFile,
    seen: &LabStatus,
    switch: &SwitchStatus,
    (branch, stem): (&str, &str),
) {
    let mut notes = Vec::new();
    if !switch.on {
        notes.push(String::from("SWITCHED OFF"));
    }
    if switch.root {
        notes.push(String::from("root"));
    }
    let config = cluster.lab.switches.iter().find(|one| one.name.as_str() == switch.name);
    if let Some(tunnel) = config.and_then(|config| config.vxlan.as_ref()) {
        notes.push(format!("vxlan {} over {}, {}", tunnel.id, tunnel.over, tunnel.ip));
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    let _ = writeln!(text, "{branch} [{}]{notes}{}", switch.name, links(cluster, seen, switch));
    let mut leaves: Vec<Leaf> = Vec::new();
    if let Some(host) = cluster.lab.host.as_ref().filter(|host| host.switch.as_str() == switch.name) {
        leaves.push(Leaf::of("this machine", host.ip.into()));
    }
    for plug in cluster.lab.plugs.iter().filter(|plug| plug.switch.as_str() == switch.name) {
        if let Some(node) = seen.node(&plug.node) {
            leaves.push(leaf(cluster, node, &plug.network));
        }
    }
    let width =
        |part: fn(&Leaf) -> &str| leaves.iter().map(|leaf| part(leaf).chars().count()).max().unwrap_or(0);
    let (names, addresses) = (width(|leaf| &leaf.name), width(|leaf| &leaf.address));
    for (index, leaf) in leaves.iter().enumerate() {
        let twig = if index + 1 == leaves.len() { "└─" } else { "├─" };
        let line = format!("{stem} {twig} {:names$}  {:addresses$}  {}", leaf.name, leaf.address, leaf.notes);
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// The cables to other switches: `══` passes traffic, `··` passes none (STP holds it back, or a switch is off), `╳` is
/// cut.
fn links(cluster: &ClusterFile, seen: &LabStatus, switch: &SwitchStatus) -> String {
    let mut list = Vec::new();
    for link in &seen.links {
        let far = match (link.a == switch.name, link.b == switch.name) {
            (true, _) => &link.b,
            (_, true) => &link.a,
            (false, false) => continue,
        };
        let sign = match (link.cut, held_back(seen, &link.a, &link.b)) {
            (true, _) => "╳",
            (false, true) => "··",
            (false, false) => "══",
        };
        list.push(format!("{sign} {far}"));
    }
    let tunnel = |name: &str| {
        let config = cluster.lab.switches.iter().find(|one| one.name.as_str() == name)?;
        config.vxlan.as_ref().map(|tunnel| tunnel.id)
    };
    if let Some(id) = tunnel(&switch.name) {
        let far = cluster.lab.switches.iter().filter(|other| other.name.as_str() != switch.name);
        list.extend(
            far.filter(|other| tunnel(&other.name) == Some(id)).map(|other| format!("~~ {}", other.name)),
        );
    }
    if list.is_empty() { String::new() } else { format!("  {}", list.join("  ")) }
}

/// Whether a cable passes nothing, because of the port at either end.
fn held_back(seen: &LabStatus, a: &str, b: &str) -> bool {
    let off = |name: &str| seen.switch(name).is_some_and(|switch| !switch.on);
    let closed = |at: &str, far: &str| {
        let ports = seen.switch(at).map_or(&[][..], |switch| &switch.ports);
        let shortened = |port: &str| port.len() == INTERFACE_NAME_MAX && far.starts_with(port);
        let port = ports.iter().find(|port| port.name == far || shortened(&port.name));
        port.is_some_and(|port| !matches!(port.state, PortState::Forwarding | PortState::Unknown))
    };
    off(a) || off(b) || closed(a, b) || closed(b, a)
}

struct Leaf {
    name: String,
    address: String,
    notes: String,
}

impl Leaf {
    fn of(name: &str, ip: IpAddr) -> Self {
        Self { name: name.to_owned(), address: ip.to_string(), notes: String::new() }
    }
}

fn leaf(cluster: &ClusterFile, node: &NodeStatus, network: &str) -> Leaf {
    let configured = cluster
        .node(&node.name)
        .and_then(|one| one.address_on(network))
        .map(|address| IpAddr::V4(address.ip));
    let client = cluster.lab.clients.iter().find(|client| client.name.as_str() == node.name);
    let address = configured.or_else(|| client.map(|client| IpAddr::V4(client.ip)));
    let mut notes = Vec::new();
    let on_network = |ip: IpAddr| {
        cluster.addresses.iter().any(|address| address.ip == ip && address.network.as_str() == network)
    };
    let held = node.addresses.iter().filter(|held| held.is_virtual && on_network(held.ip));
    let held: Vec<String> = held.map(|held| held.ip.to_string()).collect();
    let held = held.join(" and ");
    match &node.main {
        // The kernel keeps the address for a moment: it is a lease. Nobody is active there any more.
        MainState::Dead { .. } | MainState::Frozen { .. } => {
            let word = if matches!(node.main, MainState::Dead { .. }) { "dead" } else { "frozen" };
            notes.push(match held.is_empty() {
                true => word.to_owned(),
                false => format!("{word}, {held} leaves with its lease"),
            });
        }
        MainState::Running { .. } if !held.is_empty() => notes.push(format!("◀ ACTIVE, holds {held}")),
        MainState::Running { .. } => notes.extend(states(cluster, node, network)),
        MainState::None => {}
    }
    if node.plugs.iter().any(|plug| plug.network == network && !plug.plugged) {
        notes.push(String::from("UNPLUGGED"));
    }
    Leaf {
        name: node.name.clone(),
        address: address.map(|ip| ip.to_string()).unwrap_or_default(),
        notes: notes.join(", "),
    }
}

/// What a director is for the groups that have addresses on a network, in the words of the table.
fn states(cluster: &ClusterFile, node: &NodeStatus, network: &str) -> Option<String> {
    let has_address = |group: &&relevo_model::cluster::Group| {
        cluster.addresses_of(&group.name).any(|address| address.network.as_str() == network)
    };
    let groups = cluster.groups.iter().filter(has_address);
    let groups: Vec<_> = groups.filter(|group| group.priority_of(&node.name).is_some()).collect();
    let Some(api) = &node.api else { return (!groups.is_empty()).then(|| String::from("does not answer")) };
    let state = |name: &str| api.groups.iter().find(|own| own.name.as_str() == name).map(|own| own.state);
    let words: Vec<String> = match groups.as_slice() {
        [one] => state(&one.name).map(|state| state_word(state).to_owned()).into_iter().collect(),
        several => {
            let words = |group: &&&relevo_model::cluster::Group| {
                state(&group.name).map(|state| format!("{} {}", group.name, state_word(state)))
            };
            several.iter().filter_map(|group| words(&group)).collect()
        }
    };
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use relevo_api::types::{GroupState, GroupStatus, Status};
    use relevo_model::NodeName;

    use super::*;
    use crate::status::{HeldAddress, LinkStatus, NodeKind, PlugStatus, PortStatus};

    /// What a director says when its only group is in this state.
    fn api(cluster: &ClusterFile, node: &str, state: GroupState) -> Option<Status> {
        let group = &cluster.groups[0];
        let own = GroupStatus::new(group.name.clone(), state, 100);
        Some(Status { groups: vec![own], ..Status::new(&cluster.name, NodeName::new(node)) })
    }

    /// The S4 example as seen when bal1 is active, one link is cut, one held back, and serv3 is dead.
    fn seen(cluster: &ClusterFile) -> LabStatus {
        let plug = |plug: &relevo_model::cluster::Plug| PlugStatus {
            network: plug.network.to_string(),
            switch: plug.switch.to_string(),
            plugged: true,
        };
        let machine = |name: &str, kind, main| NodeStatus {
            name: name.to_owned(),
            kind,
            main,
            processes: Vec::new(),
            addresses: Vec::new(),
            plugs: cluster.lab.plugs.iter().filter(|one| one.node.as_str() == name).map(plug).collect(),
            api: None,
        };
        let running = || MainState::Running { pid: 1 };
        let mut nodes = vec![
            machine("bal1", NodeKind::Director, running()),
            machine("bal2", NodeKind::Director, running()),
            machine("serv1", NodeKind::Server, running()),
            machine("serv2", NodeKind::Server, running()),
            machine("serv3", NodeKind::Server, MainState::Dead { how: "signal SIGKILL".into() }),
            machine("user", NodeKind::Client, MainState::None),
            machine("user2", NodeKind::Client, MainState::None),
        ];
        nodes[0].api = api(cluster, "bal1", GroupState::Active);
        nodes[1].api = api(cluster, "bal2", GroupState::Backup);
        nodes[0].addresses.push(HeldAddress { ip: cluster.addresses[0].ip, is_virtual: true });
        nodes[3].plugs[0].plugged = false;
        let switch = |switch: &relevo_model::cluster::Switch| SwitchStatus {
            name: switch.name.to_string(),
            network: switch.network.to_string(),
            on: switch.name.as_str() != "vswout2",
            stp: switch.stp,
            root: switch.priority == 4096,
            ports: match switch.name.as_str() {
                "swout1" => vec![PortStatus { name: "vswout1".into(), state: PortState::Blocking }],
                _ => Vec::new(),
            },
        };
        let link = |link: &relevo_model::cluster::Link| LinkStatus {
            a: link.a.to_string(),
            b: link.b.to_string(),
            cut: link.a.as_str() == "swout2" && link.b.as_str() == "vswout2",
        };
        LabStatus {
            name: cluster.name.clone(),
            keeper: 1,
            rootless: false,
            url: Some("http://172.16.1.254:8000/".into()),
            nodes,
            switches: cluster.lab.switches.iter().map(switch).collect(),
            links: cluster.lab.links.iter().map(link).collect(),
            resets: Vec::new(),
        }
    }

    #[test]
    fn a_damaged_s4() {
        let cluster = relevo_model::read(include_str!("../../../examples/s4.toml")).cluster.unwrap();
        insta::assert_snapshot!(draw(&cluster, &seen(&cluster)));
    }

    #[test]
    fn a_killed_director_is_not_active_while_its_lease_lasts() {
        let cluster = relevo_model::read(include_str!("../../../examples/s4.toml")).cluster.unwrap();
        let mut seen = seen(&cluster);
        let front = cluster.addresses[0].ip;
        seen.nodes[0].main = MainState::Dead { how: "signal SIGKILL".into() };
        seen.nodes[0].api = None;
        seen.nodes[1].addresses.push(HeldAddress { ip: front, is_virtual: true });
        seen.nodes[1].api = api(&cluster, "bal2", GroupState::Active);
        let drawn = draw(&cluster, &seen);
        let of = |node: &str| drawn.lines().find(|line| line.contains(node)).unwrap().trim_end().to_owned();
        assert!(of("bal1").ends_with("  dead, 172.16.1.254 leaves with its lease"), "{drawn}");
        assert!(of("bal2").ends_with("  ◀ ACTIVE, holds 172.16.1.254"), "{drawn}");
        seen.nodes[0].main = MainState::Frozen { pid: 1 };
        assert!(draw(&cluster, &seen).contains("frozen, 172.16.1.254 leaves with its lease"));
        seen.nodes[0].main = MainState::Running { pid: 1 };
        seen.nodes[0].addresses.clear();
        assert!(draw(&cluster, &seen).contains("does not answer"));
    }
}
