//! What can be seen of a running lab: words only; how it is seen is in [`crate::handle`].

use std::net::IpAddr;

use relevo_api::types::{GroupState, Status};
use serde::Serialize;

use crate::Fault;

/// A running lab.
#[derive(Clone, Debug, Serialize)]
pub struct LabStatus {
    /// Its name, the cluster's.
    pub name: String,
    /// The keeper's process id, as the machine sees it.
    pub keeper: i32,
    /// Whether it runs without root, in a user namespace.
    pub rootless: bool,
    /// Where the first service opens in a browser of this machine.
    pub url: Option<String>,
    /// Nodes and clients, in the file's order.
    pub nodes: Vec<NodeStatus>,
    /// Switches, in the file's order.
    pub switches: Vec<SwitchStatus>,
    /// Links between switches, in the file's order.
    pub links: Vec<LinkStatus>,
    /// What undoes the settings of switches that faults have changed: STP priorities, costs, ends of a VXLAN, machines that are parted.
    pub resets: Vec<Fault>,
}

/// What a machine of the lab is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Runs `relevo node run`.
    Director,
    /// Runs the origin or a command.
    Server,
    /// Runs nothing by itself.
    Client,
}

/// What became of the process that a node is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum MainState {
    /// A client: there is none.
    None,
    /// It runs.
    Running {
        /// Its process id inside the lab.
        pid: i32,
    },
    /// It is stopped by a signal (frozen).
    Frozen {
        /// Its process id inside the lab.
        pid: i32,
    },
    /// It ended.
    Dead {
        /// How, in words: `exit code 1`, `signal SIGKILL`.
        how: String,
    },
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    /// Running or waiting for something.
    Running,
    /// Stopped by a signal.
    Stopped,
    /// Ended, not yet collected.
    Dead,
}

/// A process of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessStatus {
    /// Its process id inside the lab.
    pub pid: i32,
    /// Its name (`comm`).
    pub name: String,
    /// Whether it runs.
    pub state: ProcessState,
}

/// An address that a node holds right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HeldAddress {
    /// The address.
    pub ip: IpAddr,
    /// Whether it is one of the cluster's virtual addresses.
    pub is_virtual: bool,
}

/// A node's cable to a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlugStatus {
    /// The network, and the interface's name.
    pub network: String,
    /// The switch.
    pub switch: String,
    /// Whether the cable is in.
    pub plugged: bool,
}

/// A node or client of the lab.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: NodeKind,
    /// What became of the process that it is for.
    pub main: MainState,
    /// All its processes, without the one that only holds its namespaces.
    pub processes: Vec<ProcessStatus>,
    /// The addresses it holds.
    pub addresses: Vec<HeldAddress>,
    /// Its cables.
    pub plugs: Vec<PlugStatus>,
    /// What the director itself says; `None`: not a director, or it does not answer.
    pub api: Option<Status>,
}

/// The STP state of a port (IEEE 802.1D section 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PortState {
    /// No carrier or switched off.
    Disabled,
    /// Listens for other switches, passes nothing.
    Listening,
    /// Learns addresses, passes nothing.
    Learning,
    /// Passes traffic.
    Forwarding,
    /// Held back so that there is no loop.
    Blocking,
    /// Could not be read.
    Unknown,
}

/// A port of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortStatus {
    /// Its name: what is at the other end.
    pub name: String,
    /// Its state.
    pub state: PortState,
}

/// A switch of the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwitchStatus {
    /// Its name.
    pub name: String,
    /// The network that it carries.
    pub network: String,
    /// Whether it is switched on.
    pub on: bool,
    /// Whether it speaks STP.
    pub stp: bool,
    /// Whether it is the root of its spanning tree (always false without STP).
    pub root: bool,
    /// Its ports.
    pub ports: Vec<PortStatus>,
}

/// A cable between two switches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkStatus {
    /// One end.
    pub a: String,
    /// The other end.
    pub b: String,
    /// Whether it is cut.
    pub cut: bool,
}

impl LabStatus {
    /// The machine of this name.
    pub fn node(&self, name: &str) -> Option<&NodeStatus> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The switch of this name.
    pub fn switch(&self, name: &str) -> Option<&SwitchStatus> {
        self.switches.iter().find(|switch| switch.name == name)
    }

    /// The nodes that hold this address right now.
    pub fn holders(&self, ip: IpAddr) -> Vec<&str> {
        let holds = |node: &&NodeStatus| node.addresses.iter().any(|held| held.ip == ip);
        self.nodes.iter().filter(holds).map(|node| node.name.as_str()).collect()
    }
}

/// The word for what a director is for a group.
pub const fn state_word(state: GroupState) -> &'static str {
    match state {
        GroupState::Init => "starting",
        GroupState::Backup => "backup",
        GroupState::Active => "ACTIVE",
        GroupState::Fault => "fault",
    }
}
