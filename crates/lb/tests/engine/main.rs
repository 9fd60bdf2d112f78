//! The engine as its users see it: real clients, real servers, real sockets on the loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod apply;
mod balancing;
mod framing;
mod http;
mod http2;
mod keep_alive;
mod large;
mod limits;
mod rig;
mod tcp;
