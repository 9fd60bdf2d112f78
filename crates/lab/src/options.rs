//! How a lab is brought up.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a lab is brought up. `Default` is what `relevo lab up FILE` does.
pub struct UpOptions {
    /// The `relevo` program that nodes run; `None`: the running program itself. Tests give the built one.
    pub program: Option<PathBuf>,
    /// The folder in which `[lab.run]` commands are run; `None`: the current one.
    pub folder: Option<PathBuf>,
    /// Longest wait until everything is ready, after the topology stands.
    pub ready_within: Duration,
    /// Told what is going on, one line each; a line replaces the one before it.
    pub progress: Box<dyn FnMut(&str)>,
}

impl Default for UpOptions {
    fn default() -> Self {
        Self {
            program: None,
            folder: None,
            ready_within: Duration::from_secs(30),
            progress: Box::new(|_line| {}),
        }
    }
}

impl fmt::Debug for UpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpOptions")
            .field("program", &self.program)
            .field("folder", &self.folder)
            .field("ready_within", &self.ready_within)
            .finish_non_exhaustive()
    }
}
