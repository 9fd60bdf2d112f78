//! What each drill does, step by step. Limits are in [`super::catalogue()`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::moving;
use super::serving::{noticed_by_kernel, told_by_kernel};
use super::stage::{Stage, Stop};
use crate::{Fault, LabStatus, PortState};

/// Longest wait for another director to take the address.
pub(super) const MOVE_WITHIN: Duration = Duration::from_secs(15);
/// Longest wait for the service to answer again: a spanning tree with the slowest allowed timers needs it.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Longest wait for a spanning tree to be as it shall be.
pub(super) const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// How long is looked at least after a fault: an address lease runs out within 2 s, a probe's deadline is 2 s.
pub(super) const LOOK: Duration = Duration::from_millis(2600);
/// How long is looked after a repair, once the cluster is whole: a full announcement of a takeover, and a bit.
const LOOK_AFTER: Duration = Duration::from_millis(800);

pub(super) type Script = Result<(), Stop>;

pub(super) fn director_crash(stage: &mut Stage<'_>) -> Script {
    stage.observe()?;
    moving::begin_waiting(stage)?;
    lose_observed(stage, |node| (Fault::Kill { node: node.clone() }, Fault::Start { node }))?;
    stage.flows_end()
}

pub(super) fn director_freeze(stage: &mut Stage<'_>) -> Script {
    lose_active(stage, |node| (Fault::Freeze { node: node.clone() }, Fault::Thaw { node }))
}

pub(super) fn director_stop(stage: &mut Stage<'_>) -> Script {
    lose_active(stage, |node| (Fault::Stop { node: node.clone() }, Fault::Start { node }))
}

pub(super) fn director_unplug(stage: &mut Stage<'_>) -> Script {
    let network = stage.facts().network.to_string();
    stage.observe()?;
    moving::begin_waiting(stage)?;
    lose_observed(stage, |node| {
        let unplug = Fault::Unplug { node: node.clone(), network: network.clone() };
        (unplug, Fault::Plug { node, network: network.clone() })
    })?;
    stage.flows_end()
}

pub(super) fn heartbeat_cut(stage: &mut Stage<'_>) -> Script {
    let network = stage.facts().group.heartbeat.first().map(ToString::to_string).unwrap_or_default();
    stage.observe()?;
    let node = stage.active()?.to_string();
    let unplug = Fault::Unplug { node: node.clone(), network: network.clone() };
    stage.strike(vec![(unplug, Fault::Plug { node, network })])?;
    stage.linger_after_fault(LOOK)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    whole_again(stage)
}

pub(super) fn switchover(stage: &mut Stage<'_>) -> Script {
    let group = stage.facts().group.name.to_string();
    stage.observe()?;
    let active = stage.active()?;
    stage.mark_fault();
    stage.order(&active, &["switchover", &group])?;
    stage.wait_moved(&active, MOVE_WITHIN)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.linger_after_fault(LOOK)?;
    stage.wait_ready()
}

pub(super) fn server_crash(stage: &mut Stage<'_>) -> Script {
    let server = stage.facts().servers.first().map(ToString::to_string).unwrap_or_default();
    stage.observe()?;
    let on_node =
        |one: &&relevo_model::cluster::Server| one.node.as_ref().is_some_and(|node| node.as_str() == server);
    let names: Vec<_> =
        stage.facts().pool.servers.iter().filter(on_node).map(|one| one.name.clone()).collect();
    stage.strike(vec![(Fault::Kill { node: server.clone() }, Fault::Start { node: server })])?;
    noticed_by_kernel(stage, &names)?;
    stage.linger_after_fault(LOOK)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    whole_again(stage)
}

pub(super) fn servers_all_down(stage: &mut Stage<'_>) -> Script {
    let servers: BTreeSet<String> = stage.facts().servers.iter().map(ToString::to_string).collect();
    stage.observe()?;
    let kill = |node: String| (Fault::Kill { node: node.clone() }, Fault::Start { node });
    stage.strike(servers.into_iter().map(kill).collect())?;
    if stage.facts().pool.fallback.is_none() {
        stage.wait_losses(ANSWER_WITHIN)?;
    }
    told_by_kernel(stage)?;
    stage.linger_after_fault(LOOK)?;
    stage.repair()?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.wait_ready()
}

