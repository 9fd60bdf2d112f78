//! One module for each command.

pub(crate) mod ask;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod example;
pub(crate) mod explain;
pub(crate) mod flows;
pub(crate) mod incidents;
pub(crate) mod key;
pub(crate) mod lab;
pub(crate) mod leases;
pub(crate) mod man;
pub(crate) mod net;
pub(crate) mod node;
pub(crate) mod origin;
pub(crate) mod ownership;
pub(crate) mod reference;
pub(crate) mod reload;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod surroundings;
pub(crate) mod switchover;
pub(crate) mod upgrade;
