//! Who gets the next request: a table of the servers that may, made once for each change, asked often.
//!
//! ```text
//!   candidates (weight, admin, health) ──► Table::new ──► turn(n) | least(load)  ──► server
//! ```
//! Pure: the shared counter of turns and the loads come in as arguments. It opens no connection and does
//! not decide who is up; that is [`crate::health`].

mod schedule;
mod table;
#[cfg(test)]
mod tests;

pub use schedule::schedule;
pub use table::{Candidate, Table, Tried};

/// What the operator wants of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admin {
    /// Takes work while it is up.
    #[default]
    Ready,
    /// Finishes what it has, gets nothing new.
    Drain,
    /// Gets nothing; what it has is cut; it is not checked.
    Stop,
}
