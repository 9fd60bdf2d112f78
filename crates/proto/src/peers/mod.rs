//! The channel between directors: short datagrams that only those who have the key can make, that nobody can play again,
//! and that say where they belong.
//!
//! ```text
//!   topic, bytes ──► Channel::seal ──► datagram ──network──► Channel::open ──► from, topic, bytes
//!                                                                  └──► DropReason
//! ```
//!
//! - **Authentic.** HMAC-SHA256 (RFC 2104, FIPS 180-4) over everything, and over the network's name and the receiver's,
//!   which are not sent: what was meant for another network or node is nothing here.
//! - **Once.** A sender counts its datagrams. Each path (sender and network) has a window of the last [`WINDOW`] numbers.
//! - **Of this run.** Each run of a program has a boot number, higher than all before. A datagram says the sender's, and the
//!   one that it knows of the receiver: what was recorded before this receiver started names an older one.
//!   Two directors that meet for the first time greet each other ([`GREETING`]); then they are acquainted.
//! - **Soon.** One that arrives [`LATE`] later than the quickest of its sender is dropped: the network, or somebody in it,
//!   has kept it back.
//!
//! Nothing is secret: datagrams are signed, not encrypted. Delivery is not promised, and no order.
//!
//! No sockets here; `node::peers` has them.

mod channel;
mod key;
mod wire;

#[cfg(test)]
mod tests;

pub use channel::{Channel, Opened};
pub use key::{Key, KeyError, Keys};
pub use wire::DropReason;

use std::time::Duration;

/// Most bytes that a datagram carries for its topic.
pub const MOST_BYTES: usize = 1200;
/// Numbers that the window of a path holds.
pub const WINDOW: u64 = 128;
/// How much later than usual a datagram may come.
pub const LATE: Duration = Duration::from_secs(2);
/// Two greetings to one node are at least this far apart.
pub const GREETING_SPACING: Duration = Duration::from_millis(20);
/// The topic of datagrams that only make acquaintance.
pub const GREETING: u8 = 0;
