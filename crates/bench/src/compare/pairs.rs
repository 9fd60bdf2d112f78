//! One workload: both balancers take turns, run by run.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::Bench;
use super::balancer::{Balancer, Kind, Scene};
use super::features::Features;
use super::report::{Comparison, Run};
use super::workload::Workload;
use crate::haproxy::Tuning;
use crate::load;

/// Pairs with errors that a workload may have before we give up on it.
const INVALID_MAX: usize = 2;

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
        if self.workload.tuned_peer && !self.bench.options.self_test {
            peers.extend([Tuning::Spliced, Tuning::LargeBuffers]);
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
            for balancer in order {
                runs.insert(balancer.at, self.measure(balancer)?);
            }
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
            p50_us: outcome.latency.p50,
            p99_us: outcome.latency.p99,
            p999_us: outcome.latency.p999,
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

    fn discard(&self, comparison: &mut Comparison, who: Kind, fault: &str) {
        comparison.invalid += 1;
        let (workload, peer) = (&comparison.workload, comparison.peer);
        (self.bench.said)(&format!("{workload}: pair with {peer} thrown away: {}: {fault}", who.name()));
    }
}
