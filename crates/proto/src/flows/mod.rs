//! Flows that the kernel carries: who has them, and the rules that lead them there.
//!
//! ```text
//!   servers (share, takes new) ──► [`Slots`] ──┐
//!                                              ├──► [`Rules`] ──► text for nft: whole, or what has changed
//!   services (front, pool, idle) ──────────────┘
//! ```
//! A director remembers the flows that it has seen (pins). One that takes an address over has seen none: it finds the
//! slot of each packet by the kernel's hash of the client, and sends it to the slot's servers, all at once. A server that
//! does not know the flow resets it; that reset is dropped, and the answer of the one that does makes a pin. Where the
//! kernel makes no copies they are asked in turn; all directors make the same table, so the first is nearly always right.
//!
//! Pure: it makes tables and texts. Which servers are well comes in; what is done with the texts is the caller's.

mod datagrams;
mod direct;
mod errors;
mod filters;
mod finding;
mod jhash;
mod listing;
mod portions;
mod rules;
mod script;
mod slots;
mod source;
mod synproxy;
#[cfg(test)]
mod tests;

pub use filters::strict_filters;
pub use jhash::{Key, SEED, jhash, slot_of};
pub use listing::{Counted, Existing, Listing, Names};
pub use portions::portions;
pub use rules::{Form, Front, Rules, TABLE};
pub use slots::{CANDIDATES, Member, Slots};
pub use synproxy::{CLAIMED, Synproxy};
