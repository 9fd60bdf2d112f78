//! Three VRRP routers, each a group on one or two networks, and everything that can go wrong around them.
//!
//! ```text
//!   faults(seed) ─► world: true time, event queue
//!                     │ packets: loss, delay, duplicates, partitions, one-way links
//!                     ▼
//!   node: clock (own rate) ─ process (running, paused, dead) ─ Group ─ kernel (addresses as leases)
//!                     │
//!                     ▼ after every event
//!                   check: who holds, who sent what
//! ```
//!
//! A run has two parts: trouble, then healing: all networks whole, all processes running, nothing lost. What must be
//! true at which time is written in [`check`].

pub mod check;
pub mod faults;
pub mod health;
pub mod node;
pub mod wire;
mod world;

pub use check::Violation;
pub use world::{Mutant, Run, run, trace};
