//! The command line as a user meets it: words, exit codes, and what is left behind.
//!
//! Nodes run on the loopback interface with services alone, so no privileges are needed.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod acme;
mod affinity;
mod check;
mod completing;
mod doctor;
mod explain;
mod harness;
mod import;
mod node;
mod refusals;
mod reload;
mod stop;
mod upgrade;
mod upgrade_http2;
mod upgrade_kinds;
mod words;

/// Takes a minute.
#[test]
fn lab_two_hundred_reloads_under_load_fail_no_request() {
    reload::two_hundred_under_load();
}

/// Needs Debian's pebble; here, because tests of peers are found by the beginning of their names.
#[test]
fn lab_acme_by_http_01() {
    acme::http_01();
}

/// The same.
#[test]
fn lab_acme_by_tls_alpn_01() {
    acme::tls_alpn_01();
}
