//! What a drill's script can do: look, strike, wait, repair. Whatever happens, the faults are undone at the end.

mod clients;
mod flows;
mod notes;
mod visitor;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use relevo_api::types::GroupState;
use relevo_model::{ClusterFile, NodeName, Time};
use relevo_net::clock;

use super::facts::Facts;
use super::observation::{Observation, PATIENCE};
use super::runner::RunOptions;
use crate::probe::Flows;
use crate::ready::{Readiness, readiness};
use crate::report::{Marks, Record};
use crate::{Fault, Lab, LabError, LabStatus, MainState};
pub(super) use notes::reached;
use visitor::Visitor;

/// How long a cluster may take to be whole again.
const READY_WITHIN: Duration = Duration::from_secs(40);
/// How long the service may take to answer steadily before the fault.
const STEADY_WITHIN: Duration = Duration::from_secs(10);
/// Good answers that make the service steady: half a second of them.
const STEADY_ANSWERS: usize = 50;
/// How often a condition on the lab as a whole is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a condition on what was seen is looked at.
const GLANCE_EVERY: Duration = Duration::from_millis(10);
/// How long a move takes that was under way before.
const SETTLES: Duration = Duration::from_secs(3);

/// Why a script stopped before its end.
#[derive(Debug)]
pub enum Stop {
    /// The user asked to stop.
    Interrupted,
    /// Something did not happen in time, or could not be done. In words.
    Problem(String),
}

impl From<LabError> for Stop {
    fn from(error: LabError) -> Self {
        match error {
            LabError::Interrupted => Self::Interrupted,
            LabError::Wrong(_) | LabError::Failed(_) => Self::Problem(format!("{error:#}")),
        }
    }
}

/// A running lab with a drill on it. Dropping it undoes the faults that are still there.
#[derive(Debug)]
pub struct Stage<'a> {
    lab: &'a Lab,
    program: &'a Path,
    rate: u32,
    stopped: &'a AtomicBool,
    facts: Facts,
    observation: Option<Observation>,
    undo: Vec<Fault>,
    start: Option<Time>,
    fault: Option<Time>,
    undone: Option<Time>,
    flows_wanted: u32,
    long_client: Option<flows::LongClient>,
    flows_seen: Option<Flows>,
    /// Server nodes that are lost on purpose.
    dead: Vec<String>,
    notes: Vec<String>,
    round: usize,
    /// Who asks whom, if not a client the service.
    visitor: Option<Visitor>,
}

impl<'a> Stage<'a> {
    /// A stage on a running lab; the program of `options` is run for probes and watches; `stopped` ends every wait.
    pub fn new(lab: &'a Lab, options: &'a RunOptions, stopped: &'a AtomicBool, facts: Facts) -> Self {
        Self {
            lab,
            program: &options.program,
            rate: options.rate,
            stopped,
            facts,
            observation: None,
            undo: Vec::new(),
            start: None,
            fault: None,
            undone: None,
            flows_wanted: options.flows,
            long_client: None,
            flows_seen: None,
            dead: Vec::new(),
            notes: Vec::new(),
            round: 0,
            visitor: None,
        }
    }

    /// What the drill plays on.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Which run of a round this is, from 0.
    pub const fn round(&self) -> usize {
        self.round
    }

    /// Says which run of a round this is.
    pub(super) const fn set_round(&mut self, round: usize) {
        self.round = round;
    }

    /// The cluster file.
    pub fn cluster(&self) -> &ClusterFile {
        self.lab.cluster()
    }

