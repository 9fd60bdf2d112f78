//! What a balancer costs when nobody asks: memory of idle connections, and the work of checks.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Bench;
use super::balancer::{Balancer, Kind, Scene};
use super::features::Features;
use super::figures::{Checks, Idle};
use super::origin::Origins;
use super::process::free_port;
use super::scene::{self, Place};
use super::workload::{CHECKS, IDLE, WORKLOADS};
use crate::haproxy::Tuning;
use crate::load::hold;

/// Idle connections, unless fewer files may be open.
const CONNECTIONS: usize = 10_000;

/// Files that are open here besides.
const OTHER_FILES: u64 = 500;

/// Servers that are checked once a second.
const SERVERS: usize = 1000;

/// How long connections rest before memory is looked at, and how long their CPU time is watched.
const REST: Duration = Duration::from_secs(3);

/// How long checks are watched at least: several rounds.
const ROUNDS: Duration = Duration::from_secs(6);

/// Our balancer and the peer.
fn both(bench: &Bench<'_>) -> [Kind; 2] {
    let peer = Kind::Haproxy(Tuning::Default);
    [if bench.options.self_test { peer } else { Kind::Relevo }, peer]
}

/// Memory for each of many connections that asked once and then do nothing.
pub(super) fn idle(bench: &Bench<'_>, features: Features) -> Result<[Idle; 2]> {
    let connections = usize::try_from(open_files()?.saturating_sub(OTHER_FILES))?.min(CONNECTIONS);
    if connections < CONNECTIONS {
        (bench.said)(&format!(
            "{IDLE}: {connections} connections: this user may not open more files (ulimit -n)"
        ));
    }
    let [workload, ..] = &WORKLOADS;
    let one = |kind| {
        let write = |place: &Place| Ok(scene::text(workload, features, place));
        let scene: Scene<'_> = (IDLE, &write);
        let mut balancer = Balancer::start(bench, kind, scene, &bench.place(connections))?;
        balancer.wait_until_ready(workload)?;
        let before = balancer.process.memory()?;
        let mut plan = workload.look(balancer.at, "/bytes/200")?;
        (plan.connections, plan.cpus) = (connections, vec![bench.options.cpus[1]]);
        let watched = hold(&plan, || {
            thread::sleep(REST);
            let (memory, used) = (balancer.process.memory()?, balancer.process.cpu_time()?);
            thread::sleep(REST);
            anyhow::Ok((memory, balancer.process.cpu_time()?.saturating_sub(used)))
        });
        let (memory, used) = watched.with_context(|| kind.name())??;
        let idle = Idle {
            connections,
            bytes_each: memory.saturating_sub(before) as f64 / connections as f64,
            cpu_ms_per_second: used.as_secs_f64() * 1e3 / REST.as_secs_f64(),
        };
        (bench.said)(&format!("{IDLE:<28} {:<16} {:>7.0} bytes/connection", kind.name(), idle.bytes_each));
        anyhow::Ok(idle)
    };
    let [us, peer] = both(bench);
    Ok([one(us)?, one(peer)?])
}

/// CPU time and memory of checking a thousand servers every second.
pub(super) fn checks(bench: &Bench<'_>) -> Result<[Checks; 2]> {
    let port = free_port()?.port();
    let addresses: Vec<SocketAddrV4> = (0..SERVERS as u32)
        .map(|index| SocketAddrV4::new(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + index), port))
        .collect();
    let servers = Origins::start(&addresses, bench.options.cpus[1])?;
    let [workload, ..] = &WORKLOADS;
    let one = |kind| {
        let write = |place: &Place| {
            let place = Place { servers: addresses.clone(), ..place.clone() };
            Ok(scene::text(workload, Features::NONE, &place))
        };
        let mut balancer = Balancer::start(bench, kind, (CHECKS, &write), &bench.place(100))?;
        balancer.wait_until_ready(workload)?;
        // Until all servers are asked at their usual pace.
        thread::sleep(REST);
        let (used, asked, begun) = (balancer.process.cpu_time()?, servers.answered(), Instant::now());
        thread::sleep(bench.options.duration.max(ROUNDS));
        let seconds = begun.elapsed().as_secs_f64();
        let checks = Checks {
            servers: SERVERS,
            per_second: (servers.answered() - asked) as f64 / seconds,
            cpu_ms_per_second: balancer.process.cpu_time()?.saturating_sub(used).as_secs_f64() * 1e3
                / seconds,
            memory: balancer.process.memory()? as f64,
        };
        let (cpu, pace) = (checks.cpu_ms_per_second, checks.per_second);
        (bench.said)(&format!("{CHECKS:<28} {:<16} {cpu:>7.2} ms/s for {pace:.0} checks/s", kind.name()));
        anyhow::Ok(checks)
    };
    let [us, peer] = both(bench);
    Ok([one(us)?, one(peer)?])
}

/// How many files we may have open; the limit is raised as far as it goes.
fn open_files() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        return Ok(soft);
    }
    if hard <= OTHER_FILES {
        bail!("only {hard} files may be open (ulimit -n)");
    }
    Ok(hard)
}
