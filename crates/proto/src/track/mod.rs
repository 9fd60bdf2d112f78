//! Trackers: what a director sees of its surroundings becomes its priority, or a fault.
//!
//! ```text
//!  looks (up, down, a number, unknown)
//!        │  rise, fall: so many in a row
//!        │  delay: and for so long
//!        ▼
//!   Tracker: Reading ──► reverse ──► Effect (nothing, a weight, fault)
//!                                        │ those of all trackers of a group
//!                                        ▼
//!                                   Standing: priority 1 to 254, and perhaps a fault
//! ```
//!
//! **Unknown is a value.** A tracker that has not looked yet, or whose look says nothing, changes nothing: it neither lowers
//! the priority nor raises it, nor is it a fault, unless `at_start` says what to take for granted.
//!
//! Not here: how anything is looked at, and what a group does with its standing ([`crate::vrrp`]).

mod tracker;

#[cfg(test)]
mod tests;

pub use tracker::{Changed, Reading, Settings, Tracker};

/// What a tracker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing.
    Unknown,
    /// It is as it should be.
    Up,
    /// It is not.
    Down,
}

/// What a tracker does to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// This is added to the priority; -253 to 254.
    Weight(i16),
    /// The group gives way.
    Fault,
}

/// How a director stands in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// 1 to 254.
    pub priority: u8,
    /// The place of the first tracker for which the group gives way.
    pub fault: Option<usize>,
}

impl Standing {
    /// The sum of all effects on a priority of 1 to 254.
    pub fn of(priority: u8, effects: impl IntoIterator<Item = Effect>) -> Self {
        let mut sum = i64::from(priority);
        let mut fault = None;
        for (place, effect) in effects.into_iter().enumerate() {
            match effect {
                Effect::None => {}
                Effect::Weight(weight) => sum += i64::from(weight),
                Effect::Fault => fault = fault.or(Some(place)),
            }
        }
        Self { priority: u8::try_from(sum.clamp(1, 254)).unwrap_or(254), fault }
    }
}
