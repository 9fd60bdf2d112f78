//! What the switches and cables make together: loops, islands, tunnels.

use std::collections::BTreeMap;

use super::findings::{Findings, Span};
use super::switches::Switches;
use crate::cluster::{Link, Switch};

/// Checks the graph of switches.
pub(super) fn check(findings: &mut Findings<'_>, switches: &Switches, links: &[(Link, Span)]) {
    loops(findings, switches, links);
    tunnels(findings, switches);
    islands(findings, switches, links);
}

/// A loop storms when no switch of it speaks STP: one that does blocks one of its own ports.
fn loops(findings: &mut Findings<'_>, switches: &Switches, links: &[(Link, Span)]) {
    let mut sets = Sets::default();
    let plain = |name: &str| switches.find(name).is_some_and(|switch| !switch.stp);
    for switch in switches.list.iter().filter(|switch| !switch.stp) {
        if let Some(vxlan) = &switch.vxlan {
            sets.join(&switch.name, &tunnel(vxlan.id));
        }
    }
    for (link, span) in links.iter().filter(|(link, _)| plain(&link.a) && plain(&link.b)) {
        if !sets.join(&link.a, &link.b) {
            let Link { a, b, .. } = link;
            let message =
                format!("the link between `{a}` and `{b}` closes a loop, and no switch of it speaks STP");
            let hint =
                format!("add stp = true to the loop's switches, as to [lab.switch.{a}], or remove the link");
            findings.error(span, message, hint);
        }
    }
}

/// All ends of a VXLAN are on one network, and there are at least two.
fn tunnels(findings: &mut Findings<'_>, switches: &Switches) {
    let mut ends: BTreeMap<u32, Vec<&Switch>> = BTreeMap::new();
    for switch in &switches.list {
        if let Some(vxlan) = &switch.vxlan {
            ends.entry(vxlan.id).or_default().push(switch);
        }
    }
    for (id, ends) in ends {
        match ends.as_slice() {
            [only] => {
                let message = format!("the VXLAN {id} has only one end, switch `{}`", only.name);
                findings.lint(
                    &switches.span(&only.name),
                    message,
                    "give another switch a vxlan with the same id",
                );
            }
            [first, rest @ ..] => {
                for other in rest.iter().filter(|other| other.network != first.network) {
                    let message = format!(
                        "the VXLAN {id} joins network `{}` of switch `{}` with network `{}`",
                        first.network, first.name, other.network
                    );
                    findings.error(&switches.span(&other.name), message, "give it another id");
                }
            }
            [] => {}
        }
    }
}

/// Every switch should reach the others of its network.
fn islands(findings: &mut Findings<'_>, switches: &Switches, links: &[(Link, Span)]) {
    let mut sets = Sets::default();
    for (link, _) in links {
        sets.join(&link.a, &link.b);
    }
    for switch in &switches.list {
        if let Some(vxlan) = &switch.vxlan {
            sets.join(&switch.name, &tunnel(vxlan.id));
        }
    }
    let mut first: BTreeMap<&str, &Switch> = BTreeMap::new();
    for switch in &switches.list {
        let home = *first.entry(&switch.network).or_insert(switch);
        if sets.root(&home.name) != sets.root(&switch.name) {
            let message =
                format!("switch `{}` has no way to `{}` of the same network", switch.name, home.name);
            findings.lint(
                &switches.span(&switch.name),
                message,
                "add a [[lab.link]], or a vxlan with the same id",
            );
        }
    }
}

/// A name no switch can have.
fn tunnel(id: u32) -> String {
    format!("vxlan {id}")
}

/// Sets of joined names (union-find).
#[derive(Debug, Default)]
struct Sets {
    parents: BTreeMap<String, String>,
}

impl Sets {
    fn root(&self, name: &str) -> String {
        let mut name = name;
        while let Some(parent) = self.parents.get(name) {
            name = parent;
        }
        name.to_owned()
    }

    /// Joins the sets of two names; false if they are one set already.
    fn join(&mut self, a: &str, b: &str) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        let apart = a != b;
        if apart {
            self.parents.insert(a, b);
        }
        apart
    }
}
