//! From what is to what shall be: the steps, what they cut, and what stands in the way. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Device, Kind, Observed, Route, Wanted, Wish};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "step")]
pub enum Step {
    /// Takes an interface away.
    Remove {
        /// The interface.
        name: String,
    },
    /// Makes one.
    Create {
        /// The interface.
        name: String,
        /// What it is.
        what: Kind,
        /// Its MTU; `None`: the kernel's.
        mtu: Option<u32>,
    },
    /// Changes what can be changed while it is there.
    Change {
        /// The interface.
        name: String,
        /// What it is now.
        what: Kind,
    },
    /// Takes a port out of its bridge or bond.
    Detach {
        /// The port.
        name: String,
    },
    /// Puts a port into one. A bond's is switched off first: the kernel wants it so.
    Attach {
        /// The port.
        name: String,
        /// The bridge or bond.
        to: String,
        /// Whether that is a bond.
        bond: bool,
    },
    /// Gives it an MTU.
    Mtu {
        /// The interface.
        name: String,
        /// Bytes.
        mtu: u32,
    },
    /// Gives a bridge's port its STP cost.
    Cost {
        /// The port.
        name: String,
        /// The cost.
        cost: u32,
    },
    /// Adds another end to a VXLAN, or takes it away.
    Peer {
        /// The VXLAN.
        name: String,
        /// The other end.
        ip: IpAddr,
        /// Whether it is added.
        add: bool,
    },
    /// Takes an address away.
    Unaddress {
        /// The interface.
        name: String,
        /// The address.
        net: IpNet,
    },
    /// Adds one.
    Address {
        /// The interface.
        name: String,
        /// The address.
        net: IpNet,
    },
    /// Switches it on or off.
    Switch {
        /// The interface.
        name: String,
        /// Whether on.
        up: bool,
    },
    /// Adds a route.
    Route {
        /// The interface.
        name: String,
        /// The route.
        route: Route,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remove { name } => write!(f, "remove {name}"),
            Self::Create { name, what, mtu } => {
                write!(f, "make the {} {name}", what.word())?;
                mtu.map_or(Ok(()), |mtu| write!(f, " with an MTU of {mtu}"))
            }
            Self::Change { name, what } => write!(f, "change the {} {name}", what.word()),
            Self::Detach { name } => write!(f, "take {name} out of its bridge or bond"),
            Self::Attach { name, to, .. } => write!(f, "put {name} into {to}"),
            Self::Mtu { name, mtu } => write!(f, "give {name} an MTU of {mtu}"),
            Self::Cost { name, cost } => write!(f, "give {name} an STP cost of {cost}"),
            Self::Peer { name, ip, add: true } => write!(f, "let {name} send to {ip}"),
            Self::Peer { name, ip, add: false } => write!(f, "let {name} not send to {ip} any more"),
            Self::Unaddress { name, net } => write!(f, "take {net} off {name}"),
            Self::Address { name, net } => write!(f, "put {net} on {name}"),
            Self::Switch { name, up: true } => write!(f, "switch {name} on"),
            Self::Switch { name, up: false } => write!(f, "switch {name} off"),
            Self::Route { name, route } => {
                write!(f, "add a route to {} over {name}", route.to)?;
                route.via.map_or(Ok(()), |via| write!(f, " via {via}"))
            }
        }
    }
}

/// What would be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What connections notice of it, in words.
    pub cuts: Vec<String>,
    /// Why it cannot be done, in words; empty: it can.
    pub problems: Vec<String>,
}

/// What was, of all that is wanted: to go back there.
pub fn before(observed: &Observed, wanted: &Wanted) -> Wanted {
    let devices = wanted.devices.iter().map(|(name, _)| {
        let wish = observed.get(name).map(|device| Wish {
            kind: device.kind.clone(),
            mtu: Some(device.mtu),
            addresses: device.addresses.clone(),
            up: device.up,
            controller: device.controller.clone(),
            cost: device.cost,
            routes: device.routes.clone(),
        });
        (name.clone(), wish)
    });
    Wanted { devices: devices.collect() }
}

/// Compares.
pub fn plan(observed: &Observed, wanted: &Wanted) -> Plan {
    let mut plan = Plan::default();
    // What will be there once everything that has to go is gone.
    let mut left = observed.clone();
    for (name, wish) in &wanted.devices {
        let Some(device) = observed.get(name) else { continue };
        let stays = wish.as_ref().is_some_and(|wish| fits(&device.kind, &wish.kind));
        if stays {
            continue;
        }
        if matches!(device.kind, Kind::Other { .. }) {
            let what = device.kind.word();
            plan.problems
                .push(format!("{name} is there and is a {what}: rename it, or give ours another name"));
            continue;
        }
        plan.steps.push(Step::Remove { name: name.clone() });
        for net in &device.addresses {
            plan.cuts.push(format!("{net} is gone with {name} for a moment, or for good"));
        }
        left.remove(name);
        for other in left.values_mut().filter(|other| other.controller.as_ref() == Some(name)) {
            other.controller = None;
        }
    }
    make(&mut plan, &left, wanted);
    join(&mut plan, &left, wanted);
    prefer(&mut plan, &left, wanted);
    tune(&mut plan, &left, wanted);
    address(&mut plan, &left, wanted);
    finish(&mut plan, &left, wanted);
    plan
}

