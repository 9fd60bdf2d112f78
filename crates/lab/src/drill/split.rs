//! The drill of directors that do not see each other: by one way, by the other, by all. Their cables are in, and clients
//! reach each of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relevo_api::types::{GroupState, GroupStatus};
use relevo_model::cluster::ClusterFile;
use relevo_model::{NetworkName, NodeName};
use relevo_net::clock;

use super::facts::Facts;
use super::scripts::{ANSWER_WITHIN, LOOK, MOVE_WITHIN, Script, whole_again};
use super::stage::{Stage, Stop};
use crate::report::Limits;
use crate::{Fault, LabStatus};

/// Longest wait for one of two actives to yield, and for somebody to have asked who answers for the addresses.
const ONE_AGAIN_WITHIN: Duration = Duration::from_secs(15);

/// While both are active, clients are answered by whoever announced itself last; when it is over, by the one that stays,
/// which announces itself again. How long there are two is up to the drill.
pub(super) fn limits(facts: &Facts) -> Limits {
    let needed = u64::try_from(facts.active_down().as_millis()).unwrap_or(u64::MAX);
    Limits { gap_ms: Some(needed.max(500)), undo_gap_ms: Some(needed.max(500)), ..Limits::default() }
}

pub(super) fn applies(_cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    if facts.directors.len() < 2 { Err("this cluster has one director".to_owned()) } else { Ok(()) }
}

pub(super) fn split(stage: &mut Stage<'_>) -> Script {
    let ways = Ways::of(stage.cluster(), stage.facts());
    stage.observe()?;
    let active = stage.active()?;
    if ways.heartbeat.is_empty() {
        stage.note("no heartbeat network: the directors see each other by adverts alone".to_owned());
    } else {
        let heartbeat = ways.heartbeat.clone();
        one_way(stage, &active, &heartbeat, false)?;
        one_way(stage, &active, &ways.adverts, true)?;
    }
    all_ways(stage, &active, &ways.all)
}

/// The ways by which the directors of a group see each other.
struct Ways {
    /// Networks with adverts.
    adverts: Vec<NetworkName>,
    /// Heartbeat networks.
    heartbeat: Vec<NetworkName>,
    /// Every network that two of them share.
    all: Vec<NetworkName>,
}

impl Ways {
    fn of(cluster: &ClusterFile, facts: &Facts) -> Self {
        let shared = |network: &NetworkName| {
            let on = facts.directors.iter().filter_map(|name| cluster.node(name)?.address_on(network));
            on.count() > 1
        };
        let networks = cluster.networks.iter().map(|network| network.name.clone());
        Self {
            adverts: facts.group.vrids.keys().cloned().collect(),
            heartbeat: facts.group.heartbeat.clone(),
            all: networks.filter(shared).collect(),
        }
    }
}

/// The directors do not see each other by some of their ways: nothing may move, as long as the active one's word comes by
/// another.
fn one_way(stage: &mut Stage<'_>, active: &NodeName, cut: &[NetworkName], is_adverts: bool) -> Script {
    let names = words(cut);
    for network in cut {
        let (part, join) = parting(stage, network);
        stage.strike_unmarked(part, join)?;
    }
    let since = clock::now();
    let mut told = None;
    if is_adverts {
        let what = format!("parted on {names}, no director says that the active one's word holds it back");
        stage.wait_for(MOVE_WITHIN, &what, |stage| {
            let status = stage.status()?;
            let held = groups(&status, stage.facts())
                .find_map(|(node, group)| group.held_back.as_ref().map(|why| format!("{node}: {why}")));
            told = held;
            Ok(told.is_some())
        })?;
    }
    stage.linger(since, LOOK)?;
    let holders = stage.holders()?;
    if holders != [active.clone()] {
        let list = if holders.is_empty() { "nobody".to_owned() } else { words(&holders) };
        return Err(Stop::Problem(format!(
            "parted on {names}, with another way left: held by {list}, not by {active} alone"
        )));
    }
    let why = told.map_or_else(String::new, |why| format!(" ({why})"));
    stage.note(format!("parted on {names}: {active} stays active alone{why}"));
    stage.undo_all()?;
    stage.wait_ready()
}

