//! The drills that there are, with what each allows and why.

use std::time::Duration;

use relevo_model::ClusterFile;
use relevo_model::cluster::Mode;

use super::each;
use super::facts::Facts;
use super::layers;
use super::moving;
use super::observation::KEPT;
use super::scripts;
use super::serving;
use super::split;
use super::stage::{Stage, Stop};
use super::surviving;
use crate::report::Limits;

/// A rehearsed failure.
#[derive(Clone, Copy)]
pub struct Drill {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in one line.
    pub about: &'static str,
    limits: fn(&Facts) -> Limits,
    applies: fn(&ClusterFile, &Facts) -> Result<(), String>,
    script: fn(&mut Stage<'_>) -> Result<(), Stop>,
}

impl std::fmt::Debug for Drill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drill").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drill {
    /// What it allows on this cluster.
    pub fn limits(&self, facts: &Facts) -> Limits {
        (self.limits)(facts)
    }

    /// Whether it means anything on this cluster.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn applies(&self, cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
        (self.applies)(cluster, facts)
    }

    /// How many runs make one round of it: of most drills one, of others one for each link or switch.
    pub fn rounds(&self, cluster: &ClusterFile, facts: &Facts) -> u32 {
        each::rounds(self.name, cluster, facts)
    }

    /// Plays it once on a healed lab.
    pub(super) fn play(&self, stage: &mut Stage<'_>) -> Result<(), Stop> {
        (self.script)(stage)
    }
}

/// The drill of this name.
pub fn find(name: &str) -> Option<&'static Drill> {
    CATALOGUE.iter().find(|drill| drill.name == name)
}

/// All drills, in the order in which `--all` runs them.
pub const fn catalogue() -> &'static [Drill] {
    CATALOGUE
}

const CATALOGUE: &[Drill] = &[
    Drill {
        name: "switchover",
        about: "the operator moves the address to another director",
        limits: planned,
        applies: two_directors,
        script: scripts::switchover,
    },
    Drill {
        name: "switchover-flows",
        about: "the operator moves the address while slow downloads and kept connections run",
        limits: moving::limits,
        applies: moving::applies,
        script: moving::switchover_flows,
    },
    Drill {
        name: "director-stop",
        about: "the active director is stopped in good order (SIGTERM), and started again",
        limits: planned,
        applies: two_directors,
        script: scripts::director_stop,
    },
    Drill {
        name: "director-crash",
        about: "every process of the active director is killed (SIGKILL), and started again",
        limits: unplanned,
        applies: two_directors,
        script: scripts::director_crash,
    },
    Drill {
        name: "director-freeze",
        about: "the active director is frozen (SIGSTOP), loses the address, and wakes up (SIGCONT)",
        limits: freeze,
        applies: two_directors,
        script: scripts::director_freeze,
    },
    Drill {
        name: "director-unplug",
        about: "the active director's cable to the clients is pulled out, and put back",
        limits: unplugged,
        applies: two_directors,
        script: scripts::director_unplug,
    },
    Drill {
        name: "heartbeat-cut",
        about: "the active director's cable to the heartbeat network is pulled out, and put back",
        limits: untouched,
        applies: has_heartbeat,
        script: scripts::heartbeat_cut,
    },
    Drill {
        name: "split",
        about: "the directors do not see each other: by one way, by the other, by all; then they do again",
        limits: split::limits,
        applies: split::applies,
        script: split::split,
    },
    Drill {
        name: "return",
        about: "the former active director comes back after a crash",
        limits: returns,
        applies: two_directors,
        script: scripts::active_returns,
    },
    Drill {
        name: "server-crash",
        about: "one of the servers is killed, and started again",
        limits: server_crash,
        applies: two_servers,
        script: scripts::server_crash,
    },
    Drill {
        name: "servers-all-down",
        about: "all servers are killed at once, and started again",
        limits: servers_all_down,
        applies: some_server,
        script: scripts::servers_all_down,
    },
    Drill {
        name: "server-process",
        about: "one server's process is stopped (SIGTERM), as a container would be, and started again",
        limits: serving::process_limits,
        applies: serving::two_processes,
        script: serving::server_process,
    },
    Drill {
        name: "host-unplug",
        about: "the cable of a host with servers is pulled out, and put back",
        limits: serving::unplug_limits,
        applies: serving::host_can_go,
        script: serving::host_unplug,
    },
    Drill {
        name: "load-peak",
        about: "crowds of clients come, more at once than servers may have connections",
        limits: serving::peak_limits,
        applies: serving::crowd_is_welcome,
        script: serving::load_peak,
    },
    Drill {
        name: "cookie-stays",
        about: "a client keeps its server by a cookie while that one stops and returns",
        limits: serving::process_limits,
        applies: serving::has_cookie,
        script: serving::cookie_stays,
    },
    Drill {
        name: "flows-survive",
        about: "the active director is killed while a server drains; connections of the kernel's path live on",
        limits: surviving::crash_limits,
        applies: surviving::applies,
        script: surviving::flows_survive,
    },
    Drill {
        name: "flows-unplug",
        about: "the same, but its cable to the clients is pulled out",
        limits: surviving::crash_limits,
        applies: surviving::applies,
        script: surviving::flows_unplug,
    },
    Drill {
        name: "flows-freeze",
        about: "the same, but it is frozen, and wakes up",
        limits: surviving::crash_limits,
        applies: surviving::applies,
        script: surviving::flows_freeze,
    },
    Drill {
        name: "flows-switchover",
        about: "the same, but the operator moves the address",
        limits: surviving::planned_limits,
        applies: surviving::applies,
        script: surviving::flows_switchover,
    },
    Drill {
        name: "flows-server-dies",
        about: "the active director and a server die at once; connections to the other servers live on",
        limits: surviving::crash_limits,
        applies: surviving::applies_with_servers,
        script: surviving::flows_server_dies,
    },
    Drill {
        name: "flows-twice",
        about: "the active director dies, and when it is back the one that took over does",
        limits: surviving::crash_limits,
        applies: surviving::applies,
        script: surviving::flows_twice,
    },
    Drill {
        name: "switch-dies",
        about: "the switch of the active director loses its power, and gets it back",
        limits: switch_dies,
        applies: switch_can_die,
        script: scripts::switch_dies,
    },
    Drill {
        name: "link-cut",
        about: "the link between switches that carries the client's traffic is cut, and mended",
        limits: link_cut,
        applies: mesh,
        script: scripts::link_cut,
    },
    Drill {
        name: "each-switch",
        about: "one switch after the other loses its power, and gets it back; a run for each",
        limits: switch_dies,
        applies: each::has_switches,
        script: each::each_switch,
    },
    Drill {
        name: "each-link",
        about: "one link between switches after the other is cut, and mended; a run for each",
        limits: link_cut,
        applies: mesh,
        script: each::each_link,
    },
    Drill {
        name: "root-change",
        about: "another switch becomes the root of the spanning tree, and the former one again",
        limits: layers::tree_limits,
        applies: spanning_tree,
        script: layers::root_change,
    },
    Drill {
        name: "cost-change",
        about: "the link that carries the client's traffic becomes dear, and cheap again",
        limits: layers::tree_limits,
        applies: spanning_tree,
        script: layers::cost_change,
    },
    Drill {
        name: "vxlan-cut",
        about: "the VXLAN between the servers' switches is cut, and mended: each director reaches its own side only",
        limits: layers::vxlan_limits,
        applies: layers::has_tunnel,
        script: layers::vxlan_cut,
    },
    Drill {
        name: "gateway-moves",
        about: "servers ask a client's machine through the active director, which loses its power, and gets it back",
        limits: layers::gateway_limits,
        applies: layers::has_gateway,
        script: layers::gateway_moves,
    },
];

