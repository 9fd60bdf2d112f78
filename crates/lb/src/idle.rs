//! Idle connections to one server, kept by each worker for itself.

use std::sync::Arc;

use crate::stream::ServerStream;
use crate::tls::Origination;

/// Most idle connections to one server, in one worker.
const MOST_IDLE: usize = 128;
/// Longest rest, in milliseconds: shorter than the 5 seconds after which Apache closes, so that a request
/// seldom meets a connection that is just being closed.
const LONGEST_REST: u64 = 4000;

/// The idle connections to one server.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    list: Vec<Resting>,
}

#[derive(Debug)]
struct Resting {
    stream: ServerStream,
    since: u64,
}

impl Idle {
    /// The connection that rested last, if it is still good, and made as connections are made now. `now` in milliseconds.
    pub(crate) fn take(&mut self, tls: Option<&Arc<Origination>>, now: u64) -> Option<ServerStream> {
        while let Some(Resting { mut stream, since }) = self.list.pop() {
            if now.saturating_sub(since) >= LONGEST_REST {
                // All below it rested longer.
                self.list.clear();
                return None;
            }
            if stream.is_made_by(tls) && !stream.is_stale() {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection for later.
    pub(crate) fn put(&mut self, stream: ServerStream, now: u64) {
        if self.list.len() < MOST_IDLE {
            self.list.push(Resting { stream, since: now });
        }
    }

    /// Closes all.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// Closes those that rested too long.
    pub(crate) fn prune(&mut self, now: u64) {
        let old = self.list.partition_point(|idle| now.saturating_sub(idle.since) >= LONGEST_REST);
        self.list.drain(..old);
    }
}
