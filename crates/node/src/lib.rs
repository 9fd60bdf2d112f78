//! The composition root: one process per node, where the rooms meet.

pub mod director;
