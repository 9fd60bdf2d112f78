//! Load on a web server or balancer, what came of it, and the paired comparison of Relevo with another balancer.
//!
//! ```text
//! load     clients, as many as asked for, closed or open loop ──► Outcome: counts, latencies, failures by kind
//! sweep    the same load with ever more connections ──► a table and two plots
//! haproxy  ClusterFile ──► haproxy.cfg, and what HAProxy cannot be told
//! compare  both balancers from one cluster file, turn by turn ──► CPU time per request as a ratio
//! ```
//! It knows nothing of how Relevo works inside: a balancer is a program with a file, measured from outside. It is not a
//! test of what answers mean; a run looks at counts, lengths and statuses.

pub mod compare;
pub mod haproxy;
pub mod load;
pub mod stats;
pub mod svg;
pub mod sweep;
