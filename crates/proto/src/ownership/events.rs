//! What people want to know of, in words.

use std::fmt;

use relevo_model::{GroupName, NetworkName, NodeName};

/// A way to another director, both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathState {
    /// Not known yet.
    Unknown,
    /// Each hears the other.
    Good,
    /// It is heard here, and does not hear us.
    NotHeardThere,
    /// It hears us, and is not heard here.
    NotHeardHere,
    /// It is not heard here, and nobody says whether it hears us.
    Silent,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A way to another director is another thing than before.
    Path {
        /// The other director.
        node: NodeName,
        /// The network.
        network: NetworkName,
        /// What it is now.
        state: PathState,
    },
    /// Another director is active for a group, and so is this one.
    TwoActives {
        /// The group.
        group: GroupName,
        /// The other.
        other: NodeName,
        /// Who shall stay active.
        winner: NodeName,
    },
    /// It is over.
    OneActive {
        /// The group.
        group: GroupName,
        /// The other one.
        other: NodeName,
        /// Whether this director stayed active.
        stayed: bool,
    },
    /// A backup that hears no adverts does not take over, because the active one says that it lives.
    HeldBack {
        /// The group.
        group: GroupName,
        /// The active one.
        active: NodeName,
        /// Where its word is heard.
        network: NetworkName,
    },
    /// It hears adverts again, or is active itself.
    NotHeldBack {
        /// The group.
        group: GroupName,
    },
}

impl Event {
    /// One word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Path { .. } => "path",
            Self::TwoActives { .. } => "two-actives",
            Self::OneActive { .. } => "one-active",
            Self::HeldBack { .. } => "held-back",
            Self::NotHeldBack { .. } => "not-held-back",
        }
    }

    /// Whether somebody should look.
    pub fn is_trouble(&self) -> bool {
        match self {
            Self::Path { state, .. } => !matches!(state, PathState::Good | PathState::Unknown),
            Self::TwoActives { .. } | Self::HeldBack { .. } => true,
            Self::OneActive { .. } | Self::NotHeldBack { .. } => false,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { node, network, state } => match state {
                PathState::Good => write!(f, "{node} and this node hear each other on {network}"),
                PathState::NotHeardThere => {
                    write!(f, "{node} is heard on {network}, but does not hear this node there")
                }
                PathState::NotHeardHere => {
                    write!(f, "{node} hears this node on {network}, but is not heard there")
                }
                PathState::Silent => write!(f, "{node} is not heard on {network}"),
                PathState::Unknown => write!(f, "whether {node} is heard on {network} is not known"),
            },
            Self::TwoActives { group, other, winner } => {
                write!(f, "{group} is active here and on {other}: {winner} shall stay active")
            }
            Self::OneActive { group, other, stayed: true } => {
                write!(f, "{group} is active here alone again: {other} has yielded")
            }
            Self::OneActive { group, other, stayed: false } => {
                write!(f, "{group} is active on {other} alone again: this node has yielded")
            }
            Self::HeldBack { group, active, network } => write!(
                f,
                "no adverts of {active} are heard, but it says on {network} that it holds {group}: not taking over"
            ),
            Self::NotHeldBack { group } => write!(f, "{group} does not depend on that word any more"),
        }
    }
}