/// The kernel looks at leases once a second, so a lease of one second is gone within two.
const LEASE_MS: u64 = 2000;
/// The spanning tree as the lab sets it: a silent neighbour counts as lost after max age (6 s), then a port listens
/// and learns for the forward delay each (2 s + 2 s); 2 s for the switches to agree.
const STP_MS: u64 = 12_000;

/// A planned move loses no request and is hardly noticed: both directors are alive, and the new one announces
/// itself before the old one lets go. A single run may be late on a busy machine, by less than a crash would take.
fn planned(facts: &Facts) -> Limits {
    Limits {
        gap_ms: Some(millis(facts.active_down()).max(361)),
        gap_median_ms: Some(100),
        two_holders_ms: Some(LEASE_MS),
        ..Limits::default()
    }
}

/// Nobody says goodbye: the others must miss three adverts first. The median stays within four thirds of what the
/// protocol needs for that, a single run within two and a half times; with adverts every 100 ms that is 0.5 s and 1 s.
/// Kept connections die with their director. A dead director's address ends with its lease.
fn unplanned(facts: &Facts) -> Limits {
    let needed = millis(facts.active_down());
    Limits {
        gap_ms: Some((needed * 5 / 2).max(1000)),
        gap_median_ms: Some((needed * 4 / 3).max(500)),
        dark_ms: moving::dark(facts),
        two_holders_ms: Some(LEASE_MS),
        ..Limits::default()
    }
}

/// As a crash, and the one that wakes up changes nothing: no gap, no move (unless it preempts).
fn freeze(facts: &Facts) -> Limits {
    let preempt = facts.group.preempt;
    Limits {
        undo_gap_ms: Some(if preempt { 300 } else { 150 }),
        undo_moves: (!preempt).then_some(0),
        ..unplanned(facts)
    }
}