    /// What can be seen of the lab now.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn status(&self) -> Result<LabStatus, Stop> {
        Ok(self.lab.status()?)
    }

    /// Makes whole whatever an earlier drill or the user left broken, and waits until the cluster is ready.
    ///
    /// # Errors
    /// It does not get ready in time.
    pub fn heal(&mut self) -> Result<(), Stop> {
        for fault in leftovers(&self.status()?) {
            self.lab.fault(fault)?;
        }
        self.wait_ready()
    }

    /// Asks for another client than the first to be the one that probes.
    pub fn ask_from(&mut self, client: &str) {
        if let Some(index) = self.facts.clients.iter().position(|other| other.name.as_str() == client) {
            self.facts.clients.swap(0, index);
        }
    }

    /// Starts to look, and waits until the service answers steadily.
    ///
    /// # Errors
    /// It does not answer.
    pub fn observe(&mut self) -> Result<(), Stop> {
        let (asker, target, patience) = match &self.visitor {
            // It keeps its connections for as long as another director may need to be its way.
            Some(visitor) => {
                (visitor.from.clone(), visitor.target, PATIENCE.max(self.facts.active_down() * 3))
            }
            None => (
                self.facts.clients.first().map_or_else(String::new, |client| client.name.to_string()),
                self.facts.target,
                PATIENCE,
            ),
        };
        self.observation = Some(Observation::start(
            self.lab,
            self.program,
            &self.facts,
            (&asker, target, patience),
            self.rate,
        )?);
        let began = clock::now();
        let what = format!("the service at {target} did not answer before the fault");
        self.wait_seen(STEADY_WITHIN, &what, |seen| seen.answers_since(began) >= STEADY_ANSWERS)?;
        self.start = Some(clock::now());
        // So that the report also shows what is usual.
        self.linger(clock::now(), Duration::from_millis(300))
    }

    /// Who holds the asked address. It may be on its way just now: a director that came back before this drill takes it again.
    ///
    /// # Errors
    /// Nobody does, or more than one, for three seconds.
    pub fn active(&self) -> Result<NodeName, Stop> {
        let ip = self.facts.target.ip();
        let deadline = clock::now() + SETTLES;
        loop {
            let problem = match self.holders()?.as_slice() {
                [one] => return Ok(one.clone()),
                [] => format!("nobody holds {ip}"),
                several => format!("{ip} is held by {} at once", join(several)),
            };
            if clock::now() >= deadline {
                return Err(Stop::Problem(problem));
            }
            self.linger(clock::now(), GLANCE_EVERY)?;
        }
    }

    /// All who hold the asked address.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn holders(&self) -> Result<Vec<NodeName>, Stop> {
        let ip = self.facts.target.ip();
        Ok(match &self.observation {
            Some(observation) => observation.holders(ip),
            None => self.status()?.holders(ip).into_iter().map(NodeName::new).collect(),
        })
    }

    /// Makes faults; the first ones of a drill set the mark. Each comes with its undo.
    ///
    /// # Errors
    /// The lab cannot make one.
    pub fn strike(&mut self, faults: Vec<(Fault, Fault)>) -> Result<(), Stop> {
        self.mark_fault();
        for (fault, undo) in faults {
            self.undo.push(undo);
            self.lab.fault(fault)?;
        }
        Ok(())
    }

    /// Makes a fault that only sets the scene.
    ///
    /// # Errors
    /// The lab cannot make it.
    pub fn strike_unmarked(&mut self, fault: Fault, undo: Fault) -> Result<(), Stop> {
        self.undo.push(undo);
        Ok(self.lab.fault(fault)?)
    }

    /// Sets the mark for something that is no fault of the lab, such as an order to the cluster.
    pub fn mark_fault(&mut self) {
        self.fault.get_or_insert_with(clock::now);
    }

    /// Says that what follows the fault's mark is a repair itself.
    pub fn mark_repair(&mut self) {
        self.undone.get_or_insert_with(clock::now);
    }

    /// Undoes the faults, the last first. Marked if something is being observed.
    ///
    /// # Errors
    /// The lab cannot undo one.
    pub fn repair(&mut self) -> Result<(), Stop> {
        if self.observation.is_some() {
            self.mark_repair();
        }
        self.undo_all()
    }

    /// Undoes the faults of what only set the scene, without a mark.
    ///
    /// # Errors
    /// The lab cannot undo one.
    pub fn undo_all(&mut self) -> Result<(), Stop> {
        while let Some(undo) = self.undo.pop() {
            self.lab.fault(undo)?;
        }
        Ok(())
    }

    /// Runs `relevo` with these arguments inside a node.
    ///
    /// # Errors
    /// It cannot be started, or says no; its own words are in the problem.
    pub fn order(&self, node: &str, arguments: &[&str]) -> Result<(), Stop> {
        self.ask(node, arguments).map(drop)
    }

    /// Runs `relevo` with these arguments inside a node, and gives what it printed.
    ///
    /// # Errors
    /// As [`Stage::order`].
    pub fn ask(&self, node: &str, arguments: &[&str]) -> Result<String, Stop> {
        let mut argv = vec![self.program.to_string_lossy().into_owned()];
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let problem = |words: &str| {
            Stop::Problem(format!("`relevo {}` on {node}: {}", arguments.join(" "), words.trim()))
        };
        let mut command = self.lab.command(node, &argv)?;
        let output = command.output().map_err(|error| problem(&error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(problem(&String::from_utf8_lossy(&output.stderr)))
    }

    /// Waits until another than `from` holds the asked address.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_moved(&self, from: &str, within: Duration) -> Result<(), Stop> {
        let ip = self.facts.target.ip();
        let what = format!("no other director took {ip} within {} s", within.as_secs());
        if self.observation.is_none() {
            return self.wait(within, LOOK_EVERY, &what, |stage| {
                Ok(stage.status()?.holders(ip).into_iter().any(|node| node != from))
            });
        }
        self.wait_seen(within, &what, |seen| seen.holders(ip).iter().any(|node| node.as_str() != from))
    }

    /// Waits until a node does not hold the asked address any more.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_left(&self, node: &str, within: Duration) -> Result<(), Stop> {
        let ip = self.facts.target.ip();
        let what = format!("{node} still held {ip} after {} s", within.as_secs());
        self.wait(within, LOOK_EVERY, &what, |stage| Ok(!stage.status()?.holders(ip).contains(&node)))
    }

    /// Waits until the service answers connections that begin now.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_answers(&self, within: Duration) -> Result<(), Stop> {
        let now = clock::now();
        let what = format!("the service did not answer again within {} s", within.as_secs());
        self.wait_seen(within, &what, |seen| seen.answers_since(now) >= STEADY_ANSWERS / 2)
    }

    /// Waits until the client is turned away.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_losses(&self, within: Duration) -> Result<(), Stop> {
        let now = clock::now();
        let what = format!("the service went on answering for {} s", within.as_secs());
        self.wait_seen(within, &what, |seen| seen.lost_since(now) >= STEADY_ANSWERS / 2)
    }

    /// Waits until everything runs, one director is active for each group, servers are up and switches are settled.
    ///
    /// # Errors
    /// Not in time; the problem says what was missing last.
    pub fn wait_ready(&self) -> Result<(), Stop> {
        let mut missing = None;
        let result = self.wait(READY_WITHIN, LOOK_EVERY, "", |stage| {
            missing = not_ready(stage.cluster(), &stage.status()?);
            Ok(missing.is_none())
        });
        match (result, missing) {
            (Err(Stop::Problem(_)), Some(missing)) => Err(Stop::Problem(format!(
                "the cluster was not whole again within {} s: {missing}",
                READY_WITHIN.as_secs()
            ))),
            (result, _) => result,
        }
    }

    /// Goes on looking until `duration` after `since`.
    ///
    /// # Errors
    /// Interrupted.
    pub fn linger(&self, since: Time, duration: Duration) -> Result<(), Stop> {
        while clock::now() < since + duration {
            self.check_stopped()?;
            std::thread::sleep((since + duration).since(clock::now()).min(GLANCE_EVERY));
        }
        Ok(())
    }

    /// Goes on looking until `duration` after the fault.
    ///
    /// # Errors
    /// Interrupted.
    pub fn linger_after_fault(&self, duration: Duration) -> Result<(), Stop> {
        self.linger(self.fault.unwrap_or_else(clock::now), duration)
    }

    /// Ends the observation and gives what was seen; `None` if there was none.
    pub fn finish(&mut self) -> Option<Record> {
        let end = clock::now();
        let seen = self.observation.take()?.finish();
        let start = self.start.unwrap_or(end);
        Some(Record {
            address: self.facts.target.ip(),
            marks: Marks { start, fault: self.fault.unwrap_or(start), undone: self.undone, end },
            probes: seen.probes,
            holdings: seen.holdings,
        })
    }

    /// Waits until something is so in the lab; `what` is the problem if it never is.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_for(
        &self,
        within: Duration,
        what: &str,
        done: impl FnMut(&Self) -> Result<bool, Stop>,
    ) -> Result<(), Stop> {
        self.wait(within, LOOK_EVERY, what, done)
    }

    fn wait_seen(
        &self,
        within: Duration,
        what: &str,
        mut done: impl FnMut(&Observation) -> bool,
    ) -> Result<(), Stop> {
        self.wait(within, GLANCE_EVERY, what, |stage| Ok(stage.observation.as_ref().is_some_and(&mut done)))
    }

    fn wait(
        &self,
        within: Duration,
        every: Duration,
        what: &str,
        mut done: impl FnMut(&Self) -> Result<bool, Stop>,
    ) -> Result<(), Stop> {
        let deadline = clock::now() + within;
        loop {
            self.check_stopped()?;
            if done(self)? {
                return Ok(());
            }
            if clock::now() >= deadline {
                return Err(Stop::Problem(what.to_owned()));
            }
            std::thread::sleep(every);
        }
    }

    fn check_stopped(&self) -> Result<(), Stop> {
        if self.stopped.load(Ordering::Relaxed) { Err(Stop::Interrupted) } else { Ok(()) }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        while let Some(undo) = self.undo.pop() {
            if let Err(error) = self.lab.fault(undo.clone()) {
                tracing::warn!(%undo, %error, "a fault could not be undone");
            }
        }
    }
}

