//! The engine as its users see it: real clients, real servers, real sockets on the loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod algorithms;
mod apply;
mod balancing;
mod framing;
mod http;
mod http2;
mod keep_alive;
mod large;
mod limits;
mod log;
mod persistence;
mod rig;
mod rules;
mod tcp;
mod tls;
mod tls_rig;
mod tls_servers;
mod udp;

/// Needs Debian's haproxy; here, because tests of peers are found by the beginning of their names.
#[test]
fn lab_halog_reads_the_lines() {
    log::halog_reads_the_lines();
}
