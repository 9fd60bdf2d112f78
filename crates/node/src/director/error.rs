//! What a director cannot do, in words for the operator who asked.

use relevo_model::{GroupName, NetworkName, NodeName};

/// Why a director could not be started. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The cluster file has no such node.
    #[error("the cluster file has no node {node}; it has: {known}")]
    NoSuchNode {
        /// The name that was given.
        node: NodeName,
        /// The names that exist.
        known: String,
    },
    /// The node has no address on a network that one of its groups is on.
    #[error(
        "node {node} is of group {group}, which has an address on network {network}, but the node has none there"
    )]
    NotOnNetwork {
        /// This node.
        node: NodeName,
        /// The group.
        group: GroupName,
        /// The network.
        network: NetworkName,
    },
    /// The keys of a group cannot be used.
    #[error("group {group}: cannot use the key file {}: {why}", file.display())]
    Keys {
        /// The group.
        group: GroupName,
        /// The file.
        file: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The node's interface on a network cannot be used.
    #[error("cannot use node {node}'s interface on network {network}")]
    Interface {
        /// This node.
        node: NodeName,
        /// The network.
        network: NetworkName,
        /// What the kernel said.
        #[source]
        source: relevo_net::Error,
    },
    /// A socket that all groups share could not be opened.
    #[error("cannot start the director")]
    Kernel(#[from] relevo_net::Error),
    /// The thread could not be made.
    #[error("cannot start the director's thread")]
    Thread(#[source] std::io::Error),
}

/// Why a group did not move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchoverError {
    /// No group of this name on this node.
    #[error("node {node} has no group {group}; it has: {known}")]
    NoSuchGroup {
        /// This node.
        node: NodeName,
        /// The name that was given.
        group: String,
        /// The groups that this node is of.
        known: String,
    },
    /// The node is not of this group.
    #[error("node {to} is not a director of group {group}; its directors are: {known}")]
    NotMember {
        /// The node that was named.
        to: NodeName,
        /// The group.
        group: GroupName,
        /// The group's directors.
        known: String,
    },
    /// This node does not hold the group, so it cannot give it away.
    #[error("group {group} is not active here but on {}; run it there, or name this node", or_unknown(active.as_ref()))]
    NotActive {
        /// The group.
        group: GroupName,
        /// Who holds it; `None`: nobody heard.
        active: Option<NodeName>,
    },
    /// Another node would take the group.
    #[error(
        "group {group} would move to {winner}, not to {to}: run the switch-over on {to}, which then claims it"
    )]
    WouldNotWin {
        /// The group.
        group: GroupName,
        /// Who was wanted.
        to: NodeName,
        /// Who has the highest priority among the others.
        winner: NodeName,
    },
    /// The node cannot hold addresses.
    #[error("group {group} cannot move here: {reason}")]
    Fault {
        /// The group.
        group: GroupName,
        /// What is wrong.
        reason: String,
    },
    /// No other director is there to take it.
    #[error("nobody took over group {group}: it stays active on {node}")]
    NobodyTook {
        /// The group.
        group: GroupName,
        /// This node.
        node: NodeName,
    },
    /// It did not happen within the time.
    #[error("group {group} did not move within {seconds} s: it is still active on {}", or_unknown(active.as_ref()))]
    TimedOut {
        /// The group.
        group: GroupName,
        /// How long was waited, seconds.
        seconds: u64,
        /// Who holds it; `None`: nobody heard.
        active: Option<NodeName>,
    },
    /// The director's thread is gone.
    #[error("the director of this node is not running: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

fn or_unknown(node: Option<&NodeName>) -> &str {
    node.map_or("a node that is not known here", NodeName::as_str)
}
