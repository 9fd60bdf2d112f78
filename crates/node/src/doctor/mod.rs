//! Preflight: what an operator would otherwise find out at the first failover. Looks, asks, changes nothing.
//!
//! ```text
//!   cluster file + this node's name + what its running process says (if there is one)
//!        ├── machine   permissions, limits, sysctls, programs
//!        ├── forwarding  whether a gateway for IPv6 makes this machine deaf to routers
//!        ├── files     keys, certificates
//!        ├── ports     who listens where a service wants to
//!        ├── paths     which way services take, and what is in it
//!        ├── virtual_mac  macvlan, sysctls, switches, for mac = "virtual"
//!        ├── network   interfaces, neighbours, MTU end to end, clocks
//!        └── wire      VRRP adverts that are heard, strangers with our router ids, who answers for the addresses
//! ```
//! Each finding says what was seen and, if it is not good, what to do. What could not be seen is unknown, not good.

mod files;
mod forwarding;
mod machine;
mod network;
mod paths;
mod ports;
mod virtual_mac;
mod wire;

use std::time::Duration;

use relevo_api::types::Status;
use relevo_model::cluster::{Group, NodeAddress, Role};
use relevo_model::{ClusterFile, NodeName};
use serde::Serialize;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Could not be seen.
    Unknown,
    /// It works, but may surprise.
    Doubtful,
    /// It will not work.
    Bad,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, a word or two.
    pub check: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do; empty if nothing.
    pub remedy: String,
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Patient<'a> {
    /// The cluster file.
    pub cluster: &'a ClusterFile,
    /// Which of its nodes this is.
    pub node: &'a NodeName,
    /// What the node's process says; `None`: it does not run.
    pub status: Option<&'a Status>,
    /// How long adverts are listened for; at least as long as three of them take.
    pub listen: Duration,
}

/// Looks at everything; `progress` hears what comes next.
pub fn examine(patient: Patient<'_>, progress: &mut dyn FnMut(&str)) -> Vec<Finding> {
    let mut findings = Findings::default();
    progress("the machine");
    machine::look(patient, &mut findings);
    forwarding::look(patient, &mut findings);
    progress("files");
    files::look(patient, &mut findings);
    let is_director = patient.cluster.node(patient.node).is_some_and(|node| node.is(Role::Director));
    if is_director {
        progress("ports");
        ports::look(patient, &mut findings);
    }
    progress("the kernel's path");
    paths::look(patient, &mut findings);
    progress("the neighbours");
    network::look(patient, &mut findings);
    virtual_mac::look(patient, &mut findings);
    progress("adverts on the wire");
    wire::look(patient, &mut findings);
    findings.0
}

impl<'a> Patient<'a> {
    /// The node's own addresses.
    fn addresses(self) -> &'a [NodeAddress] {
        self.cluster.node(self.node).map_or(&[], |node| &node.addresses)
    }

    /// The groups that the node may hold.
    fn groups(self) -> impl Iterator<Item = &'a Group> {
        let node = self.node;
        self.cluster.groups.iter().filter(move |group| group.priority_of(node).is_some())
    }
}

/// Findings while they are gathered.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, check: &'static str, seen: impl Into<String>) {
        self.add(check, Verdict::Good, seen, "");
    }

    fn unknown(&mut self, check: &'static str, seen: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Verdict::Unknown, seen, remedy);
    }

    fn doubtful(&mut self, check: &'static str, seen: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Verdict::Doubtful, seen, remedy);
    }

    fn bad(&mut self, check: &'static str, seen: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Verdict::Bad, seen, remedy);
    }

    fn add(
        &mut self,
        check: &'static str,
        verdict: Verdict,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(Finding { check, verdict, seen: seen.into(), remedy: remedy.into() });
    }
}
