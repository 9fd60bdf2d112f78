//! What a request costs the whole machine, through the kernel's path and through programs.
//!
//! ```text
//! CPU b: client, servers ── three kernels of one machine ── CPU a: the director's program, if it has one
//! ```
//! A process pays nothing for what the kernel does on behalf of others, so here the figure is the busy time of all CPUs for each
//! answered request, client and servers included: the same for all contestants. The least possible is a director that only
//! forwards (route). Contestants take turns; ratios are taken within a round.
//!
//! What the machine does anyway is measured at the start of each round, while all contestants stand and nobody asks, and is
//! taken off. It is told, because what is taken off moves too. Where others use the machine there is a second figure: CPU time
//! that the scheduler has counted for the load, the servers and the program. veth hands packets on in the sender's context, so
//! nearly all of the kernel's work is in it; what the kernel did in other contexts is not.

mod busy;
mod contestant;
mod field;
mod report;

use std::net::SocketAddrV4;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use relevo_model::cluster::Mode;

pub(super) use report::TITLES;
pub use report::{KernelReport, Line};

use self::busy::Reading;
use self::contestant::{Contestant, Kind};
use self::field::{Field, Place};
use super::Bench;
use super::origin::Origins;
use super::workload::{SMALL, Workload};
use crate::load::{self, Outcome};

/// Rounds, unless somebody says another number.
pub const ROUNDS: usize = 7;

/// Rounds with errors that a workload may have before we give up on it.
const INVALID_MAX: usize = 2;

/// How long silence is watched in each round.
const SILENCE: Duration = Duration::from_secs(1);

/// Most that a program which carries nothing has of the CPU time of all tasks: its checks go on. A program that carries
/// requests has a third and more.
const NOTHING: f64 = 0.1;

/// All workloads, in the order in which they run.
pub const KERNEL_WORKLOADS: [Workload; 3] = [
    Workload {
        name: "kernel-keepalive-small",
        what: "200 bytes, 32 connections that stay open",
        mode: Mode::Tcp,
        ..SMALL
    },
    Workload {
        name: "kernel-connection-per-request",
        what: "200 bytes, each over a new connection, 10 at a time",
        mode: Mode::Tcp,
        connections: 10,
        close: true,
        ..SMALL
    },
    Workload {
        name: "kernel-keepalive-1m",
        what: "1 MiB, 8 connections that stay open",
        mode: Mode::Tcp,
        body_bytes: 1 << 20,
        connections: 8,
        ..SMALL
    },
];

/// CPUs that are busy in silence on a machine that is too busy for the first figure.
const NOISY: f64 = 0.2;

/// One run of one contestant.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Busy time of the machine for each answer, microseconds.
    busy_us: f64,
    /// CPU time of load, servers and program for each answer, microseconds.
    tasks_us: f64,
    /// Answers in a second.
    per_second: f64,
    /// CPU time of the contestant's program for each answer, microseconds.
    program_us: f64,
}

/// One round.
#[derive(Clone, Debug)]
struct Round {
    /// CPUs that were busy while nobody asked.
    idle: f64,
    /// The largest part of a run that a hypervisor took, of all CPUs.
    stolen: f64,
    /// By contestant, in the order of [`Kind::ALL`].
    runs: Vec<Run>,
}

/// Measures the wanted workloads; `None`: none is wanted. What this machine does not allow is an error that says so.
pub(super) fn run(bench: &Bench<'_>) -> Result<Option<KernelReport>> {
    let wanted: Vec<&Workload> =
        KERNEL_WORKLOADS.iter().filter(|workload| bench.options.wants(workload.name)).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let all = (0_u8..).zip(Kind::ALL);
    let field = Field::new(u8::try_from(Kind::ALL.len())?)?;
    let addresses: Vec<SocketAddrV4> = all.clone().flat_map(|(number, _)| Place(number).servers()).collect();
    let _servers = field.servers.enter(|| Origins::start(&addresses, bench.options.cpus[1]))?;
    let mut contestants = Vec::new();
    for (number, kind) in all {
        contestants.push(Contestant::start(bench, &field, kind, number).context(kind.name())?);
    }
    let mut lines = Vec::new();
    for workload in wanted {
        for contestant in &mut contestants {
            contestant.wait_until_ready(&field, workload)?;
        }
        let rounds = Rounds { bench, field: &field, workload, contestants: &contestants };
        let (rounds, invalid) = rounds.run().with_context(|| format!("workload {}", workload.name))?;
        lines.extend(report::lines(workload.name, &rounds, invalid));
    }
    Ok(Some(KernelReport { lines }))
}

