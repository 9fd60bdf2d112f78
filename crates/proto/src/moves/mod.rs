//! A group of addresses moves on purpose, and the connections of the userspace engine stay whole.
//!
//! ```text
//!   client ──► new owner ── SYN, or a flow that it has seen begin ──► its own engine
//!                  └─ anything else, while the former owner drains ──► former owner, which answers the client directly
//! ```
//! - The **former owner** keeps the addresses where nobody on the network sees them, goes on with its connections, asks
//!   clients to come anew, and ends when the last one has gone or the time of the group's `drain` is over.
//! - The **new owner** cannot know connections that it has not seen begin. For that time it forwards their packets.
//! - A **backup** lets none of these packets pass to its own kernel, which would reset connections in the moment in which an
//!   address moves. When it takes over from one that is dead it lets them pass: then a reset is the truth.
//!
//! [`Mover`] decides for one group, [`rules()`] writes what it decided for nftables, [`Word`] is what directors say to each other
//! about it. Connections that die with their director are ended by a [`tickle`]. Pure, as all here.

mod mover;
mod others;
mod rules;
#[cfg(test)]
mod tests;
pub mod tickle;
mod words;

pub use mover::{Input, Mover, Output, Stage};
pub use rules::{MOST_KNOWN, Place, Silent, TABLE, Way, admit, fresh, removal, rules, silence};
pub use words::{Said, Word, decode, encode, encode_clients};

use std::time::Duration;

/// Neighbours may send to the former owner for at least so long: until then it ends no drain.
pub const STRAYS: Duration = Duration::from_secs(3);
/// How much longer a new owner forwards than the former one drains, if it hears nothing.
pub const LATE: Duration = Duration::from_secs(1);
/// A former owner that has said that it drains says so again at least so often.
pub const REPEAT: Duration = Duration::from_millis(500);
/// A former owner that has said that it drains, and is silent for so long, is lost.
pub const SILENT: Duration = Duration::from_secs(5);
