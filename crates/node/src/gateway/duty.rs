//! Connections of the gateway that this director has in mind after it was the way: forgotten once nobody uses it any more.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relevo_model::GroupName;
use relevo_net::conntrack;

use super::{Rules, Way};
use crate::duty::{Duty, Leaving};

/// How long machines may still send to a director that has just given the addresses away. Whoever takes them announces
/// itself more than once within this time.
const STRAYS: Duration = Duration::from_secs(3);

/// Forgets them.
#[derive(Debug)]
pub(crate) struct Forgetting {
    rules: Arc<Rules>,
    /// Groups that went, each with the number of that change.
    left: Arc<Mutex<BTreeMap<GroupName, u64>>>,
    changes: u64,
}

impl Forgetting {
    /// For the ways that stand.
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Self { rules, left: Arc::default(), changes: 0 }
    }

    fn ways_of(&self, group: &GroupName) -> Vec<Way> {
        self.rules.ways().into_iter().filter(|way| way.group == *group).collect()
    }
}

impl Duty for Forgetting {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn take(&mut self, group: &GroupName) -> io::Result<()> {
        // It came back before what was left was forgotten.
        let is_early = self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(group).is_some();
        if is_early {
            forget(&self.ways_of(group));
        }
        Ok(())
    }

    fn leave(&mut self, group: &GroupName, why: Leaving) {
        let ways = self.ways_of(group);
        if ways.is_empty() || why == Leaving::HandedOver {
            return;
        }
        self.changes += 1;
        let number = self.changes;
        self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(group.clone(), number);
        let (left, group) = (Arc::clone(&self.left), group.clone());
        let wait = move || {
            std::thread::sleep(STRAYS);
            let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
            if left.get(&group) == Some(&number) {
                left.remove(&group);
                drop(left);
                forget(&ways);
            }
        };
        // Without a thread they are forgotten when the group comes back.
        let _ = std::thread::Builder::new().name("forget".to_owned()).spawn(wait);
    }
}

/// Forgets the connections of these ways.
pub(super) fn forget(ways: &[Way]) {
    for way in ways {
        // Where everybody may come in nothing is asked of what is tracked.
        if way.way.inbound {
            continue;
        }
        match conntrack::forget(way.way.subnet, way.way.source) {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(
                    gateway = way.way.name,
                    count,
                    "forgot connections of the time as active director"
                );
            }
            Err(error) => {
                tracing::warn!(
                    gateway = way.way.name,
                    "connections of the time as active director stay: {error}"
                );
            }
        }
    }
}
