//! Drills that take one thing after the other: each link between switches is cut, each switch loses its power. A run for each.

use relevo_model::cluster::{ClusterFile, Link, Switch};

use super::facts::Facts;
use super::scripts::{ANSWER_WITHIN, LOOK, Script, at_rest, tree_again, whole_again, without_link};
use super::stage::{Stage, Stop};
use crate::Fault;

/// How many runs make one round of a drill.
type Rounds = fn(&ClusterFile, &Facts) -> usize;

/// The drills of which one run is not all.
const ROUNDS: [(&str, Rounds); 2] = [
    ("each-link", |cluster, _| cluster.lab.links.len()),
    ("each-switch", |cluster, facts| switches(cluster, facts).len()),
];

/// How many runs make one round of a drill; 1 for most.
pub(super) fn rounds(drill: &str, cluster: &ClusterFile, facts: &Facts) -> u32 {
    let rounds =
        ROUNDS.iter().find(|(name, _)| *name == drill).map_or(1, |(_, rounds)| rounds(cluster, facts));
    u32::try_from(rounds).unwrap_or(u32::MAX).max(1)
}

/// The switches without which somebody can still ask.
fn switches<'a>(cluster: &'a ClusterFile, facts: &'a Facts) -> Vec<&'a Switch> {
    let has_spare = |switch: &&Switch| {
        cluster.lab.switches.iter().any(|other| other.network == switch.network && other.name != switch.name)
    };
    let is_asked = |switch: &&Switch| asker(cluster, facts, switch).is_some();
    cluster.lab.switches.iter().filter(has_spare).filter(is_asked).collect()
}

/// The first client that does not sit on a switch.
fn asker(cluster: &ClusterFile, facts: &Facts, switch: &Switch) -> Option<String> {
    let elsewhere = |client: &&relevo_model::cluster::Client| {
        facts.switch_of(cluster, &client.name).is_some_and(|other| *other != switch.name)
    };
    facts.clients.iter().find(elsewhere).map(|client| client.name.to_string())
}

pub(super) fn has_switches(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    if switches(cluster, facts).is_empty() {
        return Err("no switch of this cluster has another one beside it, and a client elsewhere".to_owned());
    }
    Ok(())
}

pub(super) fn each_link(stage: &mut Stage<'_>) -> Script {
    let number = stage.round();
    let link: Option<Link> = stage.cluster().lab.links.get(number).cloned();
    let link = link.ok_or_else(|| Stop::Problem("there is no such link".to_owned()))?;
    without_link(stage, link.a.to_string(), link.b.to_string())
}

pub(super) fn each_switch(stage: &mut Stage<'_>) -> Script {
    let found = switches(stage.cluster(), stage.facts()).get(stage.round()).map(|switch| (*switch).clone());
    let switch = found.ok_or_else(|| Stop::Problem("there is no such switch".to_owned()))?;
    let client = asker(stage.cluster(), stage.facts(), &switch).unwrap_or_default();
    let name = switch.name.to_string();
    stage.ask_from(&client);
    stage.observe()?;
    let before = stage.note_tree("before")?;
    let off = Fault::SwitchOff { switch: name.clone() };
    stage.strike(vec![(off, Fault::SwitchOn { switch: name.clone() })])?;
    stage.linger_after_fault(LOOK)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    at_rest(stage)?;
    stage.note_tree(&format!("without {name}, asked by {client}"))?;
    stage.note_reached(&format!("without {name}"))?;
    whole_again(stage)?;
    tree_again(stage, &before)
}
