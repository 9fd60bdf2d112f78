//! Whether a server is up, from the results of probes.
//!
//! ```text
//!                first result good                 fall bad results in a row
//!   Unknown ──────────────────────► Up ◄────────────────────────────────────► Down
//!      │        first result bad          rise good results in a row           ▲
//!      └───────────────────────────────────────────────────────────────────────┘
//! ```
//! Probes decide. Traffic that fails is a hint: it brings the next probe forward, so that a dead
//! server is found sooner, but it does not count itself. A refused connection in traffic can be the
//! balancer's own fault (no ports left), and counting it would let the amount of traffic decide. Only where the operator
//! lets traffic be observed, many failures in a row count as he wants.
//!
//! A probe that got no answer in time is evidence of failure, with that as its reason. A probe that the balancer could
//! not even start, for want of sockets, is no evidence: clients that use up all sockets must not take the servers down. A server that
//! nobody has probed is [`State::Unknown`], which is neither up nor down; [`crate::balance`] says what
//! that means for traffic. Not here: sockets, and the probe itself; but what a probe says, and how an answer is judged, is in
//! [`expect`], [`script`] and [`echo`]. An [`agent`] on the server may say that it is down, too.

pub mod agent;
pub mod echo;
pub mod expect;
mod observe;
mod rhythm;
pub mod script;
mod server;
#[cfg(test)]
mod tests;
mod turns;
mod words;

pub use observe::{Errors, is_failure};
pub use server::{Input, Output, ProbeResult, Server, Settings};
pub use turns::Turns;
pub use words::excerpt;

/// What the checks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not probed yet, or not being checked.
    #[default]
    Unknown,
    /// Answers.
    Up,
    /// Does not.
    Down,
}
