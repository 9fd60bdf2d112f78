//! What a shared cache may keep, and when it may use it (RFC 9111).
//!
//! ```text
//!   request ─► Ask::of ─► Use the kept answer: Kept::judge ─► fresh: with its age; stale: asked with its validators
//!   answer  ─► Kept::of ─► kept, or not                        304: Kept::of the head that `refreshed` gives
//! ```
//! Pure: heads are bytes, clocks are arguments. Stricter than the RFC in some places: nothing is kept by a guess about
//! its life (section 4.2.2), nothing that sets a cookie, and nothing stale is used.

mod control;
mod date;
mod judge;
mod rewrite;
#[cfg(test)]
mod tests;
mod vary;

pub use date::seconds;
pub use judge::{Ask, Clock, Kept, Verdict};
pub use rewrite::{is_not_modified, not_modified, refreshed, stored, validators};
pub use vary::{Selection, key, matches, selection};
