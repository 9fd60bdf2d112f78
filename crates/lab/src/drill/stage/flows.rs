//! A client with connections that are there for long.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{Stage, Stop};
use crate::probe::{FlowEvent, Flows};

/// Longest wait until all connections are there, and until all are told of.
const WITHIN: Duration = Duration::from_secs(30);

/// The client. Dropping it ends it.
#[derive(Debug)]
pub(super) struct LongClient {
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<FlowEvent>,
}

impl Drop for LongClient {
    fn drop(&mut self) {
        // Both do no harm if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stage<'_> {
    /// Opens the connections, half of them downloads, and waits until all are there.
    ///
    /// # Errors
    /// The client cannot be started, or not all connections come about.
    pub fn flows_begin(&mut self) -> Result<(), Stop> {
        let client = self.facts.clients.first().map_or("", |client| client.name.as_str());
        let (target, downloads) = (self.facts.target.to_string(), self.flows_wanted / 2);
        let (downloads, kept) = (downloads.to_string(), (self.flows_wanted - downloads).to_string());
        let program = self.program.to_string_lossy().into_owned();
        let argv =
            [&program, "drill", "flows", "--target", &target, "--downloads", &downloads, "--kept", &kept];
        let problem =
            |error: std::io::Error| Stop::Problem(format!("the client with long connections: {error}"));
        let mut command = self.lab.command(client, &argv.map(str::to_owned))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(problem)?;
        let (sender, events) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Ok(event) = serde_json::from_str(&line)
                        && sender.send(event).is_err()
                    {
                        break;
                    }
                }
            });
        }
        let stdin = child.stdin.take();
        let client = LongClient { child, stdin, events };
        match client.events.recv_timeout(WITHIN) {
            Ok(FlowEvent::Ready) => {
                self.long_client = Some(client);
                Ok(())
            }
            Ok(FlowEvent::End(_)) | Err(_) => {
                Err(Stop::Problem("not all long connections came about before the fault".to_owned()))
            }
        }
    }

    /// Ends the connections and notes how they fared.
    ///
    /// # Errors
    /// The client does not tell.
    pub fn flows_end(&mut self) -> Result<(), Stop> {
        let Some(mut client) = self.long_client.take() else { return Ok(()) };
        drop(client.stdin.take());
        match client.events.recv_timeout(WITHIN) {
            Ok(FlowEvent::End(flows)) => {
                self.flows_seen = Some(flows);
                Ok(())
            }
            Ok(FlowEvent::Ready) | Err(_) => {
                Err(Stop::Problem("the client with long connections did not tell how they fared".to_owned()))
            }
        }
    }

    /// How they fared; `None`: there were none.
    pub fn flows_seen(&self) -> Option<Flows> {
        self.flows_seen.clone()
    }
}
