//! What a server gets that has just come up: a growing part of its weight, and of the places that it has (slow start).
//! Not here: the steps in which it grows ([`balance::slow_start`]).

use relevo_model::Time;
use relevo_model::cluster::Server as Configured;
use relevo_proto::balance;

use super::Backend;
use crate::server::ServerState;

impl Backend {
    /// How many percent of its own it gets now, and when that will be more.
    pub(super) fn warmth(&self, state: &ServerState, now: Time) -> (u16, Option<Time>) {
        match (self.config.slow_start, state.back) {
            (Some(whole), Some(back)) => {
                let up = now.since(back);
                (balance::slow_start(up, whole), balance::next_step(up, whole).map(|after| back + after))
            }
            (None, _) | (_, None) => (100, None),
        }
    }

    /// Most requests or connections at a time now; at least one, or nothing would warm it.
    pub(super) fn most_now(&self, config: &Configured, state: &ServerState, now: Time) -> Option<u32> {
        let (percent, _) = self.warmth(state, now);
        let part = |most: u32| u64::from(most) * u64::from(percent) / 100;
        let most = state.most(config.max_connections)?;
        Some(u32::try_from(part(most)).unwrap_or(u32::MAX).max(1))
    }

    /// What it weighs beside the others now. Of a weight above 0, at least 1 unless its agent wants nothing.
    pub(super) fn weighs_now(&self, weight: u16, state: &ServerState, now: Time) -> u16 {
        let whole = u32::from(state.agent.share_of(weight));
        let is_static = balance::is_static(&self.config.balance);
        let percent = if is_static { 100 } else { u32::from(self.warmth(state, now).0) };
        u16::try_from((whole * percent).div_ceil(100)).unwrap_or(u16::MAX)
    }
}
