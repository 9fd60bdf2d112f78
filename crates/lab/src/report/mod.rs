//! What a drill found: events become figures, figures become a verdict, the verdict becomes words or JSON.
//!
//! ```text
//!  probe in the client ────► ProbeEvent ─┐
//!  watch in each director ─► Holding ────┼─► Record ─ measure() ─► Run ─┐
//!  the drill's own steps ──► Marks ──────┘                              ├─► DrillReport ─► words, JSON
//!                                                    Limits ────────────┘
//! ```
//!
//! Everything here is pure: no clock, no process, no socket. The same events always give the same report.

mod event;
mod limits;
mod measure;
mod timeline;
mod verdict;
mod words;

pub use event::{CutReason, Holding, LostReason, Marks, ProbeEvent, Record};
pub use limits::Limits;
pub use measure::{Run, measure};
pub use timeline::timeline;
pub use verdict::{DrillReport, Finding, Gap, Summary, median};
pub use words::{long_connections, render, render_summary};
