//! The same load with ever more connections: requests per second and time per request against their number, as a table and
//! as two plots.

use anyhow::Result;
use serde_json::{Value, json};

use crate::load::{self, End, Outcome, Plan};
use crate::svg::{self, Plot};

/// One run of a sweep.
#[derive(Clone, Debug)]
pub struct Step {
    /// Requests asked for.
    pub requests: u64,
    /// Connections at a time.
    pub connections: usize,
    /// What came of it.
    pub outcome: Outcome,
}

/// Runs every number of requests with every number of connections; `said` hears of each step.
///
/// # Errors
///
/// Those of [`load::run`].
pub fn run(
    plan: &Plan,
    requests: &[u64],
    connections: &[usize],
    mut said: impl FnMut(&Step),
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for requests in requests {
        for connections in connections {
            let mut plan = plan.clone();
            plan.connections = *connections;
            plan.threads = plan.threads.min(*connections);
            plan.end = End { after: None, requests: Some(*requests) };
            let step = Step { requests: *requests, connections: *connections, outcome: load::run(&plan)? };
            said(&step);
            steps.push(step);
        }
    }
    Ok(steps)
}

impl Step {
    /// Milliseconds that a request took on average, as the client of one connection sees it.
    pub fn time_per_request_ms(&self) -> f64 {
        self.outcome.latency.mean / 1e3
    }

    /// For machines.
    pub fn json(&self) -> Value {
        json!({ "requests": self.requests, "connections": self.connections, "outcome": self.outcome.json() })
    }
}

/// Two plots side by side: requests per second, and time per request.
pub fn svg(title: &str, steps: &[Step]) -> String {
    let plot = |what: &str, up: &str, value: fn(&Step) -> f64| {
        let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
        for step in steps {
            let name = format!("{} requests", step.requests);
            let point = (step.connections as f64, value(step));
            match lines.iter_mut().find(|(other, _)| *other == name) {
                Some((_, points)) => points.push(point),
                None => lines.push((name, vec![point])),
            }
        }
        Plot {
            title: format!("{what}, {title}"),
            across: "connections at a time".to_owned(),
            up: up.to_owned(),
            lines,
        }
    };
    svg::draw(&[
        plot("Requests per second", "requests/s", |step| step.outcome.per_second()),
        plot("Time per request", "ms", Step::time_per_request_ms),
    ])
}
