//! What `relevo status` says of moves.

use relevo_api::types::MoveStatus;
use relevo_model::Time;
use relevo_net::clock;

use super::Work;

impl Work {
    pub(super) fn publish(&self) {
        let now = clock::now();
        let left = |until: Time| until.since(now).as_millis().div_ceil(1000) as u64;
        let status = self.groups.iter().map(|group| {
            let status = if let Some((_, until, count)) = group.mover.draining() {
                MoveStatus::Draining { left: count.map(|count| count as u64), seconds: left(until) }
            } else if let Some((to, until)) = group.mover.forwarding() {
                MoveStatus::Forwarding { to: to.into_iter().cloned().collect(), seconds: left(until) }
            } else if group.facts.drain.is_zero() {
                MoveStatus::Unavailable { why: "the cluster file says drain = \"0s\"".to_owned() }
            } else if let Some(why) = &self.problem {
                MoveStatus::Unavailable { why: why.clone() }
            } else {
                MoveStatus::Ready
            };
            (group.facts.name.clone(), status)
        });
        *self.shared.status() = status.collect();
    }
}
