//! More clients than the one that looks: a crowd that comes at once, and a visitor who keeps its cookies.

use std::time::Duration;

use relevo_api::types::HealthState;
use relevo_model::{ServerName, Time};
use relevo_net::clock;

use super::{GLANCE_EVERY, LOOK_EVERY, Stage, Stop};
use crate::drill::observation::Observation;
use crate::probe::Visit;

impl Stage<'_> {
    /// Lets crowds of `clients` come, one a second for `lasting`, and waits until each client has its answer or was given
    /// up after `patience`. What happens to them counts as what happens to the client that looks.
    ///
    /// # Errors
    /// Nothing is being observed; the crowd cannot be started; interrupted.
    pub fn crowds(&mut self, clients: u32, lasting: Duration, patience: Duration) -> Result<(), Stop> {
        let Some(observation) = &mut self.observation else {
            return Err(Stop::Problem("nobody looks yet".to_owned()));
        };
        let crowd = observation.crowd(self.lab, self.program, &self.facts, clients, patience)?;
        self.linger(clock::now(), lasting)?;
        if let Some(observation) = &mut self.observation {
            observation.send_home(crowd);
        }
        let deadline = clock::now() + patience + Duration::from_secs(2);
        while self.observation.as_mut().is_some_and(|observation| observation.is_there(crowd)) {
            self.check_stopped()?;
            if clock::now() > deadline {
                return Err(Stop::Problem("clients of a crowd did not end".to_owned()));
            }
            std::thread::sleep(GLANCE_EVERY);
        }
        Ok(())
    }

    /// A visitor with a cookie asks again and again, each time over a new connection, and takes what cookie it is given.
    ///
    /// # Errors
    /// The visitor cannot be started, or one of its questions got no good answer.
    pub fn visits(&self, cookie: &str, value: Option<&str>, times: u32) -> Result<Vec<Visit>, Stop> {
        self.check_stopped()?;
        let client = self.facts.clients.first().map_or("", |client| client.name.as_str());
        let (target, times) = (self.facts.target.to_string(), times.to_string());
        let mut argv = vec![self.program.to_string_lossy().into_owned()];
        argv.extend(
            ["drill", "visit", "--target", &target, "--cookie", cookie, "--times", &times].map(str::to_owned),
        );
        if let Some(value) = value {
            argv.extend(["--value", value].map(str::to_owned));
        }
        let problem = |words: &str| Stop::Problem(format!("a client with a cookie: {}", words.trim()));
        let mut command = self.lab.command(client, &argv)?;
        let output = command.output().map_err(|error| problem(&error.to_string()))?;
        if !output.status.success() {
            return Err(problem(&String::from_utf8_lossy(&output.stderr)));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let visits: Result<Vec<Visit>, _> = text.lines().map(serde_json::from_str).collect();
        visits.map_err(|error| problem(&error.to_string()))
    }

    /// Waits until every director that answers sees these servers of the asked pool down.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_down(&self, servers: &[ServerName], within: Duration) -> Result<(), Stop> {
        let names: Vec<&str> = servers.iter().map(ServerName::as_str).collect();
        let what = format!("{} were not seen down within {} s", names.join(", "), within.as_secs());
        let pool = &self.facts.pool.name;
        self.wait(within, LOOK_EVERY, &what, |stage| {
            let status = stage.status()?;
            let seen: Vec<_> = status.nodes.iter().filter_map(|node| node.api.as_ref()?.pool(pool)).collect();
            let is_down = |name: &ServerName, pool: &&relevo_api::types::PoolStatus| {
                pool.servers.iter().any(|seen| seen.name == *name && seen.health == HealthState::Down)
            };
            Ok(!seen.is_empty() && servers.iter().all(|name| seen.iter().all(|pool| is_down(name, pool))))
        })
    }

    /// New connections begun at or after `since` that got no answer at all, as far as is known.
    pub fn hung_since(&self, since: Time) -> usize {
        self.observation.as_ref().map_or(0, |observation: &Observation| observation.hung_since(since))
    }

    /// New connections begun at or after `since` that got no good answer, as far as is known.
    pub fn lost_since(&self, since: Time) -> usize {
        self.observation.as_ref().map_or(0, |observation: &Observation| observation.lost_since(since))
    }
}
