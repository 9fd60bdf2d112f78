//! `relevo lab fault`.

use std::process::ExitCode;

use clap::Subcommand;
use relevo_lab::Fault;

use super::{failure, open};
use crate::commands::lab_names::{self, Kind as Names};
use crate::failure::Failure;

/// Arguments of `relevo lab fault`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    /// The lab, if there are several.
    #[arg(long, global = true, add = lab_names::of(Names::Lab))]
    lab: Option<String>,
    #[command(subcommand)]
    fault: Kind,
}

/// A fault or its undo.
#[derive(Debug, Subcommand)]
enum Kind {
    /// Kill every process of a node, as if its power was cut (undo: start).
    Kill {
        /// The node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
    },
    /// Run again what a node runs (undoes kill and stop).
    Start {
        /// The node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
    },
    /// Stop what a node runs in an orderly way, by SIGTERM (undo: start).
    Stop {
        /// The node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
    },
    /// Freeze what a node runs, by SIGSTOP (undo: thaw).
    Freeze {
        /// The node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
    },
    /// Let it go on (undoes freeze).
    Thaw {
        /// The node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
    },
    /// Freeze every process of a node (undo: resume).
    Pause {
        /// The node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
    },
    /// Let them go on (undoes pause).
    Resume {
        /// The node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
    },
    /// Pull a node's cable out of its switch (undo: plug).
    Unplug {
        /// The node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
        /// The network.
        #[arg(add = lab_names::of(Names::Network))]
        network: String,
    },
    /// Put the cable back (undoes unplug).
    Plug {
        /// The node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
        /// The network.
        #[arg(add = lab_names::of(Names::Network))]
        network: String,
    },
    /// Cut the cable between two switches (undo: restore).
    Cut {
        /// One switch.
        #[arg(add = lab_names::of(Names::Switch))]
        a: String,
        /// The other one.
        #[arg(add = lab_names::of(Names::Switch))]
        b: String,
    },
    /// Mend the cable (undoes cut).
    Restore {
        /// One switch.
        #[arg(add = lab_names::of(Names::Switch))]
        a: String,
        /// The other one.
        #[arg(add = lab_names::of(Names::Switch))]
        b: String,
    },
    /// Switch a switch off (undo: switch-on).
    SwitchOff {
        /// The switch.
        #[arg(add = lab_names::of(Names::Switch))]
        switch: String,
    },
    /// Switch it on (undoes switch-off).
    SwitchOn {
        /// The switch.
        #[arg(add = lab_names::of(Names::Switch))]
        switch: String,
    },
    /// Give a switch another STP bridge priority; the lowest is root (undo: reset-priority).
    SetPriority {
        /// The switch.
        #[arg(add = lab_names::of(Names::Switch))]
        switch: String,
        /// 0 to 61440 in steps of 4096.
        priority: u16,
    },
    /// Give it the cluster file's again (undoes set-priority).
    ResetPriority {
        /// The switch.
        #[arg(add = lab_names::of(Names::Switch))]
        switch: String,
    },
    /// Give both ports of a link another STP cost (undo: reset-cost).
    SetCost {
        /// One switch.
        #[arg(add = lab_names::of(Names::Switch))]
        a: String,
        /// The other one.
        #[arg(add = lab_names::of(Names::Switch))]
        b: String,
        /// 1 to 65535.
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        cost: u16,
    },
    /// Give them the cluster file's again (undoes set-cost).
    ResetCost {
        /// One switch.
        #[arg(add = lab_names::of(Names::Switch))]
        a: String,
        /// The other one.
        #[arg(add = lab_names::of(Names::Switch))]
        b: String,
    },
    /// Take a switch's end of its VXLAN down (undo: restore-vxlan).
    CutVxlan {
        /// The switch.
        #[arg(add = lab_names::of(Names::Switch))]
        switch: String,
    },
    /// Put it up (undoes cut-vxlan).
    RestoreVxlan {
        /// The switch.
        #[arg(add = lab_names::of(Names::Switch))]
        switch: String,
    },
    /// Part machines of a network from each other: cables stay in, none hears another (undo: join).
    Part {
        /// The network.
        #[arg(add = lab_names::of(Names::Network))]
        network: String,
        /// The machines, two at least.
        #[arg(required = true, num_args = 2.., add = lab_names::of(Names::Machine))]
        machines: Vec<String>,
    },
    /// Let all machines of a network hear each other again (undoes part).
    Join {
        /// The network.
        #[arg(add = lab_names::of(Names::Network))]
        network: String,
    },
    /// Stop what a server node runs, or the server at one of its ports (undo: server-start).
    ServerStop {
        /// The server node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
        /// Only the server at this port.
        port: Option<u16>,
    },
    /// Start it again (undoes server-stop).
    ServerStart {
        /// The server node.
        #[arg(add = lab_names::of(Names::Node))]
        node: String,
    },
}

impl From<Kind> for Fault {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Kill { node } => Self::Kill { node },
            Kind::Start { node } => Self::Start { node },
            Kind::Stop { node } => Self::Stop { node },
            Kind::Freeze { node } => Self::Freeze { node },
            Kind::Thaw { node } => Self::Thaw { node },
            Kind::Pause { node } => Self::Pause { node },
            Kind::Resume { node } => Self::Resume { node },
            Kind::Unplug { node, network } => Self::Unplug { node, network },
            Kind::Plug { node, network } => Self::Plug { node, network },
            Kind::Cut { a, b } => Self::CutLink { a, b },
            Kind::Restore { a, b } => Self::RestoreLink { a, b },
            Kind::SwitchOff { switch } => Self::SwitchOff { switch },
            Kind::SwitchOn { switch } => Self::SwitchOn { switch },
            Kind::SetPriority { switch, priority } => Self::SetPriority { switch, priority },
            Kind::ResetPriority { switch } => Self::ResetPriority { switch },
            Kind::SetCost { a, b, cost } => Self::SetCost { a, b, cost },
            Kind::ResetCost { a, b } => Self::ResetCost { a, b },
            Kind::CutVxlan { switch } => Self::CutVxlan { switch },
            Kind::RestoreVxlan { switch } => Self::RestoreVxlan { switch },
            Kind::Part { network, machines } => Self::Part { network, machines },
            Kind::Join { network } => Self::Join { network },
            Kind::ServerStop { node, port } => Self::ServerStop { node, port },
            Kind::ServerStart { node } => Self::ServerStart { node },
        }
    }
}

/// Runs it.
pub(super) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let fault = Fault::from(args.fault);
    let done = format!("{fault}: done");
    let lab = open(args.lab.as_deref())?;
    let value = serde_json::json!({ "lab": lab.name(), "done": &fault });
    lab.fault(fault).map_err(failure)?;
    match json {
        true => println!("{value}"),
        false => println!("{done}"),
    }
    Ok(ExitCode::SUCCESS)
}
