//! The damage done to a lab's cables and switches so far. Pure; the keeper makes it real.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What is unplugged, cut and switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Damage {
    /// Machine and network.
    pub(crate) unplugged: BTreeSet<(String, String)>,
    /// Links, the lesser name first.
    pub(crate) cut: BTreeSet<(String, String)>,
    /// Switches.
    pub(crate) switches_off: BTreeSet<String>,
}

impl Damage {
    /// The one way to write a link.
    pub(crate) fn link(a: &str, b: &str) -> (String, String) {
        if a <= b { (a.to_owned(), b.to_owned()) } else { (b.to_owned(), a.to_owned()) }
    }

    /// Whether the link between two switches is cut.
    pub(crate) fn is_cut(&self, a: &str, b: &str) -> bool {
        self.cut.contains(&Self::link(a, b))
    }
}
