//! DNS for the cluster (RFC 1035): names out of the cluster file and of DHCP leases; everything else is asked elsewhere.
//!
//! ```text
//!   datagram ─► Desk::ask ─► Answer: from the file, from leases, out of the cache, or a refusal
//!                       └──► Forward: ask one of these ─► Desk::answered ─► answer, cached
//! ```
//! Who is not allowed gets no answer at all, so that nobody can be flooded with ours. Not here: sockets, and what is random.

mod cache;
mod desk;
mod limit;
#[cfg(test)]
mod tests;
mod zone;

pub use hickory_proto::op::Message;

pub use desk::{Desk, Figures, Forward, Step};
pub use zone::{Leases, Zone};

/// Largest answer in a datagram, bytes: it is not cut into fragments anywhere (RFC 9715).
pub const MOST_UDP: u16 = 1232;
