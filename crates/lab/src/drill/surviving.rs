//! The drills of connections that survive their director: they run while it dies in one way or another, with a change of
//! the table at that very moment, and while it returns.

use relevo_model::ClusterFile;
use relevo_model::cluster::Mode;

use super::facts::Facts;
use super::scripts::{ANSWER_WITHIN, LOOK, MOVE_WITHIN, whole_again};
use super::stage::{Stage, Stop};
use crate::Fault;
use crate::report::Limits;

/// The first distance of retransmissions: 200 ms is Linux' least, and what a busy machine adds.
const RETRANSMISSION_MS: u64 = 300;
/// Of a thousand connections to living servers.
const MOST_LOST: u64 = 1;

/// Nobody says goodbye: of a thousand connections one may be lost, and none waits longer than the takeover and the
/// retransmission that is due after it.
pub(super) fn crash_limits(facts: &Facts) -> Limits {
    let needed = u64::try_from(facts.active_down().as_millis()).unwrap_or(u64::MAX);
    Limits {
        gap_ms: Some((needed * 5 / 2).max(1000)),
        flows_lost_per_mille: Some(MOST_LOST),
        stall_after_takeover_ms: Some(RETRANSMISSION_MS),
        ..Limits::default()
    }
}

/// A planned move: none is lost, and none waits longer than the eye sees.
pub(super) fn planned_limits(_facts: &Facts) -> Limits {
    Limits { flows_lost_per_mille: Some(0), stall_ms: Some(100), ..Limits::default() }
}

pub(super) fn applies(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    if facts.directors.len() < 2 {
        return Err("this cluster has one director".to_owned());
    }
    if facts.service.mode != Mode::Tcp {
        return Err(format!("the asked service, {}, is not of mode tcp", facts.service.name));
    }
    let place = cluster.services.iter().position(|service| service.name == facts.service.name);
    let path = place.and_then(|place| cluster.kernel_paths().into_iter().nth(place));
    path.unwrap_or(Ok(()))
        .map_err(|why| format!("service {} does not take the kernel's path: {why}", facts.service.name))
}

pub(super) fn applies_with_servers(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    applies(cluster, facts)?;
    if facts.servers.len() < 2 {
        return Err("it needs two servers that are nodes of the lab".to_owned());
    }
    Ok(())
}

/// Every process of the active director is killed.
pub(super) fn flows_survive(stage: &mut Stage<'_>) -> Result<(), Stop> {
    drained(stage, |stage| {
        let active = stage.active()?.to_string();
        lose(stage, vec![(Fault::Kill { node: active.clone() }, Fault::Start { node: active })])
    })
}

/// It loses the network of its clients.
pub(super) fn flows_unplug(stage: &mut Stage<'_>) -> Result<(), Stop> {
    drained(stage, |stage| {
        let (node, network) = (stage.active()?.to_string(), stage.facts().network.to_string());
        let unplug = Fault::Unplug { node: node.clone(), network: network.clone() };
        lose(stage, vec![(unplug, Fault::Plug { node, network })])
    })
}

/// It stands still, and wakes up.
pub(super) fn flows_freeze(stage: &mut Stage<'_>) -> Result<(), Stop> {
    drained(stage, |stage| {
        let node = stage.active()?.to_string();
        lose(stage, vec![(Fault::Freeze { node: node.clone() }, Fault::Thaw { node })])
    })
}

/// The operator moves the address.
pub(super) fn flows_switchover(stage: &mut Stage<'_>) -> Result<(), Stop> {
    drained(stage, |stage| {
        let (active, group) = (stage.active()?, stage.facts().group.name.to_string());
        stage.mark_fault();
        stage.order(&active, &["switchover", &group])?;
        stage.wait_moved(&active, MOVE_WITHIN)?;
        stage.wait_answers(ANSWER_WITHIN)?;
        stage.linger_after_fault(LOOK + LOOK)?;
        stage.wait_ready()
    })
}

/// A server dies together with the director: its connections are lost, those of the others are not.
pub(super) fn flows_server_dies(stage: &mut Stage<'_>) -> Result<(), Stop> {
    let server = stage.facts().servers.first().map(ToString::to_string).unwrap_or_default();
    stage.flows_dead(&server);
    running(stage, |stage| {
        let active = stage.active()?.to_string();
        let kill = |node: String| (Fault::Kill { node: node.clone() }, Fault::Start { node });
        lose(stage, vec![kill(server), kill(active)])
    })
}

/// The active director dies, and when it is back the one that took over does.
pub(super) fn flows_twice(stage: &mut Stage<'_>) -> Result<(), Stop> {
    running(stage, |stage| {
        for _ in 0..2 {
            let active = stage.active()?.to_string();
            lose(stage, vec![(Fault::Kill { node: active.clone() }, Fault::Start { node: active })])?;
        }
        Ok(())
    })
}

/// Connections run while something happens.
fn running(
    stage: &mut Stage<'_>,
    happens: impl FnOnce(&mut Stage<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    stage.kernel_takes_it()?;
    stage.observe()?;
    stage.flows_begin()?;
    happens(stage)?;
    stage.flows_end()
}

/// The same while one server is drained on the other directors: their tables differ from that of the active one, and who
/// takes over does not know whose the connections are.
fn drained(
    stage: &mut Stage<'_>,
    happens: impl FnOnce(&mut Stage<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    running(stage, |stage| {
        let active = stage.active()?;
        let directors = stage.facts().directors.iter();
        let others: Vec<String> =
            directors.filter(|node| **node != active).map(ToString::to_string).collect();
        let pool = &stage.facts().pool;
        let server = (pool.servers.len() > 1).then(|| format!("{}/{}", pool.name, pool.servers[0].name));
        let wish = |stage: &Stage<'_>, wish: &str| -> Result<(), Stop> {
            for (node, server) in
                others.iter().flat_map(|node| server.iter().map(move |server| (node, server)))
            {
                stage.order(node, &["server", wish, server])?;
            }
            Ok(())
        };
        wish(stage, "drain")?;
        let played = happens(stage);
        // Also when something went wrong: the lab is the user's.
        wish(stage, "ready")?;
        played
    })
}

/// Strikes, waits until another director serves, undoes it, and waits until all is whole.
fn lose(stage: &mut Stage<'_>, faults: Vec<(Fault, Fault)>) -> Result<(), Stop> {
    let active = stage.active()?;
    stage.strike(faults)?;
    stage.wait_moved(&active, MOVE_WITHIN)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.linger_after_fault(LOOK + LOOK)?;
    whole_again(stage)
}
