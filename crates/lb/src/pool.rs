//! Idle connections to servers, kept by each worker for itself.

use crate::stream::ServerStream;

/// Most idle connections to one server, in one worker.
const MOST_IDLE: usize = 128;
/// Longest rest, in milliseconds: shorter than the 5 seconds after which Apache closes, so that a request
/// seldom meets a connection that is just being closed.
const LONGEST_REST: u64 = 4000;

/// The pool of one worker. A server is known by its key: services count theirs one after the other.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Vec<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    stream: ServerStream,
    since: u64,
}

impl Pool {
    /// A pool for so many keys.
    pub(crate) fn new(keys: usize) -> Self {
        Self { idle: (0..keys).map(|_| Vec::new()).collect() }
    }

    /// The connection that rested last, if it is still good. `now` in milliseconds.
    pub(crate) fn take(&mut self, key: usize, now: u64) -> Option<ServerStream> {
        let idle = self.idle.get_mut(key)?;
        while let Some(Idle { mut stream, since }) = idle.pop() {
            if now.saturating_sub(since) >= LONGEST_REST {
                // All below it rested longer.
                idle.clear();
                return None;
            }
            if !stream.is_stale() {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection for later.
    pub(crate) fn put(&mut self, key: usize, stream: ServerStream, now: u64) {
        if let Some(idle) = self.idle.get_mut(key)
            && idle.len() < MOST_IDLE
        {
            idle.push(Idle { stream, since: now });
        }
    }

    /// Closes all connections to a server.
    pub(crate) fn clear(&mut self, key: usize) {
        if let Some(idle) = self.idle.get_mut(key) {
            idle.clear();
        }
    }

    /// Closes those that rested too long.
    pub(crate) fn prune(&mut self, now: u64) {
        for idle in &mut self.idle {
            let fresh = idle.partition_point(|idle| now.saturating_sub(idle.since) >= LONGEST_REST);
            idle.drain(..fresh);
        }
    }
}
