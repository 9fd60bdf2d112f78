//! What is asked of the balancers: the table of workloads.

use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::Result;
use relevo_model::cluster::Mode;

use crate::haproxy::Tuning;
use crate::load::{BROWSER, Plan, Protocol, Target};

/// A pattern of requests.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name, in the table and in the summary.
    pub name: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    pub(super) mode: Mode,
    pub(super) tls: bool,
    pub(super) http2: bool,
    pub(super) body_bytes: usize,
    pub(super) connections: usize,
    pub(super) streams: usize,
    pub(super) browser: bool,
    pub(super) close: bool,
    /// How tuned HAProxy is measured as well.
    pub(super) tuned: &'static [Tuning],
}

/// What helps HAProxy with large bodies.
const LARGE: &[Tuning] = &[Tuning::Spliced, Tuning::LargeBuffers];

/// Small answers over HTTP/1.1 connections that stay open.
pub(super) const SMALL: Workload = Workload {
    name: "http-keepalive-small",
    what: "200 bytes, 32 connections that stay open",
    mode: Mode::Http,
    tls: false,
    http2: false,
    body_bytes: 200,
    connections: 32,
    streams: 1,
    browser: false,
    close: false,
    tuned: &[],
};

/// All workloads of requests, in the order in which they run.
pub const WORKLOADS: [Workload; 9] = [
    SMALL,
    Workload {
        name: "http-keepalive-browser",
        what: "the same with a browser's header fields, 64 connections",
        connections: 64,
        browser: true,
        ..SMALL
    },
    Workload {
        name: "http-connection-per-request",
        what: "200 bytes, each over a new connection, 10 at a time",
        connections: 10,
        close: true,
        tuned: &[Tuning::Deferred],
        ..SMALL
    },
    Workload {
        name: "http-keepalive-200k",
        what: "200 KiB, 16 connections that stay open",
        body_bytes: 204_800,
        connections: 16,
        tuned: LARGE,
        ..SMALL
    },
    Workload {
        name: "tcp-keepalive-small",
        what: "200 bytes in mode tcp, 32 connections that stay open",
        mode: Mode::Tcp,
        ..SMALL
    },
    Workload {
        name: "tcp-connection-per-request",
        what: "200 bytes in mode tcp, each over a new connection, 10 at a time",
        mode: Mode::Tcp,
        connections: 10,
        close: true,
        tuned: &[Tuning::Deferred],
        ..SMALL
    },
    Workload {
        name: "tcp-keepalive-200k",
        what: "200 KiB in mode tcp, 16 connections that stay open",
        mode: Mode::Tcp,
        body_bytes: 204_800,
        connections: 16,
        tuned: LARGE,
        ..SMALL
    },
    Workload {
        name: "tls13-keepalive-small",
        what: "200 bytes over TLS 1.3, 32 connections that stay open",
        tls: true,
        ..SMALL
    },
    Workload {
        name: "http2-tls-small",
        what: "200 bytes over HTTP/2 and TLS 1.3, 8 connections with 8 requests at a time",
        tls: true,
        http2: true,
        connections: 8,
        streams: 8,
        ..SMALL
    },
];

/// Memory of connections that do nothing.
pub const IDLE: &str = "idle";

/// The work of checks alone.
pub const CHECKS: &str = "checks";

impl Workload {
    /// The load on a balancer at `at` for so long.
    pub(super) fn plan(&self, at: SocketAddrV4, time: Duration, cpu: usize) -> Result<Plan> {
        let mut plan = self.look(at, &format!("/bytes/{}", self.body_bytes))?;
        plan.connections = self.connections;
        plan.streams = self.streams;
        plan.connection_per_request = self.close;
        plan.protocol = if self.http2 { Protocol::Http2 } else { Protocol::Http1 };
        plan.end.after = Some(time);
        plan.cpus = vec![cpu];
        Ok(plan)
    }

    /// One request for a path.
    pub(super) fn look(&self, at: SocketAddrV4, path: &str) -> Result<Plan> {
        let scheme = if self.tls { "https" } else { "http" };
        let mut plan = Plan::new(Target::parse(&format!("{scheme}://{at}{path}"))?);
        plan.patience = Duration::from_secs(5);
        if self.browser {
            plan.fields =
                BROWSER.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        }
        Ok(plan)
    }
}
