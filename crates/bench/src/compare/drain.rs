//! Where both balancers send their access logs: a datagram socket as syslog has one, read and counted.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::load::pin;

/// How often the thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// Reads datagrams until it is dropped.
#[derive(Debug)]
pub(super) struct Drain {
    /// The socket's path.
    pub(super) path: PathBuf,
    lines: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drain {
    /// Binds the socket and reads it on a CPU.
    pub(super) fn start(path: &Path, cpu: usize) -> Result<Self> {
        let _ = std::fs::remove_file(path);
        let socket =
            UnixDatagram::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
        socket.set_read_timeout(Some(LOOK))?;
        let (lines, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, end) = (Arc::clone(&lines), Arc::clone(&over));
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || {
            let _ = pin(cpu);
            let mut buffer = vec![0; 64 << 10];
            while !end.load(Ordering::Relaxed) {
                if let Ok(length) = socket.recv(&mut buffer) {
                    let text = buffer.get(..length).unwrap_or_default();
                    // HAProxy's notices of servers that come up are not access logs: those have a client's address and a time.
                    counter.fetch_add(
                        u64::from(memchr::memmem::find(text, b"127.0.0.1:").is_some()),
                        Ordering::Relaxed,
                    );
                }
            }
        })?;
        Ok(Self { path: path.to_path_buf(), lines, over, thread: Some(thread) })
    }

    /// Lines of access logs until now.
    pub(super) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}
