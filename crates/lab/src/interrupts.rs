//! Signals that ask a program to end, held back while there is something to undo first.

use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::{LabError, Result};

/// SIGINT, SIGTERM and SIGHUP, held back in the calling thread until this is dropped. Make it while the process has one
/// thread: signals go to any thread that takes them.
pub struct Interrupts {
    before: SigSet,
    descriptor: SignalFd,
}

impl Interrupts {
    /// Holds them back.
    ///
    /// # Errors
    /// `Failed`: the kernel has no descriptor left.
    pub fn hold_back() -> Result<Self> {
        let wanted = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&wanted), Some(&mut before))
            .context("cannot hold signals back")?;
        let descriptor = SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .context("cannot wait for signals")?;
        Ok(Self { before, descriptor })
    }

    /// Waits this long, or until one comes.
    ///
    /// # Errors
    /// `Interrupted`: one came.
    pub fn wait(&self, longest: Duration) -> Result<()> {
        self.wait_or_read(None, longest)
    }

    /// Waits this long, or until one comes, or until there is something to read.
    pub(crate) fn wait_or_read(&self, input: Option<BorrowedFd<'_>>, longest: Duration) -> Result<()> {
        let mut waiting = vec![PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        waiting.extend(input.map(|input| PollFd::new(input, PollFlags::POLLIN)));
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO);
        match poll(&mut waiting, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => thread::sleep(longest),
        }
        match self.descriptor.read_signal() {
            Ok(Some(_)) => Err(LabError::Interrupted),
            Ok(None) | Err(_) => Ok(()),
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

impl fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupts").finish_non_exhaustive()
    }
}
