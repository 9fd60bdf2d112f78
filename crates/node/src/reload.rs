//! Following a cluster file that was changed: all of it, or nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use relevo_api::server::Refusal;
use relevo_api::types::{FileStatus, Reloaded};
use relevo_model::{ClusterFile, Severity, diagnostic};

use crate::control::{Balancer, Node};
use crate::director::Director;
use crate::in_full;
use crate::process::wall_ms;
use crate::{acme, changes};

/// A cluster file as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) cluster: Arc<ClusterFile>,
    pub(crate) path: PathBuf,
    /// Where the files are that it names.
    pub(crate) folder: PathBuf,
    /// See [`FileStatus::hash`].
    pub(crate) hash: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) since: u64,
}

impl Loaded {
    /// Just read from there.
    pub(crate) fn new(mut cluster: ClusterFile, path: &Path, folder: &Path, text: &str) -> Self {
        cluster.resolve(folder);
        let (path, folder) = (path.to_owned(), folder.to_owned());
        Self { cluster: Arc::new(cluster), path, folder, hash: crate::file::hash(text), since: wall_ms() }
    }

    /// In the API's words.
    pub(crate) fn status(&self) -> FileStatus {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        FileStatus { path, hash: self.hash.clone(), since: self.since }
    }
}

impl Node {
    /// Reads the file again and follows it.
    pub(crate) fn read_again(&self) -> Result<Reloaded, Refusal> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.loaded();
        let text = crate::file::read(&before.path).map_err(|error| Refusal::Wrong(in_full(&error)))?;
        let reading = relevo_model::read(&text);
        let path = before.path.to_string_lossy();
        let details = diagnostic::render(&path, &text, &reading.diagnostics);
        let Some(mut cluster) = reading.cluster else {
            let errors = reading.diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
            let error = format!("{path}: {errors} error{}", if errors == 1 { "" } else { "s" });
            return Err(Refusal::Mistakes { error, details });
        };
        cluster.resolve(&before.folder);
        ensure_same(&before.cluster, &cluster)?;
        let changes = changes::done(&before.cluster, &cluster);
        let balancer = self.balancer.read().unwrap_or_else(PoisonError::into_inner);
        let Balancer::Running(engine) = &*balancer else {
            return Err(Refusal::Conflict("this node is being stopped".to_owned()));
        };
        // The certificates and pages that the file names may be other ones though the file is the same.
        self.serve_stats(&cluster, Vec::new()).map_err(|error| Refusal::Conflict(in_full(&error)))?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).folder().to_owned();
        acme::show_kept(&engine.acme(), &cluster, &state);
        let named = self.dns.follow(&cluster).map_err(|error| in_full(&error));
        let applied = match named.and_then(|()| self.rules.follow(&cluster).map_err(|error| in_full(&error)))
        {
            Ok(()) => engine.apply(&cluster).map_err(|error| in_full(&error)),
            Err(error) => Err(error),
        };
        if let Err(error) = applied {
            // All of it, or nothing.
            if let Err(error) = self.dns.follow(&before.cluster) {
                tracing::error!("{}", in_full(&error));
            }
            if let Err(error) = self.rules.follow(&before.cluster) {
                tracing::error!("{}", in_full(&error));
            }
            if let Err(error) = self.serve_stats(&before.cluster, Vec::new()) {
                tracing::error!("{}", in_full(&error));
            }
            return Err(Refusal::Conflict(error));
        }
        if let Some(Err(error)) = self.peers.get().map(|peers| peers.read_key_again()) {
            tracing::warn!("the channel between directors keeps its keys: {}", in_full(&error));
        }
        let director = self.director.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = director.as_ref().map(Director::read_keys_again) {
            tracing::warn!("a group keeps its keys: {}", in_full(&error));
        }
        drop(director);
        let next = Loaded::new(cluster, &before.path, &before.folder, &text);
        let file = next.status();
        self.duties.follow(&next.cluster);
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = next;
        let cluster = self.loaded().cluster;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = state.forget_weights(&cluster) {
            tracing::warn!(%error, "weights that do not hold any more stay in the state folder");
        }
        drop(state);
        self.flows.follow();
        self.moves.follow();
        tracing::info!(file = %path, hash = file.hash, "reloaded: {}", words(&changes));
        Ok(Reloaded { changes, details, file })
    }

    /// Refuses if another process could not go on with the file as it is now. What this version does not understand, a
    /// newer one may: it is that one's to say.
    pub(crate) fn ensure_in_place(&self) -> Result<(), Refusal> {
        let before = self.loaded();
        let text = crate::file::read(&before.path).map_err(|error| Refusal::Wrong(in_full(&error)))?;
        relevo_model::read(&text).cluster.map_or(Ok(()), |mut cluster| {
            cluster.resolve(&before.folder);
            ensure_same(&before.cluster, &cluster)
        })
    }

    /// The file that is followed now.
    pub(crate) fn loaded(&self) -> Loaded {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Refuses what needs a restart.
fn ensure_same(before: &ClusterFile, cluster: &ClusterFile) -> Result<(), Refusal> {
    let fixed = changes::fixed(before, cluster);
    if fixed.is_empty() {
        return Ok(());
    }
    Err(Refusal::Conflict(format!(
        "this cannot be changed while a node runs: {}. Restart the nodes with the new file, one after the other \
        (the active one last, after relevo switchover)",
        fixed.join("; ")
    )))
}

fn words(changes: &[String]) -> String {
    if changes.is_empty() { "nothing in the file has changed".to_owned() } else { changes.join("; ") }
}
