//! How often one source may ask.

use std::collections::BTreeMap;
use std::net::IpAddr;

use relevo_model::Time;

/// Questions of one source in a second.
const RATE: u64 = 1000;
/// Sources that are counted; more are counted together.
const MOST: usize = 4096;

/// A bucket of questions for each source.
#[derive(Debug, Default)]
pub(super) struct Limit {
    /// When the bucket would be full again, nanoseconds.
    full: BTreeMap<IpAddr, u64>,
}

impl Limit {
    /// Whether one more question is answered.
    pub(super) fn allows(&mut self, now: Time, source: IpAddr) -> bool {
        let now = now.as_nanos();
        if self.full.len() >= MOST && !self.full.contains_key(&source) {
            self.full.retain(|_, full| *full > now);
        }
        let key = if self.full.len() >= MOST && !self.full.contains_key(&source) {
            IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
        } else {
            source
        };
        let full = self.full.entry(key).or_insert(now);
        let next = (*full).max(now) + 1_000_000_000 / RATE;
        let allowed = next <= now + 1_000_000_000;
        if allowed {
            *full = next;
        }
        allowed
    }
}
