//! Who gets the next request: a table of the servers that may, made once for each change, asked often.
//!
//! ```text
//!   candidates (weight, admin, health) ──► Table::new ──► choose(turn, random, hash, load) ──► server
//!                                            │
//!      in turn, random     [`schedule()`]    ├─ a cycle in which each server stands by its weight
//!      least, first                          ├─ the servers themselves
//!      hash                                  └─ a ring, a Maglev table, or the cycle
//! ```
//! Pure: the shared counter of turns, random numbers, hashes and loads come in as arguments. It opens no
//! connection and does not decide who is up; that is [`crate::health`]. Clients that stay with their server whatever
//! is decided here are [`crate::persistence`]'s.

mod ask;
mod candidate;
mod hash;
mod maglev;
mod ramp;
mod ring;
mod schedule;
mod table;
#[cfg(test)]
mod tests;
mod tried;

pub use ask::{Ask, Choice};
pub use candidate::{Admin, Candidate};
pub use hash::{hash, mix};
pub use ramp::{is_static, next_step, slow_start};
pub use schedule::schedule;
pub use table::Table;
pub use tried::Tried;
