//! Looks at a running lab from outside, through its `/proc`: nothing has to be started or entered for it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use relevo_api::client::Client;
use relevo_api::types::{GroupState, MoveStatus, Status};
use relevo_model::cluster::{Role, Switch};

use crate::keeper::{Inventory, MainReport};
use crate::processes::{proc_of_keeper, process, processes_of};
use crate::status::{
    HeldAddress, LabStatus, LinkStatus, MainState, NodeKind, NodeStatus, PlugStatus, PortState, PortStatus,
    ProcessState, SwitchStatus,
};
use crate::topology::{BRIDGE, EDGE, TRUNK, TRUNK_AT_EDGE, is_director};
use crate::{Lab, LabError, Result};

/// Longest wait for a director's answer: a frozen one gives none.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// How a process ended that the keeper does not know of yet.
const JUST_NOW: &str = "just now";
/// Most looks more until it knows.
const LOOKS_MAX: usize = 10;

/// Everything that can be seen.
pub(crate) fn status(lab: &Lab) -> Result<LabStatus> {
    let mut seen = status_once(lab)?;
    // Between a process's end and the keeper's learning how it ended is a moment.
    for _ in 0..LOOKS_MAX {
        let ending = |node: &NodeStatus| matches!(&node.main, MainState::Dead { how } if how == JUST_NOW);
        if !seen.nodes.iter().any(ending) {
            break;
        }
        thread::sleep(Duration::from_millis(5));
        seen = status_once(lab)?;
    }
    Ok(seen)
}

fn status_once(lab: &Lab) -> Result<LabStatus> {
    let inventory = lab.inventory()?;
    let cluster = lab.cluster();
    let nodes = cluster.nodes.iter().map(|node| {
        let kind = if node.is(Role::Director) { NodeKind::Director } else { NodeKind::Server };
        machine(lab, &inventory, &node.name, kind)
    });
    let clients =
        cluster.lab.clients.iter().map(|client| machine(lab, &inventory, &client.name, NodeKind::Client));
    let link = |link: &relevo_model::cluster::Link| LinkStatus {
        a: link.a.to_string(),
        b: link.b.to_string(),
        cut: inventory.damage.is_cut(&link.a, &link.b),
    };
    Ok(LabStatus {
        name: lab.name().to_owned(),
        keeper: lab.keeper.pid,
        rootless: lab.settings.rootless,
        url: lab.url(),
        nodes: nodes.chain(clients).collect(),
        switches: cluster.lab.switches.iter().map(|one| switch(lab, &inventory, one)).collect(),
        links: cluster.lab.links.iter().map(link).collect(),
        resets: inventory.damage.resets(),
    })
}

/// What a director says of itself.
pub(crate) fn node_status(lab: &Lab, node: &str) -> Result<Status> {
    if !is_director(lab.cluster(), node) {
        let directors = lab.cluster().nodes.iter().filter(|node| node.is(Role::Director));
        let names: Vec<&str> = directors.map(|node| node.name.as_str()).collect();
        return Err(LabError::wrong(format!(
            "no director is called {node}; there are: {}",
            names.join(", ")
        )));
    }
    let path = files_of(lab, node).context("the lab is gone")?.join("run/relevo/control.sock");
    let client = Client::new(&path).with_deadline(ANSWER_WITHIN);
    Ok(client.status().map_err(|error| anyhow!(error).context(format!("{node} does not answer")))?)
}

fn machine(lab: &Lab, inventory: &Inventory, name: &str, kind: NodeKind) -> NodeStatus {
    let proc = proc_of_keeper(lab.keeper.pid);
    let holder = lab.spaces.get(name).copied().unwrap_or_default();
    let virtual_addresses: BTreeSet<IpAddr> = lab.cluster().addresses.iter().map(|one| one.ip).collect();
    // On a server's loopback the address of a direct service is held by nobody: neighbours do not hear of it.
    let answered = match kind {
        NodeKind::Server => lab.cluster().answered_by(name),
        NodeKind::Director | NodeKind::Client => BTreeSet::new(),
    };
    let held = held_addresses(&proc.join(holder.to_string()));
    let held: Vec<IpAddr> = held.into_iter().filter(|ip| !answered.contains(ip)).collect();
    let api = match kind {
        NodeKind::Director => node_status(lab, name).ok(),
        NodeKind::Server | NodeKind::Client => None,
    };
    let plugs = lab.cluster().lab.plugs.iter().filter(|plug| plug.node.as_str() == name);
    let plug_status = |plug: &relevo_model::cluster::Plug| PlugStatus {
        network: plug.network.to_string(),
        switch: plug.switch.to_string(),
        plugged: !inventory.damage.unplugged.contains(&(name.to_owned(), plug.network.to_string())),
    };
    NodeStatus {
        name: name.to_owned(),
        kind,
        main: main_state(&proc, inventory.mains.iter().filter(|main| main.node == name)),
        processes: processes_of(&proc, holder),
        addresses: held
            .into_iter()
            .filter(|ip| !api.as_ref().is_some_and(|api| is_silent(api, *ip)))
            .map(|ip| HeldAddress { ip, is_virtual: virtual_addresses.contains(&ip) })
            .collect(),
        plugs: plugs.map(plug_status).collect(),
        api,
    }
}

