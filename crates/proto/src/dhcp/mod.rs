//! DHCP for one network (RFC 2131, RFC 2132): who gets which address, and how the directors agree about it.
//!
//! ```text
//!   client ─► Request ─► Server ─► offer: the same from every director, by a hash of the client
//!                          │
//!                 ACK only after the lease is
//!                   on disk here (Store, Stored)
//!                   known to every director that is alive (Publish, Peer)
//! ```
//! The active director answers; the others keep the same [`Table`]. A director that becomes active first hears from all others
//! that are alive whether its table is theirs. So an address that a client was told is known wherever the group may go, unless all
//! who know are gone at once. Then the machine itself says that it has it: before an address is given somebody is asked for it on
//! the link (`Probe`, `Used`).
//!
//! Time here is UTC, since leases outlive the process: [`Time`](relevo_model::Time) since 1970. Not here: sockets, disks, names in DNS.

mod choice;
mod events;
mod lease;
mod message;
mod probe;
mod server;
mod settings;
mod share;
mod table;
#[cfg(test)]
mod tests;
mod unclaimed;
mod wire;

pub use events::{Input, Output};
pub use lease::{Client, Lease, LeaseState};
pub use message::{Kind, Refused, Request};
pub use probe::PROBE;
pub use server::Server;
pub use settings::{Settings, origin_of};
pub use table::Table;

/// Where servers listen.
pub const SERVER_PORT: u16 = 67;
/// Where clients listen.
pub const CLIENT_PORT: u16 = 68;
