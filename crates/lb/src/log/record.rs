//! What one line of the access log says, before it is text.

use std::net::SocketAddr;

use super::Termination;

/// Milliseconds of the parts of a request; `None`: it did not come so far, -1 in HAProxy's formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// From the first byte of the request to the end of its head (TR).
    pub request: Option<u32>,
    /// Waiting for a free server (Tw).
    pub queue: Option<u32>,
    /// Until the connection to the server stood; 0 for one that was kept (Tc).
    pub connect: Option<u32>,
    /// Until the answer's head was there (Tr).
    pub response: Option<u32>,
    /// From the first byte of the request to the last byte of the answer (Ta); in mode `tcp` the connection's life (Tt).
    pub total: u32,
}

/// Connections at the moment that the line is made, this one among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Of all services.
    pub process: u32,
    /// Of the service.
    pub frontend: u32,
    /// Requests or connections in the pool.
    pub backend: u32,
    /// Of the server.
    pub server: u32,
    /// Requests that were before this one in the server's queue.
    pub server_queue: u32,
    /// Requests that were before this one in the pool's queue.
    pub backend_queue: u32,
}

/// What persistence found and did (HAProxy's third and fourth letter); `b'-'`: none is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// The cookie that came: `N` none, `I` invalid, `D` its server is down, `V` valid, `E` expired, `O` old, `U` unused.
    pub came: u8,
    /// What was done with it: `N` nothing, `I` inserted, `P` passed, `U` updated, `R` rewritten, `D` deleted.
    pub done: u8,
}

impl Default for Persistence {
    fn default() -> Self {
        Self { came: b'-', done: b'-' }
    }
}

/// Who answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answerer<'a> {
    /// No server was chosen.
    #[default]
    Nobody,
    /// The balancer: a rule, the cache.
    Balancer,
    /// The pool's fallback.
    Fallback,
    /// A server.
    Server(&'a str),
}

/// The part that only requests have.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpPart<'a> {
    /// The request line as it came, without its end; empty: it could not be read.
    pub line: &'a [u8],
    /// The answer's status; `None`: the client got none.
    pub status: Option<u16>,
    /// The names of the fields that are captured, as in the cluster file.
    pub names: &'a [String],
    /// Their values in the same order, each behind its length; see [`Captured`].
    pub captured: Captured<'a>,
}

/// A request or a connection that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The client.
    pub client: SocketAddr,
    /// When its connection was accepted, for HTTP: when the request's first byte came; milliseconds since 1970 UTC.
    pub accepted: u64,
    /// The service.
    pub service: &'a str,
    /// Whether the client spoke TLS.
    pub tls: bool,
    /// The pool; the service itself if none was chosen.
    pub pool: &'a str,
    /// Who answered.
    pub answerer: Answerer<'a>,
    /// The line of the rule that decided, or of the last one that did something; `None`: none did.
    pub rule: Option<usize>,
    /// How long it took.
    pub timers: Timers,
    /// Bytes to the client, heads included.
    pub sent: u64,
    /// Bytes from the client, heads included.
    pub received: u64,
    /// How it ended.
    pub termination: Termination,
    /// What persistence did.
    pub persistence: Persistence,
    /// How many there are.
    pub load: Load,
    /// Attempts after the first one.
    pub retries: u32,
    /// Whether another server than the first choice got it.
    pub redispatched: bool,
    /// For a request; `None`: a connection of mode `tcp`.
    pub http: Option<HttpPart<'a>>,
}

impl Record<'_> {
    /// Whether it failed: what `log = "errors"` writes.
    pub fn is_error(&self) -> bool {
        self.termination.is_error()
            || self.http.is_some_and(|http| http.status.is_none_or(|status| status >= 500))
    }
}

/// Values of captured fields: for each its length in two bytes, then itself. A field that was not there has length 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured<'a>(&'a [u8]);

impl<'a> Captured<'a> {
    /// Most bytes of one value; the rest is left out.
    pub const LONGEST: usize = 512;

    /// What [`Captured::push`] wrote.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Adds a value.
    pub fn push(to: &mut Vec<u8>, value: &[u8]) {
        let value = value.get(..Self::LONGEST).unwrap_or(value);
        let [high, low] = u16::try_from(value.len()).unwrap_or(0).to_be_bytes();
        to.extend_from_slice(&[high, low]);
        to.extend_from_slice(value);
    }
}

impl<'a> Iterator for Captured<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        Some(value)
    }
}
