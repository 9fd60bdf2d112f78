//! The engine as its users see it: real clients, real servers, real sockets on the loopback.

mod balancing;
mod framing;
mod http;
mod keep_alive;
mod limits;
mod rig;
mod tcp;
