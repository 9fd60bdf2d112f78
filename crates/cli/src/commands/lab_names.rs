//! Names of drills and of what is in a running lab, for shells that complete words.
//!
//! A shell waits for this: without a lab, or with several and none named, nothing is offered.

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use relevo_lab::Lab;
use relevo_lab::drill::catalogue;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A drill.
    Drill,
    /// A lab that runs.
    Lab,
    /// A network of the lab.
    Network,
    /// A node of the cluster file.
    Node,
    /// A node or a client.
    Machine,
    /// A switch.
    Switch,
    /// A node, a client or a switch.
    Any,
}

/// The names of a kind, for an argument.
pub(crate) fn of(kind: Kind) -> ArgValueCandidates {
    ArgValueCandidates::new(move || candidates(kind))
}

fn candidates(kind: Kind) -> Vec<CompletionCandidate> {
    match kind {
        Kind::Drill => {
            let drill = |name, about: &'static str| CompletionCandidate::new(name).help(Some(about.into()));
            catalogue().iter().map(|one| drill(one.name, one.about)).collect()
        }
        Kind::Lab => Lab::running().unwrap_or_default().into_iter().map(CompletionCandidate::new).collect(),
        Kind::Network | Kind::Node | Kind::Machine | Kind::Switch | Kind::Any => {
            let lab = Lab::open(written().as_deref());
            lab.map_or_else(|_| Vec::new(), |lab| inside(kind, &lab))
        }
    }
}

fn inside(kind: Kind, lab: &Lab) -> Vec<CompletionCandidate> {
    let cluster = lab.cluster();
    let nodes = || cluster.nodes.iter().map(|node| node.name.to_string());
    let clients = || cluster.lab.clients.iter().map(|client| client.name.to_string());
    let switches = || cluster.lab.switches.iter().map(|switch| switch.name.to_string());
    let names: Vec<String> = match kind {
        Kind::Network => cluster.networks.iter().map(|network| network.name.to_string()).collect(),
        Kind::Node => nodes().collect(),
        Kind::Machine => nodes().chain(clients()).collect(),
        Kind::Switch => switches().collect(),
        Kind::Any => nodes().chain(clients()).chain(switches()).collect(),
        Kind::Drill | Kind::Lab => Vec::new(),
    };
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The lab that is named in the words that are being completed.
fn written() -> Option<String> {
    let words: Vec<String> = std::env::args().collect();
    let next = words.iter().position(|word| word == "--lab").and_then(|place| words.get(place + 1));
    let name = next.map(String::as_str).or_else(|| words.iter().find_map(|word| word.strip_prefix("--lab=")));
    name.filter(|name| !name.is_empty()).map(str::to_owned)
}
