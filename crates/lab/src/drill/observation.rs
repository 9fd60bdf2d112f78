//! The eyes of a drill: a probe in a client and a watch in each director, collected while they look.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use relevo_model::{NodeName, Time};
use serde::de::DeserializeOwned;

use super::facts::Facts;
use crate::report::{Holding, LostReason, ProbeEvent};
use crate::{Lab, LabError};

/// How long a client waits for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How much longer than that probes and watches may take to end once they are told to.
const END_WITHIN: Duration = Duration::from_secs(2);

/// What a crowd asks for: the lab's own servers take 50 ms for it. Another server may not have it, and says so.
const CROWD_PATH: &str = "/slow/50";

/// How many connections the probe keeps.
pub(super) const KEPT: u64 = 4;

/// Milliseconds from one new connection to the next, and how many come at once, for so many in a second.
fn pace(rate: u32) -> (u32, u32) {
    let rate = rate.max(1);
    if rate <= 1000 { (1000 / rate, 1) } else { (1, rate / 1000) }
}

/// A running observation. Dropping it ends it.
#[derive(Debug)]
pub struct Observation {
    seen: Arc<Mutex<Seen>>,
    eyes: Vec<Eye>,
    patience: Duration,
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) probes: Vec<ProbeEvent>,
    pub(super) holdings: Vec<Holding>,
}

/// One process that looks, and the thread that reads what it says.
#[derive(Debug)]
struct Eye {
    child: Child,
    /// Closing it tells the process to end.
    stdin: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
}

impl Observation {
    /// Starts a probe in a machine, which asks the target and waits so long for an answer, and a watch in each director.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start(
        lab: &Lab,
        program: &Path,
        facts: &Facts,
        (asker, target, patience): (&str, SocketAddr, Duration),
        rate: u32,
    ) -> Result<Self, LabError> {
        let mut observation = Self { seen: Arc::default(), eyes: Vec::new(), patience };
        let program = program.to_string_lossy();
        for director in &facts.directors {
            let mut argv = words(&[&program, "drill", "watch", "--node", director]);
            for address in &facts.addresses {
                argv.extend(words(&["--address", &address.to_string()]));
            }
            observation.open(lab, director, &argv, |seen, event| seen.holdings.push(event))?;
        }
        let mut argv = words(&[&program, "drill", "probe", "--target", &target.to_string()]);
        let deadline_ms = patience.as_millis().to_string();
        argv.extend(words(&["--keepalive", &KEPT.to_string(), "--deadline-ms", &deadline_ms]));
        let (interval_ms, at_once) = pace(rate);
        argv.extend(words(&["--interval-ms", &interval_ms.to_string(), "--at-once", &at_once.to_string()]));
        observation.open(lab, asker, &argv, |seen, event| seen.probes.push(event))?;
        Ok(observation)
    }

    /// Lets crowds of clients come, one a second, until they are sent home; gives the crowd's number.
    pub(super) fn crowd(
        &mut self,
        lab: &Lab,
        program: &Path,
        facts: &Facts,
        clients: u32,
        patience: Duration,
    ) -> Result<usize, LabError> {
        let client = facts.clients.first().map_or("", |client| client.name.as_str());
        let program = program.to_string_lossy();
        let (target, clients) = (facts.target.to_string(), clients.to_string());
        let patience = patience.as_millis().to_string();
        let argv = words(&[
            &program,
            "drill",
            "probe",
            "--target",
            &target,
            "--keepalive",
            "0",
            "--interval-ms",
            "1000",
            "--at-once",
            &clients,
            "--deadline-ms",
            &patience,
            "--path",
            CROWD_PATH,
        ]);
        self.open(lab, client, &argv, |seen, event| seen.probes.push(event))?;
        Ok(self.eyes.len().saturating_sub(1))
    }

    /// Nobody new comes; who is there is still answered.
    pub(super) fn send_home(&mut self, crowd: usize) {
        if let Some(eye) = self.eyes.get_mut(crowd) {
            eye.stdin.take();
        }
    }

    /// Whether somebody of a crowd is still there.
    pub(super) fn is_there(&mut self, crowd: usize) -> bool {
        self.eyes.get_mut(crowd).is_some_and(|eye| matches!(eye.child.try_wait(), Ok(None)))
    }

    /// Good answers to connections that were begun at or after `since`.
    pub(super) fn answers_since(&self, since: Time) -> usize {
        let begun = |event: &&ProbeEvent| matches!(event, ProbeEvent::Answer { sent, .. } if *sent >= since);
        self.lock().probes.iter().rev().take(2000).filter(begun).count()
    }

    /// Lost connections that were begun at or after `since`.
    pub(super) fn lost_since(&self, since: Time) -> usize {
        let begun = |event: &&ProbeEvent| matches!(event, ProbeEvent::Lost { sent, .. } if *sent >= since);
        self.lock().probes.iter().rev().take(2000).filter(begun).count()
    }

    /// Connections that were begun at or after `since` and got no answer at all within the deadline.
    pub(super) fn hung_since(&self, since: Time) -> usize {
        let hung = |event: &&ProbeEvent| matches!(event, ProbeEvent::Lost { sent, why: LostReason::Timeout, .. } if *sent >= since);
        self.lock().probes.iter().rev().take(2000).filter(hung).count()
    }

    /// Who holds an address right now, as far as the watches told.
    pub(super) fn holders(&self, ip: IpAddr) -> Vec<NodeName> {
        let mut holders: Vec<NodeName> = Vec::new();
        for holding in self.lock().holdings.iter().filter(|holding| holding.ip == ip) {
            holders.retain(|node| *node != holding.node);
            if holding.held {
                holders.push(holding.node.clone());
            }
        }
        holders
    }

    /// Ends the observation, after the answers that are still due, and gives everything that was seen.
    pub(super) fn finish(mut self) -> Seen {
        self.end();
        std::mem::take(&mut *self.lock())
    }

    fn open<T: DeserializeOwned + 'static>(
        &mut self,
        lab: &Lab,
        node: &str,
        argv: &[String],
        keep: fn(&mut Seen, T),
    ) -> Result<(), LabError> {
        let mut command = lab.command(node, argv)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(anyhow::Error::from)?;
        let stdin = child.stdin.take();
        let reader = child.stdout.take().map(|stdout| read_lines(stdout, Arc::clone(&self.seen), keep));
        self.eyes.push(Eye { child, stdin, reader });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&mut self) {
        for eye in &mut self.eyes {
            eye.stdin.take();
        }
        let deadline = Instant::now() + self.patience + END_WITHIN;
        for mut eye in self.eyes.drain(..) {
            while matches!(eye.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            // It ended by itself unless it hangs; both calls do no harm then.
            let _ = eye.child.kill();
            let _ = eye.child.wait();
            if let Some(reader) = eye.reader.take() {
                let _ = reader.join();
            }
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads events, one a line, until the process closes its output.
fn read_lines<T: DeserializeOwned + 'static>(
    stdout: ChildStdout,
    seen: Arc<Mutex<Seen>>,
    keep: fn(&mut Seen, T),
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            match serde_json::from_str(&line) {
                Ok(event) => keep(&mut seen.lock().unwrap_or_else(PoisonError::into_inner), event),
                // Cut off in the middle: it was killed while writing.
                Err(error) => tracing::debug!(%line, %error, "not an event"),
            }
        }
    })
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
