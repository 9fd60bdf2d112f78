//! Settings of switches that are changed while they run: STP priority, STP cost, the end of a VXLAN.

use super::{link_exists, one_of};
use crate::LabError;
use crate::Result;
use crate::keeper::build::{self, Built};
use crate::topology::BRIDGE;

/// Gives a switch a priority; `None`: the cluster file's.
pub(super) fn priority(built: &mut Built, switch: &str, priority: Option<u16>) -> Result<()> {
    let switches = || built.cluster.lab.switches.iter().filter(|switch| switch.stp);
    one_of("switch with STP", switch, switches().map(|switch| switch.name.as_str()))?;
    let own = switches().find(|one| one.name.as_str() == switch).map(|one| one.priority);
    let Some(wanted) = priority.or(own) else { return Ok(()) };
    if wanted > 61_440 || wanted % 4096 != 0 {
        return Err(LabError::wrong(format!("the STP priority {wanted} is not 0 to 61440 in steps of 4096")));
    }
    build::tune(built, switch, "ip", &format!("link set dev {BRIDGE} type bridge priority {wanted}\n"))?;
    match priority {
        Some(priority) => built.damage.priorities.insert(switch.to_owned(), priority),
        None => built.damage.priorities.remove(switch),
    };
    Ok(())
}

/// Gives both ports of a link a cost; `None`: the cluster file's, or the kernel's.
pub(super) fn cost(built: &mut Built, a: &str, b: &str, cost: Option<u16>) -> Result<()> {
    let link = link_exists(built, a, b)?;
    for (own, far) in [(a, b), (b, a)] {
        let has_stp = built.cluster.lab.switches.iter().any(|one| one.name.as_str() == own && one.stp);
        if !has_stp {
            return Err(LabError::wrong(format!("{own} does not speak STP: its ports have no cost")));
        }
        let commands = built.topology.cost_commands(own, far, cost);
        build::tune(built, own, "bridge", &commands)?;
    }
    match cost {
        Some(_) => built.damage.costs.insert(link),
        None => built.damage.costs.remove(&link),
    };
    Ok(())
}

/// Takes the end of a switch's VXLAN down or puts it up.
pub(super) fn vxlan(built: &mut Built, switch: &str, whole: bool) -> Result<()> {
    let switches = built.cluster.lab.switches.iter().filter(|switch| switch.vxlan.is_some());
    one_of("switch with a VXLAN", switch, switches.map(|switch| switch.name.as_str()))?;
    match whole {
        true => built.damage.vxlans_cut.remove(switch),
        false => built.damage.vxlans_cut.insert(switch.to_owned()),
    };
    build::apply_damage(built, &[switch])
}
