//! How a client stays with its server: by a cookie, or by a table.
//!
//! ```text
//!   request head ─► Cookies::visit ──► Visit: server, age ──► chosen while its table keeps it, else another
//!                   Cookies::strip                                             │
//!   answer head  ◄─ Cookies::edit ◄────────────────────────────────────────────┘
//!
//!   key ─► Affinity::find ─► server ...  Affinity::bind ◄─ server that was chosen
//! ```
//! Pure: heads are bytes that were written for the other side (CRLF at each line's end, an empty line at the end),
//! dates and times are arguments. Who may be chosen is [`crate::balance`]'s.

mod affinity;
mod cookie;
mod cookies;
mod key;
mod letters;
mod stamp;
#[cfg(test)]
mod tests;

pub use crate::head::{field, path, path_and_query, query_parameter};
pub use affinity::{Affinity, Entry, Key};
pub use cookie::cookie;
pub use cookies::{Answer, Cookies, Visit};
pub use key::{affinity_key, hash_key};
pub use letters::{Came, Told};
