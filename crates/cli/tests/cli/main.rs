//! The command line as a user meets it: words, exit codes, and what is left behind.
//!
//! Nodes run on the loopback interface with services alone, so no privileges are needed.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod check;
mod explain;
mod harness;
mod node;
mod refusals;
mod stop;
mod words;
