//! The rules of a service: what is decided about a request before a server is chosen.
//!
//! ```text
//!   [[service.NAME.rule]] ──► Rules::new ──► Rules ─┐
//!                                                   ├─► step ─► Rate | Auth: ask, then go on
//!   a head's bytes, the connection ──► Request ─────┘           Done(Verdict)
//! ```
//! Rules are tried from first to last. A rule whose conditions hold does what it says; a pool, a redirect, an answer or a
//! refusal ends the way, everything else lets it go on. Conditions always see the request as the client sent it: a
//! change of a path or a header is seen by the server alone.
//!
//! What is compared, and how:
//! - **host**: without port, without a dot at its end, letters in any case. A server name that is written in Unicode goes
//!   over the wire as `xn--...`; patterns must say it so.
//! - **path**: without the query, letters as written. `%41` is the same as `A`. Where servers differ in what they take for
//!   the same path (`//`, `%2F`, `\`, `;...`), the doubt goes against the request: a rule that guards (deny, tarpit,
//!   `rate_limit`, `basic_auth`) holds if one of the readings matches, any other rule only if all do; of `unless`, the
//!   reverse. Segments `.` and `..` and the byte 0 are answered with 400 if any rule looks at paths. See `path.rs`.
//! - **method**: exactly.
//! - **header**: names in any case; each line of the head is one value, compared whole and exactly, lists are not split;
//!   one of several lines is enough.
//! - **query**: split at `&`; names and values decoded (`%41`, `+`); one of several values is enough.
//! - **cookie**: name and value exactly as sent; one of several is enough.
//! - **source**: the client's address, or the one that a PROXY header names. Addresses of IPv6 are in no network.
//! - **tls**, **`tls_name`**: of the client's connection; the name in any case. Without TLS the name is empty.
//!
//! Not here: counting (`limit.rs` is the counter; who owns it asks), passwords ([`crate::password`]), sockets, answers.

mod condition;
mod edit;
mod limit;
mod path;
mod pattern;
mod request;
mod set;
mod text;
mod trace;

#[cfg(test)]
mod tests;

pub use edit::Changes;
pub use limit::{Allowed, Limiter};
pub use request::{Headers, NoHeaders, Request};
pub use set::{BadRule, Course, Key, Rules, Step, Verdict};
pub use trace::{Outcome, Tried, trace};
