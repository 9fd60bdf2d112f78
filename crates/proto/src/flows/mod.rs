//! Flows that the kernel carries: who has them, and the rules that lead them there.
//!
//! ```text
//!   servers (share, takes new) ──► [`Slots`] ──┐
//!                                              ├──► [`Rules`] ──► text for nft: whole, or what has changed
//!   services (front, pool, idle) ──────────────┘
//! ```
//! A director remembers the flows that it has seen (pins). One that takes an address over has seen none: it finds the
//! slot of each packet by the kernel's hash of the client, and guesses the slot's first server. A server that does not
//! know the flow resets it; that reset is dropped, the next packet goes to the slot's next server, and the first answer
//! that is no reset makes a pin. All directors make the same table, so the first guess is nearly always right.
//!
//! Pure: it makes tables and texts. Which servers are well comes in; what is done with the texts is the caller's.

mod direct;
mod errors;
mod jhash;
mod listing;
mod rules;
mod script;
mod slots;
mod source;
#[cfg(test)]
mod tests;

pub use jhash::{Key, SEED, jhash, slot_of};
pub use listing::{Counted, Existing, Listing};
pub use rules::{Form, Front, Rules, TABLE};
pub use slots::{CANDIDATES, Member, Slots};
