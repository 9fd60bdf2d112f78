//! BFD: notices within milliseconds that a neighbour is silent (RFC 5880 asynchronous mode, RFC 5881 single hop).
//!
//! ```text
//!            Down heard          Init, Up heard
//!   Down ─────────────► Init ─────────────────► Up
//!    │ ▲                                        │ ▲
//!    │ └────────────────────────────────────────┘ │
//!    │    silence, Down or AdminDown heard        │
//!    └────────────────────────────────────────────┘
//!                      Init heard
//! ```
//!
//! - Slow until Up: a packet a second (RFC 5880 section 6.8.3), then what both sides agree on, confirmed by Poll and
//!   Final. Packets come up to a quarter sooner than that, by chance that the caller gives (section 6.8.7).
//! - **Stalls.** Time in which this process did not run is not the neighbour's silence: see [`Session::handle_timeout`].
//! - **Planned stops** are told as AdminDown, and are no loss: [`Output::Down`] says which it is.
//! - Only from next door: a packet whose TTL is not 255 is dropped (RFC 5881 section 5, RFC 5082). No authentication else.
//!
//! Not here: echo and demand mode, multihop, authentication sections.

mod packet;
mod session;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use packet::{Diagnostic, DropReason, Packet, SessionState};
pub use session::Session;

/// Where BFD control packets go (RFC 5881 section 4).
pub const PORT: u16 = 3784;
/// The TTL of every packet.
pub const TTL: u8 = 255;
/// Time between packets while not Up.
pub const SLOW: Duration = Duration::from_secs(1);

/// What does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Tells this session from all others of this system; not 0.
    pub discriminator: u32,
    /// Time between packets, both ways.
    pub interval: Duration,
    /// Packets that may be missing.
    pub multiplier: u8,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to the neighbour's port 3784 with TTL 255.
    Send([u8; 24]),
    /// The neighbour is there.
    Up,
    /// It was Up, and is not any more.
    Down {
        /// It is silent. Otherwise it has said something: that it does not hear us, or that it is stopped.
        silent: bool,
        /// The reason as it goes over the wire.
        diagnostic: Diagnostic,
    },
}
