//! Beginning: which ways there are, the key, the number of this run.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use nix::sys::eventfd::{EfdFlags, EventFd};
use relevo_model::cluster::{ClusterFile, Role};
use relevo_model::{NetworkName, NodeName};
use relevo_proto::peers::{Channel, KeyError};

use super::{Peers, Shared, Way, read_key};
use crate::process::wall_ms;

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// The key file cannot be read.
    #[error("cannot read the key of the channel between directors, {path}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error("others may read the key of the channel between directors: chmod 600 {path}", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in it.
    #[error("{path}: {source}", path = .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// The number of this run cannot be kept.
    #[error("cannot keep the number of this run in {path}", path = .path.display())]
    Boot {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The thread could not be made.
    #[error("cannot start the channel between directors")]
    Thread(#[source] io::Error),
}

/// A channel that has what it needs, and has not begun.
#[derive(Debug)]
pub(crate) struct Prepared {
    own: NodeName,
    others: Vec<NodeName>,
    port: u16,
    key: PathBuf,
    boots: PathBuf,
    ways: Vec<Way>,
}

impl Peers {
    /// Looks whether all is there for the channel of `own`; `None`: the cluster file wants none. `key` is used instead of the
    /// file that the cluster file names.
    ///
    /// # Errors
    /// See [`PeersError`].
    pub(crate) fn prepare(
        cluster: &ClusterFile,
        own: &NodeName,
        state: &Path,
        key: Option<&Path>,
    ) -> Result<Option<Prepared>, PeersError> {
        let Some(peers) = &cluster.peers else { return Ok(None) };
        let key = key.map_or_else(|| peers.key.clone(), Path::to_owned);
        read_key(&key)?;
        let directors = cluster.nodes.iter().filter(|node| node.is(Role::Director) && node.name != *own);
        Ok(Some(Prepared {
            own: own.clone(),
            others: directors.map(|node| node.name.clone()).collect(),
            port: peers.port,
            key,
            boots: state.join("boots.json"),
            ways: ways(cluster, own),
        }))
    }
}

impl Prepared {
    /// Begins.
    ///
    /// # Errors
    /// See [`PeersError`].
    pub(crate) fn start(self) -> Result<Peers, PeersError> {
        let Self { own, others, port, key, boots, ways } = self;
        let boot = next_boot(&boots)?;
        let channel = Channel::new(own.clone(), boot, read_key(&key)?, others.iter().cloned());
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let wake =
            EventFd::from_value_and_flags(0, flags).map_err(|error| PeersError::Thread(error.into()))?;
        let shared = Arc::new(Shared {
            own,
            others,
            port,
            key,
            boots,
            channel: Mutex::new(channel),
            ways: Mutex::new(ways),
            subscribers: Mutex::default(),
            heard: Mutex::default(),
            paused: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            wake,
        });
        let runs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("peers".to_owned()).spawn(move || runs.run());
        Ok(Peers { shared, thread: Mutex::new(Some(thread.map_err(PeersError::Thread)?)) })
    }
}

/// The networks that `own` shares with another director, in the file's order.
fn ways(cluster: &ClusterFile, own: &NodeName) -> Vec<Way> {
    let Some(node) = cluster.node(own) else { return Vec::new() };
    let way = |network: &NetworkName| {
        let ours = node.address_on(network)?;
        let others = cluster.nodes.iter().filter(|node| node.is(Role::Director) && node.name != *own);
        let others = others.filter_map(|node| Some((node.name.clone(), node.address_on(network)?.ip)));
        let others: Vec<_> = others.collect();
        let is_shared = !others.is_empty();
        is_shared.then(|| Way::new(network.clone(), ours.ip, ours.interface.clone(), others))
    };
    cluster.networks.iter().filter_map(|network| way(&network.name)).collect()
}

/// A number that is higher than that of every run before: the wall clock, or one more than the last.
pub(super) fn next_boot(path: &Path) -> Result<u64, PeersError> {
    let io = |source| PeersError::Boot { path: path.to_owned(), source };
    let last: u64 = crate::disk::read(path).map_err(io)?;
    let boot = wall_ms().max(last.saturating_add(1));
    crate::disk::write(path, &boot).map_err(io)?;
    Ok(boot)
}
