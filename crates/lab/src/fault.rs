//! The faults a lab can make, each with its undo.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A fault or the undo of one. Names are those of the cluster file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// SIGKILL for every process of the node: as if its power was cut, except for its network interfaces.
    Kill {
        /// The node or client.
        node: String,
    },
    /// Runs again what the node runs: the undo of `Kill` and `Stop`. Waits for a stopping process to end (10 s).
    Start {
        /// The node.
        node: String,
    },
    /// SIGTERM for what the node runs: an orderly stop. Does not wait for its end.
    Stop {
        /// The node.
        node: String,
    },
    /// SIGSTOP for what the node runs: it holds everything and does nothing.
    Freeze {
        /// The node.
        node: String,
    },
    /// SIGCONT for what the node runs: the undo of `Freeze`.
    Thaw {
        /// The node.
        node: String,
    },
    /// SIGSTOP for every process of the node.
    Pause {
        /// The node or client.
        node: String,
    },
    /// SIGCONT for every process of the node: the undo of `Pause`.
    Resume {
        /// The node or client.
        node: String,
    },
    /// Pulls the node's cable out of its switch: the node sees its carrier go.
    Unplug {
        /// The node or client.
        node: String,
        /// The network.
        network: String,
    },
    /// Puts the cable back: the undo of `Unplug`.
    Plug {
        /// The node or client.
        node: String,
        /// The network.
        network: String,
    },
    /// Cuts the cable between two switches.
    CutLink {
        /// One switch.
        a: String,
        /// The other one.
        b: String,
    },
    /// Mends the cable: the undo of `CutLink`.
    RestoreLink {
        /// One switch.
        a: String,
        /// The other one.
        b: String,
    },
    /// Switches a switch off: whatever is plugged into it sees its carrier go.
    SwitchOff {
        /// The switch.
        switch: String,
    },
    /// Switches it on: the undo of `SwitchOff`.
    SwitchOn {
        /// The switch.
        switch: String,
    },
    /// Gives a switch another STP bridge priority; the lowest is root.
    SetPriority {
        /// The switch.
        switch: String,
        /// 0 to 61440 in steps of 4096.
        priority: u16,
    },
    /// Gives it the cluster file's again: the undo of `SetPriority`.
    ResetPriority {
        /// The switch.
        switch: String,
    },
    /// Gives both ports of a link between switches another STP cost.
    SetCost {
        /// One switch.
        a: String,
        /// The other one.
        b: String,
        /// 1 to 65535.
        cost: u16,
    },
    /// Gives them the cluster file's again, or the kernel's: the undo of `SetCost`.
    ResetCost {
        /// One switch.
        a: String,
        /// The other one.
        b: String,
    },
    /// Takes a switch's end of its VXLAN down.
    CutVxlan {
        /// The switch.
        switch: String,
    },
    /// Puts it up: the undo of `CutVxlan`.
    RestoreVxlan {
        /// The switch.
        switch: String,
    },
    /// Parts machines of one network from each other: their cables are in, and none hears another. All else passes.
    Part {
        /// The network.
        network: String,
        /// The machines, at least two.
        machines: Vec<String>,
    },
    /// Lets all machines of a network hear each other: the undo of `Part`.
    Join {
        /// The network.
        network: String,
    },
    /// SIGTERM for every process of a server node, or of the server at one of its ports, as of a container.
    ServerStop {
        /// The server node.
        node: String,
        /// The port; `None`: all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
    /// Runs again what does not run of a server node: the undo of `ServerStop`.
    ServerStart {
        /// The server node.
        node: String,
    },
}

impl fmt::Display for Fault {
    /// As on the command line after `relevo lab fault`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { node } => write!(f, "kill {node}"),
            Self::Start { node } => write!(f, "start {node}"),
            Self::Stop { node } => write!(f, "stop {node}"),
            Self::Freeze { node } => write!(f, "freeze {node}"),
            Self::Thaw { node } => write!(f, "thaw {node}"),
            Self::Pause { node } => write!(f, "pause {node}"),
            Self::Resume { node } => write!(f, "resume {node}"),
            Self::Unplug { node, network } => write!(f, "unplug {node} {network}"),
            Self::Plug { node, network } => write!(f, "plug {node} {network}"),
            Self::CutLink { a, b } => write!(f, "cut {a} {b}"),
            Self::RestoreLink { a, b } => write!(f, "restore {a} {b}"),
            Self::SwitchOff { switch } => write!(f, "switch-off {switch}"),
            Self::SwitchOn { switch } => write!(f, "switch-on {switch}"),
            Self::SetPriority { switch, priority } => write!(f, "set-priority {switch} {priority}"),
            Self::ResetPriority { switch } => write!(f, "reset-priority {switch}"),
            Self::SetCost { a, b, cost } => write!(f, "set-cost {a} {b} {cost}"),
            Self::ResetCost { a, b } => write!(f, "reset-cost {a} {b}"),
            Self::CutVxlan { switch } => write!(f, "cut-vxlan {switch}"),
            Self::RestoreVxlan { switch } => write!(f, "restore-vxlan {switch}"),
            Self::Part { network, machines } => write!(f, "part {network} {}", machines.join(" ")),
            Self::Join { network } => write!(f, "join {network}"),
            Self::ServerStop { node, port: None } => write!(f, "server-stop {node}"),
            Self::ServerStop { node, port: Some(port) } => write!(f, "server-stop {node} {port}"),
            Self::ServerStart { node } => write!(f, "server-start {node}"),
        }
    }
}
