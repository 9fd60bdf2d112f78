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
    /// How often; at least once. A drill with a run for each link or switch makes this many rounds.
    pub repeat: u32,
    /// New connections in a second that the client opens, 1 to 5000.
    pub rate: u32,
    /// Connections that a drill keeps open for long, 2 to 2000.
    pub flows: u32,
    /// The service that is asked; `None`: the first one for which a drill means something.
    pub service: Option<String>,
    /// The `relevo` program that probes and watches run; it must be visible inside the lab.
    pub program: PathBuf,
}

impl RunOptions {
    /// Once, with the usual 100 new connections in a second.
    pub const fn new(program: PathBuf) -> Self {
        Self { repeat: 1, rate: 100, flows: 120, service: None, program }
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

/// Runs a drill on a running lab. `progress` hears of each run when it is done: its number, of how many. `stopped` may be set from another
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
    mut progress: impl FnMut((u32, u32), &Run),
) -> Result<Outcome, Stop> {
    let all = Facts::all(lab.cluster(), options.service.as_deref()).map_err(Stop::Problem)?;
    let applies = |facts: &&Facts| drill.applies(lab.cluster(), facts).is_ok();
    let Some(facts) = all.iter().find(applies).or(all.first()).cloned() else {
        return Err(Stop::Problem("there is nothing to ask".to_owned()));
    };
    let limits = drill.limits(&facts);
    if let Err(why) = drill.applies(lab.cluster(), &facts) {
        return Ok(Outcome { report: DrillReport::skipped(drill.name, limits, &why), worst: None });
    }
    // The usual one needs no words.
    let is_usual = Facts::new(lab.cluster()).is_ok_and(|usual| usual.service.name == facts.service.name);
    let mut runs = Vec::new();
    let mut worst: Option<(u64, Record)> = None;
    let rounds = drill.rounds(lab.cluster(), &facts);
    let count = options.repeat.max(1).saturating_mul(rounds);
    for number in 1..=count {
        let round = (number - 1) % rounds;
        let (run, record) = once(lab, drill, options, stopped, facts.clone(), (round, is_usual))?;
        progress((number, count), &run);
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
    (round, is_usual): (u32, bool),
) -> Result<(Run, Option<Record>), Stop> {
    let asked = format!("asks service {} at {}", facts.service.name, facts.target);
    let mut stage = Stage::new(lab, options, stopped, facts);
    if !is_usual {
        stage.note(asked);
    }
    stage.set_round(usize::try_from(round).unwrap_or_default());
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