/// The interfaces that shall be there.
fn wishes(wanted: &Wanted) -> impl Iterator<Item = (&String, &Wish)> {
    wanted.devices.iter().filter_map(|(name, wish)| Some((name, wish.as_ref()?)))
}

/// Whether an interface can stay, changed at most.
fn fits(is: &Kind, shall: &Kind) -> bool {
    match (is, shall) {
        (Kind::Bridge { .. }, Kind::Bridge { .. }) | (Kind::Other { .. }, Kind::Other { .. }) => true,
        (Kind::Bond { mode: is, .. }, Kind::Bond { mode: shall, .. }) => is == shall,
        (
            Kind::Vxlan { id: is_id, local: is_local, group: is_group, over: is_over, port: is_port, .. },
            Kind::Vxlan { id, local, group, over, port, .. },
        ) => {
            let over_fits = over.is_none() || over == is_over;
            let local_fits = local.is_none() || local == is_local;
            is_id == id && local_fits && is_group == group && over_fits && is_port == port
        }
        (Kind::Vlan { id: is_id, over: is_over }, Kind::Vlan { id, over }) => is_id == id && is_over == over,
        (Kind::Macvlan { mode: is_mode, over: is_over, mac: is_mac }, Kind::Macvlan { mode, over, mac }) => {
            is_mode == mode && is_over == over && (mac.is_none() || is_mac == mac)
        }
        (_, _) => false,
    }
}

fn make(plan: &mut Plan, left: &Observed, wanted: &Wanted) {
    let will_be = |name: &str| left.contains_key(name) || wishes(wanted).any(|(own, _)| own == name);
    for (name, wish) in wishes(wanted) {
        match left.get(name) {
            None if matches!(wish.kind, Kind::Other { .. }) => {
                plan.problems.push(format!("there is no interface {name} on this node"));
            }
            None => {
                plan.steps.push(Step::Create { name: name.clone(), what: wish.kind.clone(), mtu: wish.mtu });
            }
            Some(device) => {
                if has_changed(&device.kind, &wish.kind) {
                    plan.steps.push(Step::Change { name: name.clone(), what: wish.kind.clone() });
                }
            }
        }
        let over = match &wish.kind {
            Kind::Vlan { over, .. } | Kind::Macvlan { over, .. } => Some(over),
            Kind::Vxlan { over, .. } => over.as_ref(),
            Kind::Bridge { .. } | Kind::Bond { .. } | Kind::Other { .. } => None,
        };
        if let Some(over) = over.filter(|over| !will_be(over)) {
            plan.problems.push(format!("{name} lies on {over}, and there is no such interface on this node"));
        }
        if let Kind::Vxlan { peers, local, .. } = &wish.kind {
            let is_ipv6 = peers.iter().chain(local).any(IpAddr::is_ipv6);
            room(plan, left, wanted, (name, wish), over, is_ipv6);
            let present = match left.get(name).map(|device| &device.kind) {
                Some(Kind::Vxlan { peers, .. }) => peers.clone(),
                Some(_) | None => BTreeSet::new(),
            };
            let step = |ip: &IpAddr, add| Step::Peer { name: name.clone(), ip: *ip, add };
            plan.steps.extend(present.difference(peers).map(|ip| step(ip, false)));
            plan.steps.extend(peers.difference(&present).map(|ip| step(ip, true)));
        }
    }
}

/// Whether what a VXLAN carries fits into what it lies on.
fn room(
    plan: &mut Plan,
    left: &Observed,
    wanted: &Wanted,
    (name, wish): (&String, &Wish),
    over: Option<&String>,
    is_ipv6: bool,
) {
    let Some(over) = over else { return };
    let wished = wishes(wanted).find(|(own, _)| *own == over).and_then(|(_, wish)| wish.mtu);
    let below = wished.or_else(|| left.get(over).map(|device| device.mtu));
    let overhead = relevo_model::cluster::vxlan_overhead(is_ipv6);
    if let (Some(mtu), Some(below)) = (wish.mtu, below)
        && mtu > below.saturating_sub(overhead)
    {
        plan.problems.push(format!(
            "packets of {mtu} bytes in {name} do not fit into {over}, whose MTU is {below}: write at most {}",
            below.saturating_sub(overhead)
        ));
    }
}

