//! The access log: one line for each request or connection that has ended, and for each that never came to one.
//!
//! Workers format lines into batches of their own, a thread writes them; no worker ever waits for a disk, a pipe or a
//! syslog daemon. What cannot be written in time is dropped and counted. Where nothing is logged, nothing is
//! measured: no clock is read for a request. Where something is logged, `CLOCK_BOOTTIME` is read twice for a usual request,
//! when its head and when its answer's head is there, and once more if the server had to be connected to or the answer took
//! more than one turn; times are whole milliseconds. `CLOCK_MONOTONIC_COARSE` would be cheaper by some 15 ns,
//! but moves in steps of 4 ms on Debian's kernels, which is longer than most answers take.
//!
//! Not here: what a line is about (the engines fill a [`Record`]), and who is logged (`log` of a service).

mod date;
mod haproxy;
mod journal;
mod json;
mod record;
mod stranger;
mod target;
mod termination;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub(crate) use journal::Journal;
pub use record::{Answerer, Captured, HttpPart, Load, Persistence, Record, Timers};
pub use stranger::{Failure, Stranger};
pub use target::TargetError;
pub use termination::{Cause, Phase, Termination};
pub(crate) use writer::AccessLog;