/// Whether an address is only there for connections that a director goes on with, where no neighbour sees it.
fn is_silent(api: &Status, ip: IpAddr) -> bool {
    api.groups.iter().filter(|group| group.addresses.iter().any(|address| address.ip == ip)).any(|group| {
        matches!(group.moves, Some(MoveStatus::Draining { .. })) && group.state != GroupState::Active
    })
}

/// The worst of what a node runs: it may be director and server at the same time.
fn main_state<'a>(proc: &Path, mains: impl Iterator<Item = &'a MainReport>) -> MainState {
    let mut worst = MainState::None;
    for main in mains {
        let state = match main.pid.map(|pid| process(proc, pid)) {
            None => MainState::Dead { how: main.how.clone() },
            Some(None) => MainState::Dead { how: String::from(JUST_NOW) },
            Some(Some(found)) => match found.state {
                ProcessState::Running => MainState::Running { pid: found.pid },
                ProcessState::Stopped => MainState::Frozen { pid: found.pid },
                ProcessState::Dead => MainState::Dead { how: String::from(JUST_NOW) },
            },
        };
        let rank = |state: &MainState| match state {
            MainState::None => 0,
            MainState::Running { .. } => 1,
            MainState::Frozen { .. } => 2,
            MainState::Dead { .. } => 3,
        };
        if rank(&state) > rank(&worst) {
            worst = state;
        }
    }
    worst
}

/// The addresses of a network, from the kernel's table of local addresses (`/proc/PID/net/fib_trie`): each address is
/// a line `|-- ADDRESS` with a line `/32 host LOCAL` somewhere under it.
/// IPv6 addresses are listed in `if_inet6`; those that every interface makes for itself (link-local) are left out.
fn held_addresses(process: &Path) -> Vec<IpAddr> {
    let read = |path: &str| fs::read_to_string(process.join(path)).unwrap_or_default();
    let (held4, held6) = (parse_held(&read("net/fib_trie")), parse_held6(&read("net/if_inet6")));
    held4.into_iter().map(IpAddr::V4).chain(held6.into_iter().map(IpAddr::V6)).collect()
}

fn parse_held6(text: &str) -> Vec<Ipv6Addr> {
    let addresses =
        text.lines().filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok());
    let held: BTreeSet<Ipv6Addr> = addresses.map(Ipv6Addr::from_bits).collect();
    held.into_iter().filter(|ip| !ip.is_loopback() && !ip.is_unicast_link_local()).collect()
}

fn parse_held(text: &str) -> Vec<Ipv4Addr> {
    let mut held = BTreeSet::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            held.extend(leaf.filter(|ip| !ip.is_loopback()));
        }
    }
    held.into_iter().collect()
}

fn switch(lab: &Lab, inventory: &Inventory, switch: &Switch) -> SwitchStatus {
    let on = !inventory.damage.switches_off.contains(switch.name.as_str());
    let devices = files_of(lab, &switch.name).map(|files| files.join("sys/class/net"));
    let mut ports: Vec<PortStatus> = Vec::new();
    let mut root = false;
    if let Some(devices) = devices {
        let read = |path: &str| fs::read_to_string(devices.join(path)).unwrap_or_default().trim().to_owned();
        let id = read(&format!("{BRIDGE}/bridge/bridge_id"));
        root = switch.stp && on && !id.is_empty() && id == read(&format!("{BRIDGE}/bridge/root_id"));
        let state_of = |port: &str| port_state(&read(&format!("{port}/brport/state")));
        for bridge in [BRIDGE, EDGE] {
            let listed = fs::read_dir(devices.join(bridge).join("brif"));
            for entry in listed.into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if [TRUNK, TRUNK_AT_EDGE].contains(&name.as_str()) {
                    continue;
                }
                // What a machine's port passes goes no further than the port between the two bridges lets it.
                let own = state_of(&name);
                let passes_on = bridge == EDGE && own == PortState::Forwarding;
                let state = if passes_on { state_of(TRUNK) } else { own };
                ports.push(PortStatus { name, state });
            }
        }
        ports.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let (name, network) = (switch.name.to_string(), switch.network.to_string());
    SwitchStatus { name, network, on, stp: switch.stp, root, ports }
}

/// `BR_STATE_*` of linux/if_bridge.h.
fn port_state(text: &str) -> PortState {
    match text {
        "0" => PortState::Disabled,
        "1" => PortState::Listening,
        "2" => PortState::Learning,
        "3" => PortState::Forwarding,
        "4" => PortState::Blocking,
        _ => PortState::Unknown,
    }
}

/// A namespace's file system, as seen from outside.
fn files_of(lab: &Lab, name: &str) -> Option<PathBuf> {
    let holder = lab.spaces.get(name)?;
    Some(proc_of_keeper(lab.keeper.pid).join(holder.to_string()).join("root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_read_from_the_trie() {
        let text = "Main:\n  +-- 10.0.0.0/24 2 0 2\n     |-- 10.0.0.0\n        /24 link UNICAST\n     \
                    |-- 10.0.0.250\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n\
                    Local:\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.250\n        /32 host LOCAL\n";
        assert_eq!(parse_held(text), [Ipv4Addr::new(10, 0, 0, 250)]);
    }
}
