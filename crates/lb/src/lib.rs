//! The data plane: listens for clients, chooses servers, carries requests and answers between them.
//!
//! ```text
//!  Engine ─┬─ worker thread 0..n   one tokio current-thread runtime each, SO_REUSEPORT listeners of every service
//!          │     accept ─► http::connection | http2 | tcp, udp ─► a server of the pool
//!          └─ check thread         probes servers; proto::health decides
//!                │
//!                ▼ a new table (proto::balance), swapped whole; workers read it between requests
//! ```
//! A `Frontend` is a service, a `Backend` is a pool; several services may use one pool. A `Generation` is all of them in one
//! configuration. What outlives a change of the configuration (counters, servers, listening sockets) is shared between
//! generations; each worker goes over to the next one between two events, each connection between two requests.
//!
//! Decisions are made in `relevo_proto`; this room owns the sockets. It does not know virtual addresses (it
//! listens on addresses that may not be here yet, `IP_FREEBIND`), the control API, or the cluster file's text.

mod accept;
mod affinity;
mod backend;
mod bell;
mod cache;
mod carriers;
mod check;
mod clock;
mod connect;
mod counters;
mod crew;
mod engine;
mod figures;
mod former;
mod frontend;
mod gate;
mod generation;
mod handshake;
mod house;
pub mod http;
pub mod http2;
mod idle;
mod listener;
mod local;
pub mod log;
mod pages;
mod persist;
mod population;
mod probe;
mod proxied;
mod queue;
mod reach;
mod relay;
mod rules;
mod search;
mod server;
pub mod shared;
mod slot;
mod snapshot;
mod sources;
mod spent;
mod strangers;
mod stream;
mod tcp;
mod tls;
mod trace;
mod udp;
mod worker;

pub use affinity::{ClientSnapshot, TableSnapshot, Which};
pub use bell::Bell;
pub use crew::WorkerSnapshot;
pub use engine::{Applied, Engine, Settings, StartError};
pub use figures::{Averages, Figures, RESPONSE_BOUNDS};
pub use former::{Former, Known};
pub use generation::ApplyError;
pub use log::TargetError;
pub use probe::{command, ping};
pub use reach::Reach;
pub use relevo_proto::balance::Admin;
pub use relevo_proto::health::State as Health;
pub use snapshot::{PoolSnapshot, ServerSnapshot, ServiceSnapshot, Share, Snapshot};
pub use tls::{AcmeDesk, CertificateSnapshot, TlsError};
