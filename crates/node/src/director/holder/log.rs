//! What became of a group, as the log and the incidents say it.

use relevo_proto::vrrp::State;
use tracing::{info, warn};

use super::Holder;

impl Holder {
    /// What became of the group comes first, then why: that is how somebody reads who was woken for it.
    pub(super) fn log_change(&self, from: State, to: State, reason: &str) {
        let group = &self.member.name;
        let reason = self.reason(to, reason);
        let kind = match to {
            State::Active => "active",
            State::Backup => "backup",
            State::Fault => "fault",
            State::Init => "ended",
        };
        let now = match to {
            State::Active if from == State::Active => "stays active",
            State::Active => "is active now",
            State::Backup => "is backup now",
            State::Fault => "is in fault now",
            State::Init => "is not taking part now",
        };
        if [from, to].iter().any(|state| matches!(state, State::Active | State::Fault)) {
            let fields = [("group", group.to_string()), ("from", from.to_string()), ("to", to.to_string())];
            crate::incidents::note(kind, &format!("{group} {now}: {reason}"), &fields);
        }
        match to {
            State::Fault => warn!(%group, %from, %to, "{group} {now}: {reason}"),
            State::Init | State::Backup | State::Active => {
                info!(%group, %from, %to, "{group} {now}: {reason}");
            }
        }
    }

    /// Two actives, as adverts tell: the other one is to yield.
    pub(super) fn log_rival(&self, source: &str, priority: u8) {
        let group = &self.member.name;
        let (other, own) = (self.member.with_names(source), self.machine.status().priority);
        let text = format!(
            "{group} is active here and on {other}, which advertises priority {priority}, ours is {own}: this node stays active"
        );
        warn!(%group, %other, "{text}");
        crate::incidents::note("two-actives", &text, &[("group", group.to_string()), ("other", other)]);
    }
}
