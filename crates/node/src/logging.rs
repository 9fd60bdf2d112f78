//! The log: lines of text or JSON on stderr, written by a thread of their own.
//!
//! Whoever logs never waits: when the reader of stderr is stuck, lines are dropped and counted, so that a full
//! pipe cannot stop adverts or requests. Which levels are written is `RELEVO_LOG`'s matter (default `info`).

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The variable that chooses what is written, as in `debug` or `relevo_node=debug,warn`.
pub const VARIABLE: &str = "RELEVO_LOG";

/// Lines that may wait to be written.
const QUEUE: usize = 4096;
/// Longest wait for the lines of a process that ends.
const FLUSH: Duration = Duration::from_millis(500);

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A line of words.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The variable makes no sense.
    #[error(
        "{VARIABLE}={value:?} makes no sense: write a level (error, warn, info, debug, trace) or a list such as relevo_node=debug,warn"
    )]
    Filter {
        /// What it was.
        value: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// No thread could be had.
    #[error("cannot start the log's thread")]
    Thread(#[source] io::Error),
    /// There is one already.
    #[error("the log runs already")]
    Twice,
}

/// The running log; dropping it writes what is waiting.
#[derive(Debug)]
pub struct Log {
    queue: Queue,
}

impl Log {
    /// Starts the process's log.
    ///
    /// # Errors
    /// When `RELEVO_LOG` makes no sense, there is no thread to be had, or a log runs already.
    pub fn start(format: Format) -> Result<Self, LogError> {
        let value = std::env::var(VARIABLE).unwrap_or_else(|_| "info".to_owned());
        let filter =
            EnvFilter::builder().parse(&value).map_err(|source| LogError::Filter { value, source })?;
        let (sender, receiver) = sync_channel(QUEUE);
        let queue = Queue { sender, lost: Arc::new(AtomicU64::new(0)) };
        let lost = Arc::clone(&queue.lost);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&receiver, &lost))
            .map_err(LogError::Thread)?;
        let color =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(queue.clone())
            .with_ansi(color && format == Format::Text)
            .with_target(false);
        match format {
            Format::Text => builder.try_init(),
            Format::Json => builder.json().flatten_event(true).try_init(),
        }
        .map_err(|_| LogError::Twice)?;
        Ok(Self { queue })
    }

    /// Something that can write the waiting lines from anywhere, for a process that ends at once.
    pub(crate) fn flusher(&self) -> impl Fn() + Send + Sync + 'static {
        let queue = self.queue.clone();
        move || queue.flush()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.flush();
    }
}

enum Entry {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

#[derive(Clone, Debug)]
struct Queue {
    sender: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

impl Queue {
    fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.sender.try_send(Entry::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Entry::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

fn write(entries: &Receiver<Entry>, lost: &AtomicU64) {
    let mut stderr = io::stderr();
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                let _ = stderr.write_all(&line);
            }
            Entry::Flush(done) => {
                let _ = done.try_send(());
            }
        }
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            let _ = writeln!(stderr, "{count} log lines were lost: stderr was not read fast enough");
        }
    }
}