/// The undo of every fault that a lab has.
fn leftovers(status: &LabStatus) -> Vec<Fault> {
    let mut undo = Vec::new();
    for switch in status.switches.iter().filter(|switch| !switch.on) {
        undo.push(Fault::SwitchOn { switch: switch.name.clone() });
    }
    for link in status.links.iter().filter(|link| link.cut) {
        undo.push(Fault::RestoreLink { a: link.a.clone(), b: link.b.clone() });
    }
    undo.extend(status.resets.iter().cloned());
    for node in &status.nodes {
        for plug in node.plugs.iter().filter(|plug| !plug.plugged) {
            undo.push(Fault::Plug { node: node.name.clone(), network: plug.network.clone() });
        }
        match node.main {
            MainState::None | MainState::Running { .. } => {}
            MainState::Frozen { .. } => undo.push(Fault::Resume { node: node.name.clone() }),
            MainState::Dead { .. } => undo.push(Fault::Start { node: node.name.clone() }),
        }
    }
    undo
}

/// What is missing until the cluster is ready, in words; `None`: it is.
fn not_ready(cluster: &ClusterFile, status: &LabStatus) -> Option<String> {
    match readiness(cluster, status) {
        Readiness::Ready => not_standing_by(cluster, status),
        Readiness::Waiting { missing, .. } => Some(missing.join("; ")),
        Readiness::Hopeless { reason, .. } => Some(reason),
    }
}

/// A director that is neither active nor standing by could not take over in the next run.
fn not_standing_by(cluster: &ClusterFile, status: &LabStatus) -> Option<String> {
    let standing_by = |state| matches!(state, GroupState::Active | GroupState::Backup);
    for group in &cluster.groups {
        for (name, _) in &group.priorities {
            let api = status.node(name).and_then(|node| node.api.as_ref());
            let own = api.and_then(|api| api.groups.iter().find(|own| own.name == group.name));
            match own {
                Some(own) if standing_by(own.state) => {}
                Some(own) => return Some(format!("{name} is {:?} for group {}", own.state, group.name)),
                None => return Some(format!("{name} does not answer")),
            }
        }
    }
    None
}

fn join(names: &[NodeName]) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" and ")
}