pub(super) fn switch_dies(stage: &mut Stage<'_>) -> Script {
    let active = stage.active()?;
    let switch = switch_of_active(stage)?;
    // The client must not sit on the switch that dies.
    let elsewhere = |client: &&relevo_model::cluster::Client| {
        stage.facts().switch_of(stage.cluster(), &client.name).is_some_and(|other| other.as_str() != switch)
    };
    let client = stage.facts().clients.iter().find(elsewhere).map(|client| client.name.clone());
    let client = client.ok_or_else(|| Stop::Problem(format!("every client is plugged into {switch}")))?;
    stage.ask_from(&client);
    stage.observe()?;
    let before = stage.note_tree("before")?;
    stage.strike(vec![(
        Fault::SwitchOff { switch: switch.clone() },
        Fault::SwitchOn { switch: switch.clone() },
    )])?;
    stage.wait_moved(&active, MOVE_WITHIN)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.linger_after_fault(LOOK)?;
    at_rest(stage)?;
    stage.note_tree(&format!("without {switch}"))?;
    whole_again(stage)?;
    tree_again(stage, &before)
}

pub(super) fn link_cut(stage: &mut Stage<'_>) -> Script {
    let (a, b) = link_of_client(stage)?;
    without_link(stage, a, b)
}

/// Cuts a link between switches, looks what becomes of the tree and the service, and mends it.
pub(super) fn without_link(stage: &mut Stage<'_>, a: String, b: String) -> Script {
    stage.observe()?;
    let before = stage.note_tree("before")?;
    let cut = Fault::CutLink { a: a.clone(), b: b.clone() };
    let when = format!("without the link between {a} and {b}");
    stage.strike(vec![(cut, Fault::RestoreLink { a, b })])?;
    stage.linger_after_fault(LOOK)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    at_rest(stage)?;
    stage.note_tree(&when)?;
    whole_again(stage)?;
    tree_again(stage, &before)
}

/// Waits until no port of the spanning tree listens or learns.
pub(super) fn at_rest(stage: &Stage<'_>) -> Script {
    stage.wait_for(SETTLED_WITHIN, "the spanning tree did not come to rest", Stage::tree_at_rest)
}

/// Waits until the spanning tree is as it was before: what was mended is believed only when old words have grown old, and
/// ports listen and learn once more on the way back. `before` is what [`Stage::note_tree`] gave.
pub(super) fn tree_again(stage: &mut Stage<'_>, before: &str) -> Script {
    let what = format!("the spanning tree was not again as before ({before})");
    stage.wait_for(SETTLED_WITHIN, &what, |stage| Ok(stage.tree()? == before))?;
    stage.wait_ready()?;
    stage.linger(relevo_net::clock::now(), LOOK_AFTER)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.note_tree("after").map(drop)
}

/// The first link that the asking client's traffic to the active director takes.
pub(super) fn link_of_client(stage: &Stage<'_>) -> Result<(String, String), Stop> {
    let active = stage.active()?;
    let facts = stage.facts();
    let client = facts.clients.first().map(|client| client.name.clone());
    let from = client.and_then(|client| facts.switch_of(stage.cluster(), &client).cloned());
    let to = facts.switch_of(stage.cluster(), &active).cloned();
    let (Some(from), Some(to)) = (from, to) else {
        return Err(Stop::Problem("the client or the active director is not plugged in".to_owned()));
    };
    link_in_use(&stage.status()?, &from, &to)
        .ok_or_else(|| Stop::Problem(format!("no link between {from} and {to} is in use")))
}

pub(super) fn active_returns(stage: &mut Stage<'_>) -> Script {
    let best = stage.facts().directors.first().cloned();
    let mut active = stage.active()?;
    if let Some(best) = best.filter(|best| *best != active) {
        // With preemption the highest priority is active already; without, it is asked to be.
        stage.order(&best, &["switchover", &stage.facts().group.name.clone(), "--to", &best])?;
        stage.wait_moved(&active, MOVE_WITHIN)?;
        active = best;
    }
    let node = active.to_string();
    stage.strike_unmarked(Fault::Kill { node: node.clone() }, Fault::Start { node })?;
    stage.wait_moved(&active, MOVE_WITHIN)?;
    stage.wait_left(&active, MOVE_WITHIN)?;
    stage.observe()?;
    let other = stage.active()?;
    stage.mark_fault();
    stage.repair()?;
    stage.wait_ready()?;
    if stage.facts().group.preempt {
        stage.wait_moved(&other, MOVE_WITHIN)?;
    }
    stage.linger_after_fault(LOOK)?;
    stage.wait_answers(ANSWER_WITHIN)
}

