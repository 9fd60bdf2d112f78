//! One workload: both balancers take turns, run by run.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Bench;
use super::balancer::{Balancer, Kind, Scene};
use super::features::Features;
use super::figures::{Comparison, Run, Times};
use super::workload::Workload;
use crate::haproxy::Tuning;
use crate::load;

/// Pairs with errors that a workload may have before we give up on it.
const INVALID_MAX: usize = 2;

/// At what part of the slowest one's requests per second latencies are compared. Few requests at a time cost all of them more than
/// many do: at a half the load's own CPU has no time to spare, and latencies are those of its queue.
const PACE: f64 = 0.25;
/// How long each balancer is asked for its latencies before it is the next one's turn.
const TURN: Duration = Duration::from_millis(125);
/// How long nobody is asked after a turn: late answers of one balancer shall not be in the other's time.
const GAP: Duration = Duration::from_millis(25);

/// One workload and what it needs.
pub(super) struct Pairs<'a> {
    pub(super) bench: &'a Bench<'a>,
    pub(super) workload: &'a Workload,
    pub(super) scene: Scene<'a>,
    /// What must be seen to be on before anything is measured.
    pub(super) features: Features,
}

impl Pairs<'_> {
    /// Measures all pairs with every peer.
    pub(super) fn run(&self) -> Result<Vec<Comparison>> {
        let us = if self.bench.options.self_test { Kind::Haproxy(Tuning::Default) } else { Kind::Relevo };
        let mut peers = vec![Tuning::Default];
        if !self.bench.options.self_test {
            peers.extend(self.workload.tuned);
        }
        let ours = self.start(us)?;
        let others =
            peers.iter().map(|tuning| self.start(Kind::Haproxy(*tuning))).collect::<Result<Vec<_>>>()?;
        let mut comparisons: Vec<Comparison> = others
            .iter()
            .map(|other| Comparison {
                workload: self.scene.0.to_owned(),
                peer: other.kind.name(),
                pairs: Vec::new(),
                invalid: 0,
            })
            .collect();
        let wanted = self.bench.options.pairs;
        let missing = |comparison: &Comparison| comparison.pairs.len() < wanted;
        for round in 0..wanted + INVALID_MAX {
            if !comparisons.iter().any(missing) {
                break;
            }
            // Every other round runs backwards: who comes first has no advantage.
            let mut order: Vec<&Balancer> = std::iter::once(&ours).chain(&others).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            let mut runs = BTreeMap::new();
            for balancer in &order {
                runs.insert(balancer.at, self.measure(balancer)?);
            }
            self.pace(&order, &mut runs)?;
            let mine = &runs[&ours.at];
            for (other, comparison) in others.iter().zip(&mut comparisons).filter(|(_, one)| missing(one)) {
                match (mine, &runs[&other.at]) {
                    (Ok(mine), Ok(theirs)) => comparison.pairs.push((*mine, *theirs)),
                    (Err(fault), _) => self.discard(comparison, ours.kind, fault),
                    (_, Err(fault)) => self.discard(comparison, other.kind, fault),
                }
            }
        }
        Ok(comparisons)
    }

    /// Starts a balancer and makes sure that it does its work.
    fn start(&self, kind: Kind) -> Result<Balancer> {
        let place = self.bench.place(self.workload.connections);
        let mut started = Balancer::start(self.bench, kind, self.scene, &place)?;
        started.wait_until_ready(self.workload).context(kind.name())?;
        started.settle(self.bench, self.workload, self.features).context(kind.name())?;
        Ok(started)
    }

    /// One run; the inner error is a run with failed requests.
    fn measure(&self, balancer: &Balancer) -> Result<Result<Run, String>> {
        let options = self.bench.options;
        let plan = |time| self.workload.plan(balancer.at, time, options.cpus[1]);
        load::run(&plan(options.warm_up)?)?;
        let before = balancer.process.cpu_time()?;
        let outcome = load::run(&plan(options.duration)?)?;
        let used = balancer.process.cpu_time()?.saturating_sub(before);
        let run = Run {
            cpu_us: used.as_secs_f64() * 1e6 / outcome.answers.max(1) as f64,
            per_second: outcome.per_second(),
            saturated: Times::of(&outcome),
            paced_per_second: f64::NAN,
            paced: Times::NONE,
            memory: balancer.process.memory()? as f64,
        };
        (self.bench.said)(&format!(
            "{:<28} {:<16} {:>7.2} us/request {:>7.0} requests/s",
            self.scene.0,
            balancer.kind.name(),
            run.cpu_us,
            run.per_second
        ));
        Ok(outcome.fault().map_or(Ok(run), Err))
    }

    /// Latencies of all balancers of a round at one and the same rate: [`PACE`] of what the slowest bore. In a closed loop
    /// the faster one gets more to do, and its requests wait for the load and the servers instead. They are asked in short
    /// turns: the host of a virtual machine may be slow for seconds, and then it is so for all of them.
    fn pace(
        &self,
        order: &[&Balancer],
        runs: &mut BTreeMap<SocketAddrV4, Result<Run, String>>,
    ) -> Result<()> {
        let slowest = runs.values().flatten().map(|run| run.per_second).fold(f64::INFINITY, f64::min);
        if !(slowest * PACE).is_finite() {
            return Ok(());
        }
        let options = self.bench.options;
        let able: Vec<SocketAddrV4> = order
            .iter()
            .map(|balancer| balancer.at)
            .filter(|at| matches!(runs.get(at), Some(Ok(_))))
            .collect();
        let plan = |at: &SocketAddrV4| {
            let time = options.warm_up + options.duration;
            let mut plan = self.workload.plan(*at, time, options.cpus[1])?;
            // Connections that are there for long are not made while latencies count.
            plan.warm_up = options.warm_up;
            plan.rate = Some((slowest * PACE).max(1.0));
            Ok(plan)
        };
        let plans = able.iter().map(plan).collect::<Result<Vec<_>>>()?;
        for (at, outcome) in able.iter().zip(load::run_in_turns(&plans, TURN, GAP)?) {
            let Some(Ok(run)) = runs.get_mut(at) else { continue };
            run.paced_per_second = outcome.per_second();
            run.paced = Times::of(&outcome);
            if let Some(fault) = outcome.fault() {
                runs.insert(*at, Err(fault));
            }
        }
        Ok(())
    }

    fn discard(&self, comparison: &mut Comparison, who: Kind, fault: &str) {
        comparison.invalid += 1;
        let (workload, peer) = (&comparison.workload, comparison.peer);
        (self.bench.said)(&format!("{workload}: pair with {peer} thrown away: {}: {fault}", who.name()));
    }
}
