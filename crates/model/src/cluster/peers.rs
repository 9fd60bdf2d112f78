//! How directors watch each other beside VRRP: the authenticated channel between them, and BFD.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// The channel between the directors, `[peers]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peers {
    /// The file with the key that all directors share.
    pub key: PathBuf,
    /// The UDP port of every director, on each network that it shares with another one.
    pub port: u16,
}

/// Bidirectional Forwarding Detection between a group's directors, `bfd` (RFC 5880, RFC 5881).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bfd {
    /// Time between two control packets, both ways: 10 ms to 10 s.
    pub interval: Duration,
    /// A peer is lost when nothing came for this many intervals, 2 to 50.
    pub multiplier: u8,
}
