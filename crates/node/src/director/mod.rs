//! The director: holds this node's virtual addresses, or watches the node that does.

use std::fmt;

use relevo_api::types::{GroupStatus, Switched};
use relevo_model::NodeName;
use relevo_model::cluster::ClusterFile;

mod error;

pub use error::{StartError, SwitchoverError};

/// A handle to the director of this node.
pub struct Director {}

impl Director {
    /// Starts the director of `node` for all groups that it is of.
    ///
    /// # Errors
    /// An interface that is not there, a missing permission; see [`StartError`]. Nothing was changed then.
    pub fn start(cluster: &ClusterFile, node: &NodeName) -> Result<Self, StartError> {
        let _ = (cluster, node);
        Ok(Self {})
    }

    /// What this node is for each of its groups.
    pub fn status(&self) -> Vec<GroupStatus> {
        Vec::new()
    }

    /// Moves a group, and waits until it has moved, at most 5 s. To this node: it claims the group. Otherwise this node
    /// must be active and gives it away: to whoever is next, or to `to` if that one is next.
    ///
    /// # Errors
    /// See [`SwitchoverError`].
    pub fn switchover(&self, group: &str, to: Option<&NodeName>) -> Result<Switched, SwitchoverError> {
        let _ = (group, to);
        Err(SwitchoverError::Stopped { reason: "it has not been started".to_owned() })
    }

    /// Gives away what it holds, waits (bounded) until somebody else has it, and removes the addresses.
    pub fn shutdown(self) {}
}

impl fmt::Debug for Director {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Director").finish_non_exhaustive()
    }
}
