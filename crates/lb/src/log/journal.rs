//! From a worker to the writer, without either waiting for the other.
//!
//! ```text
//!  worker: line, line, line ──► batch ──(16 KiB, or a tick)──► outbox ──swap──► writer ──► file, syslog
//! ```
//! A worker formats into a batch of its own. It hands the batch over by a swap under a lock that nobody holds for longer than
//! a swap; if the writer holds it just then, the batch is handed over a little later. When the writer cannot
//! keep up, the outbox is full: batches are dropped, and their lines counted. One wake-up of the writer for a batch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use relevo_model::cluster::LogFormat;

use super::date::Dates;
use super::record::Record;
use super::stranger::Stranger;
use super::{haproxy, json};

/// A batch of this size is handed over, bytes.
const BATCH: usize = 16 << 10;
/// Most bytes that wait for the writer, for each worker; and most in a batch that could not be handed over.
const MOST: usize = 1 << 20;

/// What a worker has handed over and the writer has not taken.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    lines: Mutex<Lines>,
    /// Lines that were dropped since the start.
    pub(super) lost: AtomicU64,
}

/// Whole lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u64,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).count == 0
    }

    /// Takes all that is there, and leaves an empty buffer for the next.
    pub(super) fn take(&self, into: &mut Lines) {
        into.bytes.clear();
        into.count = 0;
        std::mem::swap(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner), into);
    }
}

/// A worker's end of the access log.
#[derive(Debug)]
pub(crate) struct Journal {
    format: LogFormat,
    dates: Dates,
    batch: Lines,
    outbox: Arc<Outbox>,
    writer: Thread,
}

impl Journal {
    pub(super) fn new(format: LogFormat, outbox: Arc<Outbox>, writer: Thread) -> Self {
        let batch = Lines { bytes: Vec::with_capacity(2 * BATCH), count: 0 };
        Self { format, dates: Dates::local(), batch, outbox, writer }
    }

    /// Writes a line.
    pub(crate) fn write(&mut self, record: &Record<'_>) {
        self.add(|format, out, dates| match format {
            LogFormat::Haproxy => haproxy::push(out, dates, record),
            LogFormat::Json => json::push(out, record),
        });
    }

    /// Writes a line about a client that never came to a request.
    pub(crate) fn write_stranger(&mut self, stranger: &Stranger<'_>) {
        self.add(|format, out, dates| match format {
            LogFormat::Haproxy => haproxy::push_stranger(out, dates, stranger),
            LogFormat::Json => json::push_stranger(out, stranger),
        });
    }

    fn add(&mut self, line: impl FnOnce(LogFormat, &mut Vec<u8>, &mut Dates)) {
        if self.batch.bytes.len() >= MOST {
            self.outbox.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        line(self.format, &mut self.batch.bytes, &mut self.dates);
        self.batch.count += 1;
        if self.batch.bytes.len() >= BATCH {
            self.hand_over();
        }
    }

    /// Gives the batch to the writer; called at each tick of the worker too, so that a line is at most a tick old.
    pub(crate) fn hand_over(&mut self) {
        if self.batch.count == 0 {
            return;
        }
        let Ok(mut waiting) = self.outbox.lines.try_lock() else { return };
        if waiting.count == 0 {
            std::mem::swap(&mut *waiting, &mut self.batch);
        } else if waiting.bytes.len() + self.batch.bytes.len() <= MOST {
            waiting.bytes.extend_from_slice(&self.batch.bytes);
            waiting.count += self.batch.count;
        } else {
            self.outbox.lost.fetch_add(self.batch.count, Ordering::Relaxed);
        }
        drop(waiting);
        self.batch.bytes.clear();
        self.batch.count = 0;
        self.writer.unpark();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The writer holds the lock only for a swap.
        for _ in 0..100 {
            self.hand_over();
            if self.batch.count == 0 {
                return;
            }
            std::thread::yield_now();
        }
        self.outbox.lost.fetch_add(self.batch.count, Ordering::Relaxed);
    }
}
