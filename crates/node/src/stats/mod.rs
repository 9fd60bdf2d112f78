//! The statistics page, like the one of HAProxy, with its CSV; the same as JSON, and for Prometheus.
//!
//! ```text
//!  Source (the node) ─► report ─┬─► page, table   /stats        for people, with actions for admins
//!                       rates ──┤   csv           /stats;csv    for scripts that know HAProxy's
//!                               ├─► json          /stats.json
//!                               └─► metrics       /metrics      for Prometheus
//! ```
//! Only this room knows the page's addresses and forms. It decides nothing about servers: it hands wishes to the node, as the
//! control API does. It speaks HTTP in clear: it belongs on an address of the inside.

mod access;
mod answer;
mod checked;
mod csv;
mod form;
mod json;
mod metrics;
mod page;
mod rates;
pub(crate) mod report;
mod server;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use relevo_model::ClusterFile;

pub(crate) use server::Server;
pub use server::StatsError;

/// What the page shows and changes.
pub(crate) trait Source: Send + Sync + 'static {
    /// The cluster file that is followed now: who may look, and what is refreshed how often.
    fn cluster(&self) -> Arc<ClusterFile>;

    /// This moment; without rates.
    fn report(&self) -> report::Report;

    /// Does what an admin wishes for a server of a pool. May write to the disk.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn set(&self, wish: Wish, pool: &str, server: &str, who: &str) -> Result<(), String>;
}

/// What an admin can wish for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It takes work.
    Ready,
    /// It finishes what it has.
    Drain,
    /// It gets nothing and is not checked; what it has may finish.
    Maint,
    /// The same, and what it has is cut.
    Cut,
}

impl Wish {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "ready" => Some(Self::Ready),
            "drain" => Some(Self::Drain),
            "maint" => Some(Self::Maint),
            "cut" => Some(Self::Cut),
            _ => None,
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Ready => "Set to READY",
            Self::Drain => "Set to DRAIN",
            Self::Maint => "Set to MAINT",
            Self::Cut => "Set to MAINT and cut",
        }
    }
}
