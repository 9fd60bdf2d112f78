//! The words of Relevo: names, time, the cluster file and its mistakes.
//!
//! Every other room speaks in these types. This room is pure: it reads no file, no clock and no network;
//! text and time come in as arguments. It does not know how anything is done, only what is wanted and how
//! to say what is wrong with a wish.

pub mod cluster;
pub mod diagnostic;
pub mod name;
pub mod quantity;
pub mod read;
pub mod reference;
pub mod time;

pub use cluster::ClusterFile;
pub use diagnostic::{Diagnostic, Place, Severity};
pub use name::{
    AcmeName, AddressName, GatewayName, GroupName, NetworkName, NodeName, PoolName, ServerName, ServiceName,
    SwitchName, TrackerName, UsersName,
};
pub use read::{Reading, read};
pub use time::Time;
