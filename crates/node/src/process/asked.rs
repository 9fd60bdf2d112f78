//! What is asked of a node, and why it may not run.

use std::path::PathBuf;
use std::time::Duration;

use relevo_api::socket::BindError;
use relevo_model::cluster::Role;
use relevo_model::{ClusterFile, Diagnostic, NodeName};

use crate::control::listed;
use crate::director;
use crate::file::FileError;
use crate::folder::FolderError;
use crate::gateway::GatewayError;
use crate::logging::{self, LogError};
use crate::peers::PeersError;
use crate::stats::StatsError;
use crate::upgrade::HeirError;

/// How to run a node.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster file.
    pub file: PathBuf,
    /// The folder of the files that it names; `None`: its own.
    pub files_from: Option<PathBuf>,
    /// Which of its nodes this is; `None`: the one called like this machine.
    pub name: Option<String>,
    /// The folder of the control socket.
    pub run_dir: PathBuf,
    /// The folder of what is remembered over restarts.
    pub state_dir: PathBuf,
    /// The key of the channel between directors; `None`: the one that the cluster file names.
    pub peers_key: Option<PathBuf>,
    /// How the log is written.
    pub log: logging::Format,
    /// The balancer's threads; 0: one for each CPU.
    pub workers: usize,
    /// Time that requests in progress have when the node is stopped.
    pub grace: Duration,
    /// Time that they have when another process takes over.
    pub upgrade_grace: Duration,
}

/// Why a node did not run. Unless said otherwise nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cluster file cannot be taken from the disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// The cluster file has mistakes.
    #[error("the cluster file has mistakes")]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// What is wrong.
        diagnostics: Vec<Diagnostic>,
    },
    /// The file does not have such a node.
    #[error("{0}")]
    Name(String),
    /// The node has nothing to run.
    #[error(
        "{node} has the role server alone: only directors, and servers of services with forward = \"direct\", run `relevo node run`; run the web server itself on {node} (or, to try things, `relevo origin`)"
    )]
    NotADirector {
        /// The node.
        node: String,
    },
    /// A folder cannot be had.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The control socket cannot be had.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// The log cannot be started.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The balancer cannot start.
    #[error(transparent)]
    Balancer(#[from] relevo_lb::StartError),
    /// The statistics page cannot be served.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// The rules of the gateway or the firewall cannot be set up.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The addresses of direct services cannot be put on the loopback.
    #[error(transparent)]
    Server(#[from] crate::server::ServerError),
    /// The director cannot start.
    #[error(transparent)]
    Director(#[from] director::StartError),
    /// The channel between directors cannot be had.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// A former process hands over, but not as it should.
    #[error(transparent)]
    Heir(#[from] HeirError),
    /// The system has no more threads or the like.
    #[error("cannot start {what}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The node of this machine, which must be a director.
pub(super) fn director_of(cluster: &ClusterFile, name: Option<&str>) -> Result<NodeName, RunError> {
    let node = node_of(cluster, name)?;
    let is_director = cluster.node(&node).is_some_and(|node| node.is(Role::Director));
    if is_director { Ok(node) } else { Err(RunError::NotADirector { node: node.to_string() }) }
}

/// Which node of a cluster this machine is: the one that was named, else the one called like it.
///
/// # Errors
/// There is none.
pub fn node_of(cluster: &ClusterFile, name: Option<&str>) -> Result<NodeName, RunError> {
    let host =
        || nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok()).unwrap_or_default();
    let (wanted, how) = match name {
        Some(name) => (name.to_owned(), String::new()),
        None => (host(), " (this machine's host name; say another with --name)".to_owned()),
    };
    let Some(node) = cluster.node(&wanted) else {
        let nodes = listed("node", cluster.nodes.iter().map(|node| &*node.name));
        return Err(RunError::Name(format!(
            "there is no node {wanted:?}{how} in the cluster {:?}; {nodes}",
            cluster.name
        )));
    };
    Ok(node.name.clone())
}
