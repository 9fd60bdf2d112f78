//! The drill of a planned move with everything that it must not hurt: slow downloads and kept connections beside the new ones.

use std::time::Duration;

use relevo_model::ClusterFile;
use relevo_model::cluster::Mode;
use relevo_net::clock;

use super::facts::Facts;
use super::scripts::{ANSWER_WITHIN, LOOK, MOVE_WITHIN, Script};
use super::stage::Stage;
use crate::probe::Counts;
use crate::report::Limits;

/// A slow download takes 16 KiB and waits so long.
const PAUSE: Duration = Duration::from_millis(200);
/// Downloads beside which nothing but the move shall be seen.
const DOWNLOADS: u32 = 20;

/// Connections that are older are known to the other directors.
const LASTING: Duration = Duration::from_millis(1500);

/// Nothing is lost and nothing is cut. A packet that comes in the very moment of the move is sent again by its sender.
pub(super) fn limits(facts: &Facts) -> Limits {
    let gap = u64::try_from(facts.active_down().as_millis()).unwrap_or(u64::MAX).max(361);
    Limits {
        gap_ms: Some(gap),
        gap_median_ms: Some(100),
        lost: Some(0),
        cut: Some(0),
        flows_lost_per_mille: Some(0),
        stall_ms: Some(3000),
        ..Limits::default()
    }
}

pub(super) fn applies(_cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    if facts.directors.len() < 2 {
        return Err("this cluster has one director".to_owned());
    }
    if facts.group.drain.is_zero() {
        return Err("the cluster file says drain = \"0s\"".to_owned());
    }
    if !facts.downloads {
        return Err("the servers are not the lab's own, which have downloads".to_owned());
    }
    match facts.service.mode {
        Mode::Http | Mode::Tcp => Ok(()),
        Mode::Udp => Err("the asked service is of mode udp".to_owned()),
    }
}

/// Half of the long connections are slow downloads, the others ask ten times a second.
pub(super) fn switchover_flows(stage: &mut Stage<'_>) -> Script {
    let group = stage.facts().group.name.to_string();
    let wanted = stage.flows_wanted();
    stage.observe()?;
    let web = stage.facts().service.mode == Mode::Http;
    let (downloads, kept) = (wanted / 2, wanted - wanted / 2);
    stage.flows_begin_with(Counts { downloads, kept, pause: PAUSE, web, ..Counts::default() })?;
    let active = stage.active()?;
    stage.mark_fault();
    stage.order(&active, &["switchover", &group])?;
    stage.wait_moved(&active, MOVE_WITHIN)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.linger_after_fault(LOOK + LOOK)?;
    stage.flows_end()?;
    stage.wait_ready()
}

/// Some downloads wait for bytes that never come: how long until they know?
pub(super) fn begin_waiting(stage: &mut Stage<'_>) -> Script {
    match stage.facts().service.mode {
        Mode::Http | Mode::Tcp if stage.facts().downloads => {
            let web = stage.facts().service.mode == Mode::Http;
            stage.flows_begin_with(Counts {
                downloads: DOWNLOADS,
                pause: PAUSE,
                web,
                ..Counts::default()
            })?;
            // The other directors hear of connections that last.
            stage.linger(clock::now(), LASTING)
        }
        Mode::Http | Mode::Tcp | Mode::Udp => Ok(()),
    }
}

/// Longest that a client of a connection that died with its director waits until it knows. With a channel between the directors the
/// new one tells it; without, only who sends something is told.
pub(super) fn dark(facts: &Facts) -> Option<u64> {
    let needed = u64::try_from(facts.active_down().as_millis()).unwrap_or(u64::MAX);
    facts.peers.then(|| (needed * 5 / 2).max(1000) + 1500)
}
