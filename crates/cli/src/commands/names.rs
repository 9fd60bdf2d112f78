//! Names of the cluster for shells that complete words: those that the running node knows, or its cluster file.
//!
//! A shell waits for this: whatever cannot be had at once is left out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use relevo_api::client::Client;
use relevo_api::types::Status;
use relevo_model::ClusterFile;

/// Where the cluster file is, where nobody says otherwise.
const CLUSTER_FILE: &str = "/etc/relevo/cluster.toml";
/// Longest wait for the node.
const PATIENCE: Duration = Duration::from_millis(500);
/// Most bytes of a cluster file that is read for names.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Group,
    Director,
    Service,
    Pool,
    Server,
}

/// The names of a kind, for an argument.
pub(crate) fn of(kind: Kind) -> ArgValueCandidates {
    ArgValueCandidates::new(move || candidates(kind))
}

fn candidates(kind: Kind) -> Vec<CompletionCandidate> {
    let status = Client::of(&run_dir()).with_deadline(PATIENCE).status().ok();
    let mut names: Vec<(String, String)> = match &status {
        Some(status) => running(kind, status),
        None => read(Path::new(CLUSTER_FILE)).map_or_else(Vec::new, |cluster| written(kind, &cluster)),
    };
    names.sort();
    names.dedup_by(|one, other| one.0 == other.0);
    let candidate = |(name, help): (String, String)| {
        CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into()))
    };
    names.into_iter().map(candidate).collect()
}

/// Names, and what a shell may show beside them.
fn running(kind: Kind, status: &Status) -> Vec<(String, String)> {
    let nothing = String::new;
    match kind {
        Kind::Group => status.groups.iter().map(|group| (group.name.to_string(), nothing())).collect(),
        Kind::Service => status.services.iter().map(|one| (one.name.to_string(), nothing())).collect(),
        Kind::Pool => status.pools.iter().map(|pool| (pool.name.to_string(), nothing())).collect(),
        Kind::Server => {
            let servers = status.pools.iter().flat_map(|pool| &pool.servers);
            servers.map(|server| (server.name.to_string(), server.at.to_string())).collect()
        }
        // The status knows nodes by what they do only.
        Kind::Director => read(&status.file.path).map_or_else(Vec::new, |cluster| written(kind, &cluster)),
    }
}

fn written(kind: Kind, cluster: &ClusterFile) -> Vec<(String, String)> {
    let names: Vec<String> = match kind {
        Kind::Group => cluster.groups.iter().map(|group| group.name.to_string()).collect(),
        Kind::Service => cluster.services.iter().map(|service| service.name.to_string()).collect(),
        Kind::Pool => cluster.pools.iter().map(|pool| pool.name.to_string()).collect(),
        Kind::Server => {
            let servers = cluster.pools.iter().flat_map(|pool| &pool.servers);
            servers.map(|server| server.name.to_string()).collect()
        }
        Kind::Director => {
            let directors = cluster.groups.iter().flat_map(|group| &group.priorities);
            directors.map(|(node, _)| node.to_string()).collect()
        }
    };
    names.into_iter().map(|name| (name, String::new())).collect()
}

fn read(path: &Path) -> Option<ClusterFile> {
    let small = std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LARGEST_FILE);
    small
        .then(|| std::fs::read_to_string(path).ok())
        .flatten()
        .and_then(|text| relevo_model::read(&text).cluster)
}

/// The run folder in the words that are being completed, or where it is otherwise.
fn run_dir() -> PathBuf {
    let words: Vec<String> = std::env::args().collect();
    let next = words.iter().position(|word| word == "--run-dir").and_then(|place| words.get(place + 1));
    let written =
        next.map(String::as_str).or_else(|| words.iter().find_map(|word| word.strip_prefix("--run-dir=")));
    match written.filter(|dir| !dir.is_empty()) {
        Some(dir) => dir.into(),
        None => std::env::var_os("RELEVO_RUN_DIR").map_or_else(|| relevo_api::RUN_DIR.into(), PathBuf::from),
    }
}