/// Whether this process is root, of the machine or of a user namespace.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this is the root of a user namespace only. nft may then send no more at once than `net.core.wmem_max` allows,
/// which is less than a table of slots.
pub(super) fn is_rootless() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(2).is_some_and(|count| count != "4294967295")
}

/// Whether this machine lets us measure at all; an error says what is missing.
pub(super) fn may() -> Result<()> {
    field::may()
}

/// One workload.
struct Rounds<'a> {
    bench: &'a Bench<'a>,
    field: &'a Field,
    workload: &'a Workload,
    contestants: &'a [Contestant],
}

impl Rounds<'_> {
    /// Whole rounds, and how many were thrown away.
    fn run(&self) -> Result<(Vec<Round>, usize)> {
        let (mut rounds, mut invalid) = (Vec::new(), 0);
        let mut number = 0;
        while rounds.len() < self.bench.options.rounds && invalid <= INVALID_MAX {
            match self.round(number)? {
                Ok(round) => rounds.push(round),
                Err(fault) => {
                    (self.bench.said)(&format!("{}: round thrown away: {fault}", self.workload.name));
                    invalid += 1;
                }
            }
            number += 1;
        }
        Ok((rounds, invalid))
    }

    /// A run of each. Every round begins with another one, and every other round runs backwards.
    fn round(&self, number: usize) -> Result<Result<Round, String>> {
        let count = self.contestants.len();
        let reading = Reading::now()?;
        thread::sleep(SILENCE.min(self.bench.options.duration));
        let idle = reading.until_now()?.cpus();
        let mut order: Vec<usize> = (0..count).map(|place| (place + number / 2) % count).collect();
        if number % 2 == 1 {
            order.reverse();
        }
        let mut round = Round { idle, stolen: 0.0, runs: Vec::new() };
        let mut runs = vec![None; count];
        for place in order {
            match self.measure(&self.contestants[place], &mut round)? {
                Ok(run) => runs[place] = Some(run),
                Err(fault) => return Ok(Err(format!("{}: {fault}", self.contestants[place].kind.name()))),
            }
        }
        round.runs = runs.into_iter().flatten().collect();
        Ok(Ok(round))
    }

    /// One run; the inner error is a run with failed requests.
    fn measure(&self, contestant: &Contestant, round: &mut Round) -> Result<Result<Run, String>> {
        let options = self.bench.options;
        self.load(contestant, options.warm_up)?;
        let used = || contestant.process.as_ref().map_or(Ok(Duration::ZERO), |process| process.cpu_time());
        let (before, own, reading) = (used()?, busy::own()?, Reading::now()?);
        let outcome = self.load(contestant, options.duration)?;
        let (passed, used) = (reading.until_now()?, used()?.saturating_sub(before));
        let tasks = busy::own()?.saturating_sub(own) + used;
        let answers = outcome.answers.max(1) as f64;
        let run = Run {
            busy_us: passed.beyond(round.idle) * 1e6 / answers,
            tasks_us: tasks.as_secs_f64() * 1e6 / answers,
            per_second: outcome.per_second(),
            program_us: used.as_secs_f64() * 1e6 / answers,
        };
        let cpus = thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        let stolen = passed.stolen.as_secs_f64() / passed.elapsed.as_secs_f64().max(1e-9) / cpus;
        round.stolen = round.stolen.max(stolen);
        (self.bench.said)(&format!(
            "{:<30} {:<17} {:>8.2} us busy/request ({:.2} in tasks) {:>7.0} requests/s, {:.2} CPUs busy, {:.2} in silence",
            self.workload.name,
            contestant.kind.name(),
            run.busy_us,
            run.tasks_us,
            run.per_second,
            passed.cpus(),
            round.idle,
        ));
        let part = used.as_secs_f64() / tasks.as_secs_f64().max(1e-9);
        if contestant.kind.is_kernel() && part > NOTHING {
            bail!(
                "{}: its program used {:.1} us for each request: it is not the kernel that carries them",
                contestant.kind.name(),
                run.program_us
            );
        }
        Ok(outcome.fault().map_or(Ok(run), Err))
    }

    fn load(&self, contestant: &Contestant, time: Duration) -> Result<Outcome> {
        let plan = self.workload.plan(contestant.at(), time, self.bench.options.cpus[1])?;
        self.field.client.enter(|| load::run(&plan))
    }
}
