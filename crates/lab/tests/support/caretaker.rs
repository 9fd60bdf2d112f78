//! Cleans up after a test that was interrupted: Ctrl-C and `kill` end a test without its drop guards.

#![allow(dead_code, reason = "not every test uses all of it")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests only")]

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A shell of its own that waits for the end of this process, and cleans up then. Dropping it calls that off.
#[derive(Debug)]
pub struct Caretaker(Child);

impl Caretaker {
    /// `cleanup` is for `sh`; `arguments` are its `$1`, `$2` and so on.
    pub fn new(cleanup: &str, arguments: &[&str]) -> Self {
        let script = format!("while kill -0 \"$0\" 2>/dev/null; do sleep 0.3; done; {cleanup}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, &std::process::id().to_string()]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Out of the test's process group, which gets the terminal's and the runner's signals.
        Self(command.process_group(0).spawn().unwrap())
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
