//! Directors with two paths between them: the network of the addresses, where adverts go, and a heartbeat, where only the
//! channel goes. Either fails, in one direction or both; directors die and return.
//!
//! The story of a run is drawn from its seed, of one of these plots:
//!
//! | plot | what must be true |
//! |---|---|
//! | [`Plot::AddressesOnly`]: the heartbeat stays whole | never two holders for longer than a change takes |
//! | [`Plot::Both`]: anything | after healing one holder, that stays |
//! | [`Plot::HeartbeatReturns`]: both are cut, then the heartbeat alone returns | one holder soon after |
//! | [`Plot::Crash`]: the active one dies, the heartbeat is whole | the next one takes over as fast as without it |
//!
//! Time goes in steps of a millisecond. Kernels, leases and pauses are [`crate::vrrp`]'s.

mod world;

use std::fmt;
use std::time::Duration;

use relevo_model::Time;

pub use world::run;

/// What is done to the directors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// Trouble on the network of the addresses alone.
    AddressesOnly,
    /// Trouble on both, and directors that die.
    Both,
    /// Both are cut, then the heartbeat returns.
    HeartbeatReturns,
    /// The active one dies.
    Crash,
}

/// A mistake that the rules must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// None.
    None,
    /// The active one's word is not believed.
    Deaf,
    /// Nobody yields.
    Stubborn,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two directors held the addresses for too long.
    TwoHolders {
        /// Who.
        nodes: Vec<usize>,
        /// For how long.
        lasted: Duration,
    },
    /// Nobody held them for too long.
    Nobody {
        /// For how long.
        lasted: Duration,
    },
    /// After healing somebody changed.
    Restless {
        /// Who.
        node: usize,
    },
    /// Two actives that heard each other were not told of.
    Untold,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The rule that was broken, and when.
    pub broken: Option<(Time, Violation)>,
    /// Times that somebody became active.
    pub takeovers: u32,
    /// The longest time that two held the addresses.
    pub longest_double: Duration,
    /// Yields that the channel asked for.
    pub yields: u32,
    /// What happened, a line each.
    pub lines: Vec<String>,
}
