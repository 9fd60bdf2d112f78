//! The thread that writes the access log.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use relevo_model::cluster::{LogFormat, LogTarget};

use super::journal::{Journal, Lines, Outbox};
use super::target::{Target, TargetError};

/// Shortest time between two words in the program's own log about lines that were lost.
const COMPLAIN: Duration = Duration::from_secs(10);
/// Longest wait for the last lines when the log is stopped: a pipe that nobody reads must not keep the program.
const FAREWELL: Duration = Duration::from_secs(1);

/// The running access log. Dropping it writes what was handed over.
#[derive(Debug)]
pub(crate) struct AccessLog {
    common: Arc<Common>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer and the others share.
#[derive(Debug, Default)]
struct Common {
    outboxes: Mutex<Vec<Arc<Outbox>>>,
    /// Where to write from now on.
    next: Mutex<Option<Target>>,
    reopen: AtomicBool,
    stop: AtomicBool,
    /// Lines that the target did not take.
    failed: AtomicU64,
}

impl AccessLog {
    /// Opens the target and starts the writer.
    ///
    /// # Errors
    /// When the target cannot be opened, or there is no thread to be had.
    pub(crate) fn start(target: &LogTarget) -> Result<Self, TargetError> {
        let target = Target::open(target)?;
        let common = Arc::new(Common::default());
        let (shared, name) = (Arc::clone(&common), target.to_string());
        let thread = std::thread::Builder::new()
            .name("access".to_owned())
            .spawn(move || Writer { target, common: shared, told: None, lost: 0 }.run())
            .map_err(|source| TargetError::System { target: name, source })?;
        Ok(Self { common, thread: Some(thread) })
    }

    /// A worker's end.
    pub(crate) fn journal(&self, format: LogFormat) -> Option<Journal> {
        let writer = self.thread.as_ref()?.thread().clone();
        let outbox = Arc::new(Outbox::default());
        self.lock_outboxes().push(Arc::clone(&outbox));
        Some(Journal::new(format, outbox, writer))
    }

    /// Writes somewhere else from now on.
    ///
    /// # Errors
    /// When it cannot be opened; then nothing has changed.
    pub(crate) fn change(&self, target: &LogTarget) -> Result<(), TargetError> {
        let target = Target::open(target)?;
        *self.common.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
        self.wake();
        Ok(())
    }

    /// Opens the file again: it was moved away.
    pub(crate) fn reopen(&self) {
        self.common.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Lines that were lost since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.common.lost()
    }

    fn lock_outboxes(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Outbox>>> {
        self.common.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.common.stop.store(true, Ordering::Release);
        self.wake();
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + FAREWELL;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        // One that is stuck in a write is left alone; it ends with the process.
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

impl Common {
    fn lost(&self) -> u64 {
        let outboxes = self.outboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped =
            outboxes.iter().map(|outbox| outbox.lost.load(Ordering::Relaxed)).fold(0, u64::wrapping_add);
        dropped.wrapping_add(self.failed.load(Ordering::Relaxed))
    }
}

struct Writer {
    target: Target,
    common: Arc<Common>,
    /// When and about how many lost lines the program's log was told.
    told: Option<Instant>,
    lost: u64,
}

impl Writer {
    fn run(mut self) {
        if let Err(error) = yield_to_workers() {
            tracing::debug!("the access log's thread is scheduled like any other: {error}");
        }
        let mut lines = Lines::default();
        loop {
            // Before the last look, so that what was handed over before the stop is written.
            let stop = self.common.stop.load(Ordering::Acquire);
            self.obey();
            let outboxes = self.common.outboxes.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (mut wrote, mut why) = (false, None);
            for outbox in &outboxes {
                outbox.take(&mut lines);
                if lines.count > 0 {
                    wrote = true;
                    if let Err((count, error)) = self.target.write(&lines.bytes, lines.count) {
                        self.common.failed.fetch_add(count, Ordering::Relaxed);
                        why = Some(error);
                    }
                }
            }
            self.complain(why);
            // Workers of a configuration that is gone leave their boxes behind.
            if !wrote {
                drop(outboxes);
                self.forget_the_gone();
                if stop {
                    break;
                }
                std::thread::park_timeout(Duration::from_secs(1));
            }
        }
    }

    fn obey(&mut self) {
        if let Some(next) = self.common.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.target = next;
        }
        if self.common.reopen.swap(false, Ordering::AcqRel)
            && let Err(error) = self.target.reopen()
        {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(source, "{error}; the file that was open is written on");
        }
    }

    fn forget_the_gone(&self) {
        let mut outboxes = self.common.outboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = &self.common.failed;
        outboxes.retain(|outbox| {
            // The count first: whoever holds the other end may hand something over as its last act.
            let is_used = Arc::strong_count(outbox) > 1 || !outbox.is_empty();
            if !is_used {
                failed.fetch_add(outbox.lost.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            is_used
        });
    }

    fn complain(&mut self, why: Option<io::Error>) {
        let lost = self.common.lost();
        if lost == self.lost || self.told.is_some_and(|at| at.elapsed() < COMPLAIN) {
            return;
        }
        let lines = lost.wrapping_sub(self.lost);
        let why =
            why.map_or_else(|| "it did not take them fast enough".to_owned(), |error| error.to_string());
        tracing::warn!(target = %self.target, "{lines} lines of the access log were lost: {why}");
        self.told = Some(Instant::now());
        self.lost = lost;
    }
}

/// Makes the calling thread one of `SCHED_BATCH` (sched(7)): when it wakes, it does not take the CPU from a worker that is in
/// the middle of a turn. Nobody waits for a line.
#[allow(unsafe_code, reason = "neither std nor nix or rustix can set a thread's policy")]
fn yield_to_workers() -> io::Result<()> {
    use nix::libc;
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a live sched_param of this frame; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
