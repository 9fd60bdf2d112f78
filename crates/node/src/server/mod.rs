//! A server of services with `forward = "direct"`: it has their addresses on its loopback, and its neighbours do not hear of
//! that. `relevo node run` on such a node sees to it; it does nothing else there.
//!
//! ```text
//!   cluster file ──► addresses ──► Loopback ──► first silence (arp_ignore, arp_announce), then the addresses
//!   SIGTERM ──────────────────────► Loopback ──► first the addresses go, then the settings are what they were
//! ```
//! What was changed is in the state folder before it is done, so that a process after one that was killed still takes it
//! back one day. A process that is killed leaves all as it is: clients are answered on.

mod loopback;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::Signal;
use relevo_model::cluster::Role;
use relevo_model::{ClusterFile, NodeName};

pub use loopback::{ServerError, Standing, look};

use crate::folder::Folder;
use crate::logging::Log;
use crate::process::{self, Event, Options, RunError, node_of};
use crate::{in_full, notify};
use loopback::Loopback;

/// How often it is looked whether somebody has removed what stands.
const LOOK: Duration = Duration::from_secs(5);

/// The node, if it is a server that answers clients by itself and nothing else.
pub(crate) fn who_answers(cluster: &ClusterFile, name: Option<&str>) -> Option<NodeName> {
    let name = node_of(cluster, name).ok()?;
    let is_director = cluster.node(&name).is_some_and(|node| node.is(Role::Director));
    (!is_director && !cluster.answered_by(&name).is_empty()).then_some(name)
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(options: &Options, cluster: &ClusterFile, name: &NodeName) -> Result<(), RunError> {
    let signals = process::waited_signals();
    process::block(&signals)?;
    let log = Log::start(options.log)?;
    crate::panics::end_the_process(log.flusher());
    let folder = Folder::own("state", &options.state_dir)?;
    let mut loopback = Loopback::new(folder.path());
    loopback.follow(&cluster.answered_by(name))?;
    let (sender, events) = channel();
    process::wait_for_signals(signals, sender)?;
    tracing::info!(cluster = cluster.name, node = %name, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "ready");
    notify::tell("READY=1");
    loop {
        match events.recv_timeout(LOOK) {
            Ok(Event::Signal(Signal::SIGHUP)) => {
                tracing::info!("SIGHUP: reading the cluster file again");
                match process::read_cluster(options) {
                    Ok((loaded, _)) => tell(loopback.follow(&loaded.cluster.answered_by(name))),
                    Err(error) => tracing::warn!("nothing has changed: {}", in_full(&error)),
                }
            }
            Ok(Event::Signal(signal)) => {
                tracing::info!(signal = signal.as_str(), "stopping");
                break;
            }
            Err(RecvTimeoutError::Timeout) => tell(loopback.mend()),
            Ok(Event::Upgrade(_) | Event::Stopped) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    loopback.follow(&std::collections::BTreeSet::new())?;
    tracing::info!("stopped");
    Ok(())
}

fn tell(done: Result<(), ServerError>) {
    if let Err(error) = done {
        tracing::error!("{}", in_full(&error));
    }
}
