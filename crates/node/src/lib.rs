//! The composition root: one process for each node, where the rooms meet.
//!
//! It reads the cluster file, starts the balancer, the director and the control API in this order, waits
//! for a signal, and stops them in the order that a client notices least: the addresses go first, while
//! the balancer still answers. It decides nothing itself.
//!
//! ```text
//!  relevo node run ─► file ─► folders ─► balancer ─► director ─► control socket ─► "ready"
//!                                                                    │
//!            signal ─► director resigns ─► balancer drains ─► socket gone ◄┘
//! ```

mod acme;
mod affinity;
mod bfd;
mod changes;
mod control;
mod dhcp;
pub mod director;
mod disk;
mod dns;
pub mod doctor;
mod duty;
pub mod explain;
pub mod file;
mod flows;
mod folder;
mod gateway;
pub mod incidents;
pub mod layer2;
pub mod logging;
mod moves;
mod notify;
mod ownership;
mod panics;
mod peers;
mod process;
mod reload;
mod seats;
pub mod server;
mod state;
mod stats;
mod track;
mod upgrade;
mod wishes;
mod words;

pub use gateway::GatewayError;
pub use peers::{PeersError, new_key};
pub use process::{Options, RunError, node_of, run};
pub use stats::StatsError;
pub use upgrade::HeirError;

/// An error with its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
