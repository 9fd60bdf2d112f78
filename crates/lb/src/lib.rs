//! The data plane: listens for clients, chooses servers, carries requests and answers between them.
//!
//! ```text
//!  Engine ─┬─ worker thread 0..n   one tokio current-thread runtime each, SO_REUSEPORT listeners of every service
//!          │     listener ─► http::connection | tcp ─► pool ─► server
//!          └─ check thread         probes servers; proto::health decides
//!                │
//!                ▼ a new table (proto::balance), swapped whole; workers read it between requests
//! ```
//! Decisions are made in `relevo_proto`; this room owns the sockets. It does not know virtual addresses (it
//! listens on addresses that may not be here yet, `IP_FREEBIND`), the control API, or the cluster file's text.

mod check;
mod clock;
mod connect;
mod counters;
mod engine;
pub mod http;
mod listener;
mod pool;
mod probe;
mod relay;
mod service;
mod slot;
mod snapshot;
mod stream;
mod tcp;
mod worker;

pub use engine::{Engine, Settings, StartError};
pub use relevo_proto::balance::Admin;
pub use relevo_proto::health::State as Health;
pub use snapshot::{ServerSnapshot, ServiceSnapshot};