/// As quick as a crash. The director sees its carrier go and lets the address go at once, long before the other one
/// takes it. Back on the network it hears the adverts of the other one and changes nothing (unless it preempts).
fn unplugged(facts: &Facts) -> Limits {
    let preempt = facts.group.preempt;
    let limits = unplanned(facts);
    Limits {
        takeover_ms: limits.gap_ms,
        two_holders_ms: Some(if preempt { LEASE_MS } else { 0 }),
        undo_gap_ms: Some(if preempt { 300 } else { 150 }),
        undo_moves: (!preempt).then_some(0),
        ..limits
    }
}

/// The heartbeat carries words and no clients: nothing moves, nobody notices.
fn untouched(_facts: &Facts) -> Limits {
    Limits {
        gap_ms: Some(150),
        lost: Some(0),
        cut: Some(0),
        two_holders_ms: Some(0),
        undo_moves: Some(0),
        ..Limits::default()
    }
}

/// Sticky: nothing happens. With preemption: one planned move back.
fn returns(facts: &Facts) -> Limits {
    if facts.group.preempt {
        return Limits { gap_ms: Some(300), takeover_ms: Some(15_000), ..planned(facts) };
    }
    Limits {
        gap_ms: Some(150),
        lost: Some(0),
        cut: Some(0),
        two_holders_ms: Some(0),
        undo_moves: Some(0),
        ..Limits::default()
    }
}

/// The balancer goes to the next server by itself. Only requests that were in progress on the dead server may
/// fail, and the probe has one or two in progress. In mode `http` kept connections end at the balancer and stay; in
/// mode `tcp` each leads to one server, and those that led to the dead one are cut.
fn server_crash(facts: &Facts) -> Limits {
    let cut = match facts.service.mode {
        Mode::Http => 0,
        Mode::Tcp | Mode::Udp => KEPT,
    };
    // See `serving::process_limits`.
    let lost = (!facts.by_kernel).then_some(5);
    Limits { gap_ms: Some(300), lost, cut: Some(cut), two_holders_ms: Some(0), ..Limits::default() }
}

/// Nobody can answer, but nobody is left waiting: the client is told so at once; on the kernel's path, as soon as the checks
/// have seen it, which the script demands. When servers return, the
/// service does as soon as the checks have seen enough.
fn servers_all_down(facts: &Facts) -> Limits {
    let back = millis(facts.rise_time()) + 1000;
    let hung = (!facts.by_kernel).then_some(0);
    Limits { hung, two_holders_ms: Some(0), back_ms: Some(back), ..Limits::default() }
}

/// The director loses its carrier with the switch, and another one takes over; the client's way to that one may have
/// to wait for the spanning tree. Nor is the time with two holders limited: when the power is back, the director's port
/// is there at once, the ports to other switches listen and learn; meanwhile it believes that it is alone.
fn switch_dies(_facts: &Facts) -> Limits {
    Limits { gap_ms: Some(STP_MS), ..Limits::default() }
}

/// The spanning tree opens another way; nothing else has to move.
fn link_cut(_facts: &Facts) -> Limits {
    Limits { gap_ms: Some(STP_MS), ..Limits::default() }
}

fn two_directors(_cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    if facts.directors.len() < 2 { Err("this cluster has one director".to_owned()) } else { Ok(()) }
}

fn has_heartbeat(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    two_directors(cluster, facts)?;
    match facts.group.heartbeat.first() {
        None => Err("this cluster has no heartbeat network".to_owned()),
        Some(_) => Ok(()),
    }
}

fn two_servers(_cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    match facts.servers.len() {
        0 => Err("the service's servers are no nodes of the lab".to_owned()),
        1 => Err("this cluster has one server".to_owned()),
        _ => Ok(()),
    }
}

fn some_server(_cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    if facts.servers.len() < facts.pool.servers.len() || facts.servers.is_empty() {
        return Err("not all of the service's servers are nodes of the lab".to_owned());
    }
    Ok(())
}

fn mesh(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    let on_network = |name: &relevo_model::SwitchName| {
        cluster.lab.switches.iter().any(|switch| switch.name == *name && switch.network == facts.network)
    };
    let switches = cluster.lab.switches.iter().filter(|switch| switch.network == facts.network).count();
    if switches < 2 {
        return Err(format!("network {} of this cluster has one switch", facts.network));
    }
    let links = cluster.lab.links.iter().filter(|link| on_network(&link.a)).count();
    if links < switches {
        return Err(format!("the switches of network {} have no spare link", facts.network));
    }
    Ok(())
}

fn spanning_tree(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    mesh(cluster, facts)?;
    let mut own = cluster.lab.switches.iter().filter(|switch| switch.network == facts.network);
    match own.all(|switch| switch.stp) {
        true => Ok(()),
        false => Err(format!("not all switches of network {} speak STP", facts.network)),
    }
}

fn switch_can_die(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    two_directors(cluster, facts)?;
    mesh(cluster, facts)?;
    let first = facts.directors.first().and_then(|director| facts.switch_of(cluster, director));
    if facts.directors.iter().all(|director| facts.switch_of(cluster, director) == first) {
        return Err("all directors are on one switch".to_owned());
    }
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
