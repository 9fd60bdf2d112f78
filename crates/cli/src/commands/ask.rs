//! Which node is asked: the part that `status`, `switchover` and `server` have in common.

use std::path::PathBuf;

use relevo_api::client::Client;

/// Where the node is that is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Node {
    /// The run folder of the node that is asked.
    #[arg(long, value_name = "DIR", env = "RELEVO_RUN_DIR", default_value = relevo_api::RUN_DIR)]
    run_dir: PathBuf,
}

impl Node {
    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        Client::of(&self.run_dir)
    }
}
