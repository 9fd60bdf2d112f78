//! What an operator asks for, and how it went.

use std::path::PathBuf;

use relevo_model::{NodeName, PoolName, ServerName};
use serde::{Deserialize, Serialize};

use super::{AdminState, FileStatus};

/// Asks for a group to move, `POST /v1/groups/{group}/switchover`. A field that is not known is refused: without a
/// misspelt one the wish would be another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switchover {
    /// Who shall become active; `None`: whoever is next.
    pub to: Option<NodeName>,
}

/// How a switch-over went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// Who held the group before; `None`: unknown.
    pub from: Option<NodeName>,
    /// Who holds it now.
    pub to: NodeName,
    /// How long it took as the asked node saw it, milliseconds.
    pub took_ms: u64,
}

/// Asks for a server's administrative state, its weight, or both, `POST /v1/servers/{server}`; without `pool`, in every
/// pool that has it. A field that is not known is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetServer {
    /// Only in this pool.
    pub pool: Option<PoolName>,
    /// What is wanted; `None`: as it is.
    pub admin: Option<AdminState>,
    /// With `maint`: the work that it has is cut.
    pub cut: bool,
    /// Why, for those who read the status; at most 200 characters.
    pub reason: String,
    /// With `drain` and `maint`: after so many seconds it is ready again, 1 to 31536000 (a year).
    pub for_seconds: Option<u64>,
    /// Its share from now on, 0 to 256, until the file says another, over restarts too; `None`: as it is.
    pub weight: Option<u16>,
}

/// Which servers were changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Pool and server.
    pub servers: Vec<(PoolName, ServerName)>,
}

/// The file was read again, `POST /v1/reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is different since, one sentence each; empty: nothing in the file.
    pub changes: Vec<String>,
    /// What its operator should know, as `relevo check` shows it; empty: nothing.
    pub details: String,
    /// The file now.
    pub file: FileStatus,
}

/// Another process goes on, `POST /v1/upgrade`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// The process that ends when its connections have ended.
    pub from: u32,
    /// The process that goes on.
    pub to: u32,
    /// Its program.
    pub program: PathBuf,
    /// Its program's version.
    pub version: String,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// An answer with a status of 400 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong and what would be right.
    pub error: String,
    /// The mistakes of a cluster file at their places, as `relevo check` shows them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}
