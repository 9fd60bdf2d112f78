//! What in the kernel carries flows: the place for another form of it.
//!
//! Above it stands which services there are, who is well, and when what is remembered is not true any more; below it, how
//! a kernel is told. [`Tables`](super::tables::Tables) of nftables are the one form today. Another one (programs of eBPF) needs what
//! [`relevo_proto::flows`] says of slots and of the hash, so that directors of both forms lead a flow to the same server.

use std::fmt::Debug;

use relevo_api::types::ServiceFlows;
use relevo_proto::flows::Front;

use super::wanted::Pools;

/// What shall stand.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// All services, also those that go.
    pub(super) fronts: &'a [Front],
    /// The slots of their pools.
    pub(super) pools: &'a Pools,
    /// Those that were not wanted until now. Connections that the userspace engine has of them stay there.
    pub(super) new: &'a [&'a Front],
}

/// What was counted since it stands.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) services: Vec<ServiceFlows>,
    /// Pieces of packets that were refused.
    pub(super) fragments: u64,
}

/// A form. Errors are for operators: why it cannot be done here.
pub(super) trait Carrier: Debug + Send + Sync {
    /// Makes what stands what is wanted; what is remembered of flows stays. After an error the userspace engine must be
    /// able to serve everybody.
    fn put(&self, wanted: &Wanted<'_>) -> Result<(), String>;

    /// Looks whether somebody has taken away what these services need. Then the next [`put`](Self::put) sets it up again.
    fn look(&self, fronts: &[Front]);

    /// Takes everything away, if something stands.
    fn remove(&self) -> Result<(), String>;

    /// Forgets which server has which flow of these services.
    fn forget(&self, fronts: &[&Front]) -> Result<(), String>;

    /// What was counted for these services.
    fn counts(&self, fronts: &[Front]) -> Result<Counts, String>;
}
