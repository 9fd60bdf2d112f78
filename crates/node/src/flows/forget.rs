//! What a director remembers of flows is true as long as it is the active one. Later, clients have used their ports for other
//! flows, which it has not seen: a pin of then would lead to the wrong server, whose reset would be taken for the owner's.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relevo_model::GroupName;
use relevo_proto::flows::Front;

use super::Flows;
use crate::duty::{Duty, Leaving};

/// How long packets may still come after a group went.
const STRAYS: Duration = Duration::from_secs(2);

/// Forgets the flows of groups that are not active here any more.
#[derive(Debug)]
pub(crate) struct Forgetful(pub(crate) Arc<Flows>);

impl Duty for Forgetful {
    fn name(&self) -> &'static str {
        "flows"
    }

    fn take(&mut self, group: &GroupName) -> io::Result<()> {
        self.0.state().left.remove(group);
        Ok(())
    }

    fn leave(&mut self, group: &GroupName, why: Leaving) {
        if why != Leaving::HandedOver {
            self.0.state().left.insert(group.clone(), Instant::now() + STRAYS);
            self.0.follow();
        }
    }
}

impl Flows {
    /// Forgets the flows of groups that went long enough ago.
    pub(super) fn forget_left(&self) {
        let mut state = self.state();
        let now = Instant::now();
        let due: Vec<GroupName> =
            state.left.iter().filter(|(_, until)| **until <= now).map(|(group, _)| group.clone()).collect();
        for group in &due {
            state.left.remove(group);
        }
        let is_due = |front: &&Front| state.groups.get(&front.name).is_some_and(|group| due.contains(group));
        let fronts: Vec<Front> = state.fronts.iter().filter(is_due).cloned().collect();
        drop(state);
        self.forget(&fronts);
    }

    /// Forgets all flows.
    pub(super) fn forget_all(&self) {
        self.forget(&self.fronts());
    }

    fn forget(&self, fronts: &[Front]) {
        if let Err(error) = self.carrier.forget(&fronts.iter().collect::<Vec<_>>()) {
            tracing::warn!(error, "flows of the time as active director are not forgotten");
        }
    }
}
