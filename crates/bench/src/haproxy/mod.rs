//! A cluster file's services in HAProxy's words: what somebody who knows HAProxy would write for the same wishes. Pure.
//!
//! ```text
//! Service ──► frontend   rules ──► acl, http-request, use_backend
//! Pool    ──► backend    checks ──► option httpchk, tcp-check, external-check
//! ```
//! HAProxy 2.6's words (Debian 12), as its configuration manual explains them. What HAProxy cannot say is left out, and named.
//! Virtual addresses are not HAProxy's business: listeners are at their addresses.

mod backend;
mod check;
mod frontend;
mod global;
mod rules;
mod words;

use std::collections::BTreeSet;

use relevo_model::ClusterFile;
use relevo_model::cluster::{Mode, Service};

/// How HAProxy is set up beyond what the cluster file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Its threads; 0: as many as it chooses.
    pub threads: usize,
    /// What it is told beside what the cluster file says.
    pub tuning: Tuning,
}

/// What HAProxy is told beside what the cluster file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tuning {
    /// Nothing: as it comes.
    #[default]
    Default,
    /// To splice them through pipes of 1 MiB.
    Spliced,
    /// To use buffers of 256 KiB.
    LargeBuffers,
    /// To take connections with their clients' first bytes, wherever Relevo does.
    Deferred,
}

/// HAProxy's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The file's text.
    pub text: String,
    /// What it does not say though the cluster file does, one sentence each.
    pub left_out: Vec<String>,
}

/// Writes the configuration of all services.
pub fn config(cluster: &ClusterFile, options: Options) -> Config {
    let mut out = Config::default();
    global::write(&mut out, cluster, options);
    let mut pools = BTreeSet::new();
    for service in &cluster.services {
        if service.mode == Mode::Udp {
            out.leave_out(format!("service {}: HAProxy does not balance UDP", service.name));
            continue;
        }
        frontend::write(&mut out, cluster, service, options.tuning);
        for name in service.pools() {
            if pools.insert((name.clone(), service.mode == Mode::Http)) {
                backend::write(&mut out, cluster, name, service);
            }
        }
    }
    global::write_stats(&mut out, cluster);
    out
}

/// The backend that a pool is for services of this mode. HAProxy's backends have one mode: a pool that is used in both is two.
fn backend_name(cluster: &ClusterFile, pool: &str, mode: Mode) -> String {
    let used = |service: &Service| {
        service.mode == Mode::Http && service.pools().into_iter().any(|name| name.as_str() == pool)
    };
    if mode != Mode::Http && cluster.services.iter().any(used) {
        format!("{pool}-tcp")
    } else {
        pool.to_owned()
    }
}

impl Config {
    /// A section's first line, after an empty one.
    fn section(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A line within a section.
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str("    ");
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn leave_out(&mut self, what: String) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }
}
