//! Plays a drill as often as asked and puts the runs together.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::catalogue::Drill;
use super::facts::Facts;
use super::stage::{Stage, Stop};
use crate::Lab;
use crate::report::{DrillReport, Record, Run, measure};

/// How a drill is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// How often; at least once.
    pub repeat: u32,
    /// New connections in a second that the client opens, 1 to 5000.
    pub rate: u32,
    /// Connections that a drill keeps open for long, 2 to 2000.
    pub flows: u32,
    /// The `relevo` program that probes and watches run; it must be visible inside the lab.
    pub program: PathBuf,
}

impl RunOptions {
    /// Once, with the usual 100 new connections in a second.
    pub const fn new(program: PathBuf) -> Self {
        Self { repeat: 1, rate: 100, flows: 120, program }
    }
}

/// A drill's report, and what was seen in its last run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The report.
    pub report: DrillReport,
    /// What was seen in the run with the longest gap; `None`: nothing was.
    pub worst: Option<Record>,
}

/// Runs a drill on a running lab. `progress` hears of each run when it is done. `stopped` may be set from another
/// thread or a signal to stop in the middle; the fault is undone then.
///
/// # Errors
/// `Interrupted` when `stopped` was set; `Problem` when drills mean nothing on this cluster. What goes wrong in a run is
/// in the run itself, and the drill does not pass.
pub fn run(
    lab: &Lab,
    drill: &Drill,
    options: &RunOptions,
    stopped: &AtomicBool,
    mut progress: impl FnMut(u32, &Run),
) -> Result<Outcome, Stop> {
    let facts = Facts::new(lab.cluster()).map_err(Stop::Problem)?;
    let limits = drill.limits(&facts);
    if let Err(why) = drill.applies(lab.cluster(), &facts) {
        return Ok(Outcome { report: DrillReport::skipped(drill.name, limits, &why), worst: None });
    }
    let mut runs = Vec::new();
    let mut worst: Option<(u64, Record)> = None;
    for number in 1..=options.repeat.max(1) {
        let (run, record) = once(lab, drill, options, stopped, facts.clone())?;
        progress(number, &run);
        if let Some(record) = record
            && worst.as_ref().is_none_or(|(gap_ms, _)| run.gap_ms > *gap_ms)
        {
            worst = Some((run.gap_ms, record));
        }
        runs.push(run);
    }
    let worst = worst.map(|(_, record)| record);
    Ok(Outcome { report: DrillReport::new(drill.name, limits, runs), worst })
}

fn once(
    lab: &Lab,
    drill: &Drill,
    options: &RunOptions,
    stopped: &AtomicBool,
    facts: Facts,
) -> Result<(Run, Option<Record>), Stop> {
    let mut stage = Stage::new(lab, options, stopped, facts);
    let played = stage.heal().and_then(|()| drill.play(&mut stage));
    let record = stage.finish();
    let mut run = record.as_ref().map(measure).unwrap_or_default();
    run.notes = stage.notes();
    run.flows = stage.flows_seen();
    match played {
        Ok(()) => {}
        Err(Stop::Interrupted) => return Err(Stop::Interrupted),
        Err(Stop::Problem(problem)) => run.problem = Some(problem),
    }
    Ok((run, record))
}
