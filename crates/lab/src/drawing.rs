//! Draws a lab in the terminal: networks, switches, what is plugged into them, and who is active. Pure.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use relevo_model::ClusterFile;

use crate::status::{LabStatus, MainState, NodeKind, NodeStatus, PortState, SwitchStatus};

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
        leaves.push(Leaf::of("this machine", host.ip));
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

/// The cables to other switches: `══` passes traffic, `··` is held back by STP, `╳` is cut.
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
    let closed = |at: &str, far: &str| {
        let ports = seen.switch(at).map_or(&[][..], |switch| &switch.ports);
        let port = ports.iter().find(|port| port.name == far || far.starts_with(port.name.as_str()));
        port.is_some_and(|port| !matches!(port.state, PortState::Forwarding | PortState::Unknown))
    };
    closed(a, b) || closed(b, a)
}

struct Leaf {
    name: String,
    address: String,
    notes: String,
}

impl Leaf {
    fn of(name: &str, ip: Ipv4Addr) -> Self {
        Self { name: name.to_owned(), address: ip.to_string(), notes: String::new() }
    }
}

fn leaf(cluster: &ClusterFile, node: &NodeStatus, network: &str) -> Leaf {
    let configured =
        cluster.node(&node.name).and_then(|one| one.address_on(network)).map(|address| address.ip);
    let client = cluster.lab.clients.iter().find(|client| client.name.as_str() == node.name);
    let address = configured.or_else(|| client.map(|client| client.ip));
    let mut notes = Vec::new();
    for held in node.addresses.iter().filter(|held| held.is_virtual) {
        let of_network = cluster.addresses.iter().find(|address| address.ip == held.ip);
        if of_network.is_some_and(|address| address.network.as_str() == network) {
            notes.push(format!("◀ ACTIVE, holds {}", held.ip));
        }
    }
    match &node.main {
        MainState::Dead { .. } => notes.push(String::from("dead")),
        MainState::Frozen { .. } => notes.push(String::from("frozen")),
        MainState::Running { .. } if node.kind == NodeKind::Director && notes.is_empty() => {
            notes.push(String::from("standing by"));
        }
        MainState::Running { .. } | MainState::None => {}
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
