//! A machine behind the directors that asks one in front of them, the other way round than clients do.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use relevo_net::clock;

use super::{GLANCE_EVERY, Stage, Stop};

/// How long the web server may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// Who asks whom. Dropping it ends the web server.
#[derive(Debug)]
pub(super) struct Visitor {
    /// The machine that asks.
    pub(super) from: String,
    /// Where.
    pub(super) target: SocketAddr,
    origin: Child,
}

impl Stage<'_> {
    /// Runs a web server on a client, and lets another machine ask there from now on.
    ///
    /// # Errors
    /// It does not start.
    pub fn visit_from(&mut self, from: &str, client: &str, target: SocketAddr) -> Result<(), Stop> {
        let problem = |words: &str| Stop::Problem(format!("a web server on {client}: {words}"));
        let mut argv = vec![self.program.to_string_lossy().into_owned()];
        argv.extend(["origin", "--listen", &target.to_string(), "--name", client].map(str::to_owned));
        let mut command = self.lab.command(client, &argv)?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let origin = command.spawn().map_err(|error| problem(&error.to_string()))?;
        self.visitor = Some(Visitor { from: from.to_owned(), target, origin });
        let deadline = clock::now() + LISTENS_WITHIN;
        loop {
            self.check_stopped()?;
            let argv = [self.program.to_string_lossy().into_owned()];
            let ask = ["drill", "visit", "--target", &target.to_string(), "--cookie", "none", "--times", "1"];
            let mut command = self.lab.command(from, &argv)?;
            command.args(ask).stdout(Stdio::null()).stderr(Stdio::null());
            let answered = command.status().is_ok_and(|status| status.success());
            if answered {
                return Ok(());
            }
            if let Some(visitor) = &mut self.visitor
                && let Ok(Some(status)) = visitor.origin.try_wait()
            {
                return Err(problem(&format!("it ended: {status}")));
            }
            if clock::now() > deadline {
                return Err(problem(&format!("{from} does not reach it")));
            }
            std::thread::sleep(GLANCE_EVERY);
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.origin.kill();
        let _ = self.origin.wait();
    }
}
