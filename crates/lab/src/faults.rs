//! The damage done to a lab's cables and switches so far. Pure; the keeper makes it real.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Fault;

/// What is unplugged, cut and switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Damage {
    /// Machine and network.
    pub(crate) unplugged: BTreeSet<(String, String)>,
    /// Links, the lesser name first.
    pub(crate) cut: BTreeSet<(String, String)>,
    /// Switches.
    pub(crate) switches_off: BTreeSet<String>,
    /// Switches whose VXLAN is down.
    pub(crate) vxlans_cut: BTreeSet<String>,
    /// Machines that do not hear each other, by network.
    pub(crate) parted: BTreeMap<String, BTreeSet<String>>,
    /// STP priorities that are not the cluster file's, by switch.
    pub(crate) priorities: BTreeMap<String, u16>,
    /// Links whose STP cost is not the cluster file's, the lesser name first.
    pub(crate) costs: BTreeSet<(String, String)>,
}

impl Damage {
    /// The one way to write a link.
    pub(crate) fn link(a: &str, b: &str) -> (String, String) {
        if a <= b { (a.to_owned(), b.to_owned()) } else { (b.to_owned(), a.to_owned()) }
    }

    /// What undoes the settings of switches that were changed.
    pub(crate) fn resets(&self) -> Vec<Fault> {
        let priorities = self.priorities.keys().map(|switch| Fault::ResetPriority { switch: switch.clone() });
        let costs = self.costs.iter().map(|(a, b)| Fault::ResetCost { a: a.clone(), b: b.clone() });
        let vxlans = self.vxlans_cut.iter().map(|switch| Fault::RestoreVxlan { switch: switch.clone() });
        let parted = self.parted.keys().map(|network| Fault::Join { network: network.clone() });
        priorities.chain(costs).chain(vxlans).chain(parted).collect()
    }

    /// Whether the link between two switches is cut.
    pub(crate) fn is_cut(&self, a: &str, b: &str) -> bool {
        self.cut.contains(&Self::link(a, b))
    }
}
