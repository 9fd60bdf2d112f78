//! The drill of connections that survive their director: they run while it dies, with a change of the table at that very
//! moment, and while it returns.

use std::time::Duration;

use relevo_model::ClusterFile;
use relevo_model::cluster::Mode;

use super::facts::Facts;
use super::scripts::{ANSWER_WITHIN, LOOK, whole_again};
use super::stage::{Stage, Stop};
use crate::Fault;
use crate::report::Limits;

/// Longest wait for another director to take the address.
const MOVE_WITHIN: Duration = Duration::from_secs(15);

/// No connection is lost. The client's retransmissions come at doubling distances: one that is just too early for the
/// takeover and one that finds the wrong server make the wait four times as long.
pub(super) fn limits(facts: &Facts) -> Limits {
    let needed = u64::try_from(facts.active_down().as_millis()).unwrap_or(u64::MAX);
    let gap = (needed * 5 / 2).max(1000);
    Limits { gap_ms: Some(gap), flows_lost: Some(0), stall_ms: Some(gap * 4), ..Limits::default() }
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

/// Downloads and kept connections run; one server drains on the other directors, and the active one is killed.
pub(super) fn flows_survive(stage: &mut Stage<'_>) -> Result<(), Stop> {
    stage.observe()?;
    let active = stage.active()?;
    stage.flows_begin()?;
    let others: Vec<String> =
        stage.facts().directors.iter().filter(|node| **node != active).map(ToString::to_string).collect();
    let pool = &stage.facts().pool;
    let server = (pool.servers.len() > 1).then(|| format!("{}/{}", pool.name, pool.servers[0].name));
    let wish = |stage: &Stage<'_>, wish: &str| -> Result<(), Stop> {
        for (node, server) in others.iter().flat_map(|node| server.iter().map(move |server| (node, server))) {
            stage.order(node, &["server", wish, server])?;
        }
        Ok(())
    };
    wish(stage, "drain")?;
    let played = play(stage, active.to_string());
    // Also when something went wrong: the lab is the user's.
    wish(stage, "ready")?;
    played?;
    stage.flows_end()
}

fn play(stage: &mut Stage<'_>, active: String) -> Result<(), Stop> {
    stage.strike(vec![(Fault::Kill { node: active.clone() }, Fault::Start { node: active.clone() })])?;
    stage.wait_moved(&active, MOVE_WITHIN)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.linger_after_fault(LOOK + LOOK)?;
    whole_again(stage)
}
