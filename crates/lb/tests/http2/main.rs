//! HTTP/2 as bytes: frames that are right, frames that are wrong, and what they lead to. No sockets: a stand-in for
//! the engine tells what it would have got ([`relevo_lb::http2::replay`]); and the same of what servers say
//! ([`relevo_lb::shared::replay`]).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad;
mod frames;
mod good;
mod servers;
