//! What has been counted for a service, a pool or a server, as statistics show it. Sums of what the workers count.

/// Upper bounds of the classes of [`Figures::response_times`], milliseconds; above the last one there is one class more.
pub const RESPONSE_BOUNDS: [u32; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// Figures since the start, unless said otherwise. What does not apply is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Service: client connections now. Pool, server: requests (mode `http`) or connections that it works on now.
    pub current: u64,
    /// The most of them at a time. Of a server with several workers: at least so many.
    pub most: u64,
    /// Service: client connections. Pool, server: requests or connections that it got.
    pub total: u64,
    /// Requests; in mode `tcp` the same as `total`.
    pub requests: u64,
    /// Bytes from clients, heads included.
    pub received: u64,
    /// Bytes to clients, heads included.
    pub sent: u64,
    /// Requests that a rule or a limit refused.
    pub denied: u64,
    /// Requests that were not understood or did not come whole.
    pub request_errors: u64,
    /// Service: TLS handshakes that failed; they are no requests.
    pub handshakes_failed: u64,
    /// Attempts to connect to a server that failed.
    pub connect_errors: u64,
    /// Answers of servers that were wrong, broke off, or did not come in time.
    pub response_errors: u64,
    /// Requests or connections that the client ended before they were done.
    pub client_aborts: u64,
    /// The same by the server.
    pub server_aborts: u64,
    /// Attempts after the first one.
    pub retries: u64,
    /// Of them, those that went to another server than the one that persistence wanted or that was chosen first.
    pub redispatches: u64,
    /// Answers by status: 1xx to 5xx, then others.
    pub statuses: [u64; 6],
    /// Requests that wait for a place now: of a server, those that are bound to it; of a pool, those for whoever is free.
    pub queue: u64,
    /// The most of them at a time.
    pub queue_most: u64,
    /// Averages over about the last 1024 requests of each worker; `None`: times are not measured, or there was none.
    pub averages: Option<Averages>,
    /// How many answers took how long from the request's end to the answer's head, by [`RESPONSE_BOUNDS`]; not cumulated.
    pub response_times: [u64; RESPONSE_BOUNDS.len() + 1],
    /// The sum of these times, milliseconds.
    pub response_sum: u64,
}

/// Average times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Averages {
    /// Waiting for a free server.
    pub queue: u32,
    /// Until the connection to the server stood.
    pub connect: u32,
    /// Until the answer's head was there.
    pub response: u32,
    /// From the first byte of the request to the last one of the answer.
    pub total: u32,
}

impl Figures {
    /// Adds another one's, as of a server to its pool. The most at a time and averages are not sums, and stay.
    pub fn add(&mut self, other: &Self) {
        let counts = [
            (&mut self.current, other.current),
            (&mut self.total, other.total),
            (&mut self.requests, other.requests),
            (&mut self.received, other.received),
            (&mut self.sent, other.sent),
            (&mut self.denied, other.denied),
            (&mut self.request_errors, other.request_errors),
            (&mut self.handshakes_failed, other.handshakes_failed),
            (&mut self.connect_errors, other.connect_errors),
            (&mut self.response_errors, other.response_errors),
            (&mut self.client_aborts, other.client_aborts),
            (&mut self.server_aborts, other.server_aborts),
            (&mut self.retries, other.retries),
            (&mut self.redispatches, other.redispatches),
            (&mut self.queue, other.queue),
            (&mut self.response_sum, other.response_sum),
        ];
        for (mine, theirs) in counts {
            *mine = mine.wrapping_add(theirs);
        }
        let lists = [
            (&mut self.statuses[..], &other.statuses[..]),
            (&mut self.response_times[..], &other.response_times[..]),
        ];
        for (mine, theirs) in lists {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = mine.wrapping_add(*theirs);
            }
        }
    }
}