/// Strikes the active director, waits until another one serves, undoes it, waits until all is whole.
fn lose_active(stage: &mut Stage<'_>, fault: impl Fn(String) -> (Fault, Fault)) -> Script {
    stage.observe()?;
    lose_observed(stage, fault)
}

fn lose_observed(stage: &mut Stage<'_>, fault: impl Fn(String) -> (Fault, Fault)) -> Script {
    let active = stage.active()?;
    stage.strike(vec![fault(active.to_string())])?;
    stage.wait_moved(&active, MOVE_WITHIN)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.linger_after_fault(LOOK)?;
    whole_again(stage)
}

pub(super) fn whole_again(stage: &mut Stage<'_>) -> Script {
    stage.repair()?;
    let repaired = relevo_net::clock::now();
    stage.wait_ready()?;
    stage.linger(repaired, Duration::from_millis(1500))?;
    stage.linger(relevo_net::clock::now(), LOOK_AFTER)?;
    stage.wait_answers(ANSWER_WITHIN)
}

fn switch_of_active(stage: &Stage<'_>) -> Result<String, Stop> {
    let active = stage.active()?;
    stage
        .facts()
        .switch_of(stage.cluster(), &active)
        .map(ToString::to_string)
        .ok_or_else(|| Stop::Problem(format!("{active} is not plugged in")))
}

/// The first link on the way that frames take from one switch to another.
fn link_in_use(status: &LabStatus, from: &str, to: &str) -> Option<(String, String)> {
    let forwards = |switch: &str, other: &str| {
        status.switch(switch).is_some_and(|switch| {
            switch.ports.iter().any(|port| port.name == other && port.state == PortState::Forwarding)
        })
    };
    let mut neighbours: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for link in status.links.iter().filter(|link| !link.cut) {
        if forwards(&link.a, &link.b) && forwards(&link.b, &link.a) {
            neighbours.entry(&link.a).or_default().push(&link.b);
            neighbours.entry(&link.b).or_default().push(&link.a);
        }
    }
    // Breadth first from the far end, so that the last step found is the client's own link.
    let mut seen = BTreeSet::from([to]);
    let mut queue = VecDeque::from([to]);
    while let Some(switch) = queue.pop_front() {
        for next in neighbours.get(switch).into_iter().flatten() {
            if *next == from {
                return Some((from.to_owned(), switch.to_owned()));
            }
            if seen.insert(next) {
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkStatus, PortStatus, SwitchStatus};

    fn switch(name: &str, ports: &[(&str, PortState)]) -> SwitchStatus {
        let port = |(name, state): &(&str, PortState)| PortStatus { name: (*name).to_owned(), state: *state };
        SwitchStatus {
            name: name.to_owned(),
            network: "public".to_owned(),
            on: true,
            stp: true,
            root: false,
            ports: ports.iter().map(port).collect(),
        }
    }

    #[test]
    fn the_link_that_is_cut_is_the_one_in_use() {
        use PortState::{Blocking, Forwarding};
        let link = |a: &str, b: &str| LinkStatus { a: a.to_owned(), b: b.to_owned(), cut: false };
        let status = LabStatus {
            name: "s4".to_owned(),
            keeper: 1,
            rootless: false,
            url: None,
            nodes: Vec::new(),
            switches: vec![
                switch("left", &[("root", Forwarding), ("far", Blocking)]),
                switch("root", &[("left", Forwarding), ("far", Forwarding)]),
                switch("far", &[("root", Forwarding), ("left", Forwarding)]),
            ],
            links: vec![link("left", "far"), link("left", "root"), link("root", "far")],
            resets: Vec::new(),
        };
        assert_eq!(link_in_use(&status, "left", "far"), Some(("left".to_owned(), "root".to_owned())));
        assert_eq!(link_in_use(&status, "left", "nowhere"), None);
    }
}
