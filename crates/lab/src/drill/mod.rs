//! Drills: a failure, rehearsed on a running lab, seen with a client's eyes.
//!
//! ```text
//!  catalogue: name, limits, script ─► runner ─► Stage: heal, observe, strike, wait, repair
//!                                       │          │ faults ─► Lab
//!                                       │          └ Observation: probe in a client, watch in each director
//!                                       └─► Record ─► report::measure ─► DrillReport
//! ```
//!
//! A drill knows nothing of how the cluster fails over; it only makes the fault, looks, and undoes it.

mod catalogue;
mod each;
mod facts;
mod layers;
mod moving;
mod observation;
mod runner;
mod scripts;
mod serving;
mod split;
mod stage;
mod surviving;

pub use catalogue::{Drill, catalogue, find};
pub use facts::Facts;
pub use observation::Observation;
pub use runner::{Outcome, RunOptions, run};
pub use stage::{Stage, Stop};