/// What the kernel changes without making the interface anew. The other ends of a VXLAN are steps of their own.
fn has_changed(is: &Kind, shall: &Kind) -> bool {
    matches!(shall, Kind::Bridge { .. } | Kind::Bond { .. }) && is != shall
}

fn join(plan: &mut Plan, left: &Observed, wanted: &Wanted) {
    for (name, wish) in wishes(wanted) {
        let is = left.get(name).and_then(|device| device.controller.as_ref());
        if is == wish.controller.as_ref() {
            continue;
        }
        if is.is_some() {
            plan.steps.push(Step::Detach { name: name.clone() });
        }
        let Some(to) = &wish.controller else { continue };
        let found = wishes(wanted).find(|(own, _)| *own == to).map(|(_, wish)| &wish.kind);
        let controller = found.or_else(|| left.get(to).map(|device| &device.kind));
        let is_bond = matches!(controller, Some(Kind::Bond { .. }));
        plan.steps.push(Step::Attach { name: name.clone(), to: to.clone(), bond: is_bond });
        if is_bond && left.get(name).is_some_and(|device| device.up) {
            plan.cuts.push(format!("the link of {name} is down for a moment"));
        }
        if let Some(Kind::Bridge { stp: true, forward_delay, .. }) = controller {
            let seconds = (forward_delay * 2).div_ceil(100);
            plan.cuts.push(format!("{name} passes nothing for {seconds} s while it listens and learns"));
        }
        for net in &wish.addresses {
            plan.cuts
                .push(format!("{net} stays on {name}, where nobody reaches it once it is a port of {to}"));
        }
    }
}

/// The port that a new bond prefers can be named only once it is one.
fn prefer(plan: &mut Plan, left: &Observed, wanted: &Wanted) {
    for (name, wish) in wishes(wanted).filter(|(name, _)| !left.contains_key(*name)) {
        if let Kind::Bond { primary: Some(_), .. } = &wish.kind {
            plan.steps.push(Step::Change { name: name.clone(), what: wish.kind.clone() });
        }
    }
}

fn tune(plan: &mut Plan, left: &Observed, wanted: &Wanted) {
    for (name, wish) in wishes(wanted) {
        let device = left.get(name);
        if let (Some(mtu), Some(device)) = (wish.mtu, device)
            && device.mtu != mtu
        {
            plan.steps.push(Step::Mtu { name: name.clone(), mtu });
            if mtu < device.mtu {
                plan.cuts.push(format!("packets of more than {mtu} bytes do not pass {name} any more"));
            }
        }
        if let Some(cost) = wish.cost.filter(|_| wish.controller.is_some())
            && device.and_then(|device| device.cost) != Some(cost)
        {
            plan.steps.push(Step::Cost { name: name.clone(), cost });
        }
    }
}

fn address(plan: &mut Plan, left: &Observed, wanted: &Wanted) {
    let comes: BTreeMap<IpAddr, &String> = wishes(wanted)
        .flat_map(|(name, wish)| wish.addresses.iter().map(move |net| (net.addr(), name)))
        .collect();
    let of = |name: &str| left.get(name).map(|device| device.addresses.clone()).unwrap_or_default();
    for (name, wish) in wishes(wanted) {
        for net in of(name).difference(&wish.addresses) {
            plan.steps.push(Step::Unaddress { name: name.clone(), net: *net });
            plan.cuts.push(match comes.get(&net.addr()).filter(|to| **to != name) {
                Some(to) => format!("{} moves from {name} to {to}", net.addr()),
                None => format!("{net} leaves {name}: whoever uses it is cut off"),
            });
        }
    }
    for (name, wish) in wishes(wanted) {
        for net in wish.addresses.difference(&of(name)) {
            plan.steps.push(Step::Address { name: name.clone(), net: *net });
        }
    }
}

fn finish(plan: &mut Plan, left: &Observed, wanted: &Wanted) {
    for (name, wish) in wishes(wanted) {
        let is_up = left.get(name).is_some_and(|device| device.up);
        // A bond switches its ports on by itself.
        if is_up != wish.up {
            plan.steps.push(Step::Switch { name: name.clone(), up: wish.up });
        }
    }
    for (name, wish) in wishes(wanted) {
        let gone = |device: &Device| {
            !plan.steps.iter().any(|step| {
            matches!(step, Step::Unaddress { name: own, .. } if own == name && !device.routes.is_empty())
        })
        };
        let present = left.get(name).filter(|device| gone(device)).map(|device| device.routes.clone());
        let missing: Vec<Route> = wish.routes.difference(&present.unwrap_or_default()).cloned().collect();
        plan.steps.extend(missing.into_iter().map(|route| Step::Route { name: name.clone(), route }));
    }
}

#[cfg(test)]
mod tests;
