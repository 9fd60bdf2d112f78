//! The engine as its users see it: real clients, real servers, real sockets on the loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod algorithms;
mod apply;
mod balancing;
mod bounds;
mod cache;
mod checks;
mod coming_back;
mod compression;
mod cookie_letters;
mod deferred;
mod ending_handshakes;
mod framing;
mod hostile;
mod http;
mod http2;
mod http2_bad_servers;
mod http2_operation;
mod http2_peers;
mod http2_rig;
mod http2_servers;
mod keep_alive;
mod large;
mod leaving;
mod limits;
mod log;
mod log_strangers;
mod mixed;
mod no_server;
mod observing;
mod own_answers;
mod persistence;
mod proxied;
mod refused_websockets;
mod restarts;
mod rig;
mod rules;
mod rules_tls;
mod servers;
mod slow_readers;
mod taken_over;
mod tcp;
mod tls;
mod tls_rig;
mod tls_servers;
mod udp;
mod websockets;
mod workers;

/// Needs Debian's haproxy; here, because tests of peers are found by the beginning of their names.
#[test]
fn lab_halog_reads_the_lines() {
    log::halog_reads_the_lines();
}

/// Needs Debian's haproxy.
#[test]
fn lab_haproxy_introduces_clients_and_is_introduced_to_them() {
    proxied::haproxy_is_understood_and_understands();
}

/// Needs Debian's curl and nghttp2-client.
#[test]
fn lab_clients_of_http2_are_served() {
    http2::curl_and_h2load_are_served();
}

/// Needs Debian's haproxy.
#[test]
fn lab_cookies_behave_as_haproxys() {
    persistence::cookies_behave_as_haproxys();
}

/// Needs Debian's curl.
#[test]
fn lab_curl_expands_what_was_compressed() {
    mixed::curl_expands_every_coding();
}

/// Needs Debian's nginx, apache2, nghttp2-server, nghttp2-client and curl.
#[test]
fn lab_servers_of_http2_are_understood() {
    http2_peers::servers_are_understood();
}
