//! Clusters out of network namespaces, the faults that hit them, drills and benches.
//!
//! A running lab is one **keeper** process, PID 1 of its own PID namespace, and everything under it: when the
//! keeper dies, the kernel takes the whole lab away. [`Lab`] is the handle to one, from another process.
//!
//! ```text
//!  relevo lab up ──► registry folder ──► keeper (PID 1 inside) ──► holders: one for each node, client and switch
//!        ▲                │                   │  control socket       │  network, mount and host name namespaces
//!        └── Lab ─────────┴───────────────────┘                       └─► relevo node run, relevo origin, ...
//! ```
//!
//! What this room does not know: how VRRP or balancing work. It starts the same program that real nodes run.

mod drawing;
pub mod drill;
mod error;
mod fault;
mod faults;
mod forward;
mod handle;
mod host;
mod inside;
mod interrupts;
mod keeper;
mod look;
pub mod monitor;
mod options;
pub mod origin;
pub mod probe;
mod processes;
mod ready;
mod registry;
pub mod report;
mod rootless;
mod status;
mod take_down;
mod topology;
mod up;

pub use drawing::draw;
pub use error::LabError;
pub use fault::Fault;
pub use handle::Lab;
pub use inside::run_stage;
pub use interrupts::Interrupts;
pub use options::UpOptions;
pub use status::{
    HeldAddress, LabStatus, LinkStatus, MainState, NodeKind, NodeStatus, PlugStatus, PortState, PortStatus,
    ProcessState, ProcessStatus, SwitchStatus, state_word,
};

/// What the lab's calls give back.
pub type Result<T, E = LabError> = std::result::Result<T, E>;
