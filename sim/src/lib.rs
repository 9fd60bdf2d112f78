//! A seeded simulator over the pure rooms. Never shipped.
//!
//! One `u64` decides everything: the cluster, the faults, every delay and every lost packet. A run with the same seed is
//! the same run, so that a failure is replayed with its seed and told as a trace.
//!
//! - [`random`]: the generator.
//! - [`ownership`]: three directors with a heartbeat beside the network of the addresses.
//! - [`vrrp`]: three VRRP routers on one or two networks, with a kernel that keeps addresses as leases.
//!
//! This room reads no clock and no environment; the tests in `tests/` do.

pub mod ownership;
pub mod random;
pub mod vrrp;
