//! The control API: HTTP and JSON over a local socket, what it says, who serves it and who asks.
//!
//! Only this room knows the API's words on the wire. It does not know where the answers come from: the
//! node hands in something that implements [`server::Control`]. `docs/reference/api.md` is the same for readers.

pub mod client;
mod routes;
pub mod server;
pub mod socket;
pub mod types;

use std::path::{Path, PathBuf};

/// The folder of the control socket unless told otherwise.
pub const RUN_DIR: &str = "/run/relevo";

/// The control socket of the node whose run folder this is.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}