/// They do not see each other at all: both are active. When it is over, exactly one yields, and it is in the log.
fn all_ways(stage: &mut Stage<'_>, active: &NodeName, all: &[NetworkName]) -> Script {
    let names = words(all);
    let since_ms = wall_ms();
    let faults = all.iter().map(|network| parting(stage, network)).collect();
    stage.strike(faults)?;
    stage.wait_for(MOVE_WITHIN, &format!("parted on {names}, nobody else became active"), |stage| {
        Ok(stage.holders()?.len() > 1)
    })?;
    stage.linger_after_fault(LOOK)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    let two = stage.holders()?;
    if two.len() < 2 || !two.contains(active) {
        return Err(Stop::Problem(format!("parted on {names}, the address is held by {}", words(&two))));
    }
    stage.note(format!("parted on {names}: {} are active", words(&two)));
    stage.repair()?;
    stage.wait_for(ONE_AGAIN_WITHIN, "two directors stayed active after all ways were mended", |stage| {
        Ok(stage.holders()?.len() == 1)
    })?;
    let winner = stage.active()?;
    whole_again(stage)?;
    if stage.active()? != winner {
        return Err(Stop::Problem(format!("{winner} stayed active, and lost the address again")));
    }
    stage.note(format!("mended: {winner} stays active alone"));
    if stage.cluster().peers.is_none() {
        stage.note("no [peers]: nobody asks who answers for the addresses".to_owned());
    } else {
        answers_right(stage, &winner)?;
    }
    logged(stage, &two, &winner, since_ms)
}

/// Waits until another director has seen that the addresses answer with the active one's hardware address.
fn answers_right(stage: &Stage<'_>, winner: &NodeName) -> Script {
    let what = "nobody has seen the addresses answer with the active director's hardware address";
    stage.wait_for(ONE_AGAIN_WITHIN, what, |stage| {
        let status = stage.status()?;
        let own = groups(&status, stage.facts()).find(|(node, _)| *node == winner.as_str());
        Ok(own.is_some_and(|(_, group)| {
            let right = |opinion: &relevo_api::types::Opinion| {
                opinion.answers.iter().all(|one| one.answers == "right")
            };
            let mut asked = group.opinions.iter().filter(|opinion| !opinion.answers.is_empty());
            group.state == GroupState::Active && asked.clone().count() > 0 && asked.all(right)
        }))
    })
}

/// Each director that was active has written down what became of it: who yielded that it is a backup now, the other that it
/// was not alone.
fn logged(stage: &mut Stage<'_>, two: &[NodeName], winner: &NodeName, since_ms: u64) -> Script {
    let began = clock::now();
    loop {
        let mut missing = None;
        let mut lines = Vec::new();
        for node in two {
            let new = stage.incidents(node, since_ms)?;
            let kinds: &[&str] = if node == winner { &["two-actives", "one-active"] } else { &["backup"] };
            let own = new.iter().filter(|incident| kinds.contains(&incident.kind.as_str()));
            if own.clone().count() == 0 {
                let word = if node == winner { "that it was not alone" } else { "that it yielded" };
                missing = Some(format!("{node} has not written down {word} (relevo incidents)"));
            }
            lines.extend(own.map(|incident| format!("incidents of {node}: {}", incident.text)));
        }
        let Some(missing) = missing else {
            lines.into_iter().for_each(|line| stage.note(line));
            return Ok(());
        };
        if clock::now().since(began) > ONE_AGAIN_WITHIN {
            return Err(Stop::Problem(missing));
        }
        stage.linger(clock::now(), Duration::from_millis(200))?;
    }
}

fn parting(stage: &Stage<'_>, network: &NetworkName) -> (Fault, Fault) {
    let on =
        |name: &&NodeName| stage.cluster().node(name).is_some_and(|node| node.address_on(network).is_some());
    let machines = stage.facts().directors.iter().filter(on).map(ToString::to_string).collect();
    let network = network.to_string();
    (Fault::Part { network: network.clone(), machines }, Fault::Join { network })
}

/// The asked group as each director sees it.
fn groups<'a>(status: &'a LabStatus, facts: &'a Facts) -> impl Iterator<Item = (&'a str, &'a GroupStatus)> {
    let own = |node: &'a crate::NodeStatus| {
        let groups = node.api.iter().flat_map(|api| &api.groups);
        groups.filter(|group| group.name == facts.group.name).map(|group| (node.name.as_str(), group))
    };
    status.nodes.iter().flat_map(own)
}

fn words<T: std::fmt::Display>(names: &[T]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// Milliseconds since 1970, as incidents have them.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
