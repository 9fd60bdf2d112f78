//! A client with connections that are there for long.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{Stage, Stop};
use crate::probe::{Counts, FlowEvent, Flows};

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
        let bulk = self.flows_wanted / 4;
        let kept = self.flows_wanted - 2 * bulk;
        self.flows_begin_with(Counts { downloads: bulk, uploads: bulk, kept, ..Counts::default() })
    }

    /// The same, so many of each.
    ///
    /// # Errors
    /// As [`Stage::flows_begin`].
    pub fn flows_begin_with(&mut self, counts: Counts) -> Result<(), Stop> {
        let client = self.facts.clients.first().map_or("", |client| client.name.as_str());
        let (target, pause) = (self.facts.target.to_string(), counts.pause.as_millis().to_string());
        let Counts { downloads, uploads, kept, web, .. } = counts;
        let [downloads, uploads, kept] = [downloads, uploads, kept].map(|count| count.to_string());
        let program = self.program.to_string_lossy().into_owned();
        let argv = [&program, "drill", "flows", "--target", &target, "--downloads", &downloads];
        let mut argv = [&argv[..], &["--uploads", &uploads, "--kept", &kept, "--pause-ms", &pause]].concat();
        argv.extend(web.then_some("--web"));
        let problem =
            |error: std::io::Error| Stop::Problem(format!("the client with long connections: {error}"));
        let mut command =
            self.lab.command(client, &argv.into_iter().map(str::to_owned).collect::<Vec<_>>())?;
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
            Ok(FlowEvent::End(mut flows)) => {
                let names =
                    flows.servers.keys().filter(|name| self.dead.iter().any(|node| is_of(name, node)));
                flows.dead = names.cloned().collect();
                let fault = self.fault.map(|fault| fault.as_millis());
                let dark = fault.zip(flows.known_at).map(|(fault, known)| known.saturating_sub(fault));
                flows.dark_ms = dark.unwrap_or_default();
                self.flows_seen = Some(flows);
                Ok(())
            }
            Ok(FlowEvent::Ready) | Err(_) => {
                Err(Stop::Problem("the client with long connections did not tell how they fared".to_owned()))
            }
        }
    }

    /// Says that a server node will not live through it.
    pub fn flows_dead(&mut self, node: &str) {
        self.dead.push(node.to_owned());
    }

    /// So many connections as the user wants.
    pub const fn flows_wanted(&self) -> u32 {
        self.flows_wanted
    }

    /// How they fared; `None`: there were none.
    pub fn flows_seen(&self) -> Option<Flows> {
        self.flows_seen.clone()
    }
}

/// A server is called like its node, with its port where the node has several.
fn is_of(server: &str, node: &str) -> bool {
    server
        .strip_prefix(node)
        .is_some_and(|rest| !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric()))
}
