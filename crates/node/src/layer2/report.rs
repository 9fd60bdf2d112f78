//! What `relevo net verify` says.

use relevo_model::cluster::{ClusterFile, Node};
use relevo_net::layer2::{Device, Kind, PortState};
use serde::Serialize;

use super::Look;

/// What was seen of the interfaces that the file names.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The node.
    pub node: String,
    /// Whether all is as the file wants, and carries traffic.
    pub ok: bool,
    /// The interfaces of the file, in its order.
    pub interfaces: Vec<InterfaceReport>,
    /// What is not as it shall be, in words.
    pub findings: Vec<String>,
}

/// An interface.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceReport {
    /// Its name.
    pub name: String,
    /// The kernel's word for what it is; `missing`: it is not there.
    pub kind: String,
    /// Its MTU, bytes.
    pub mtu: u32,
    /// Whether it is on.
    pub up: bool,
    /// Whether it has a carrier.
    pub carrier: bool,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Whether it is the root of its spanning tree; `None`: it speaks no STP.
    pub root: Option<bool>,
    /// Its ports.
    pub ports: Vec<PortReport>,
}

/// A port of a bridge or a bond.
#[derive(Clone, Debug, Serialize)]
pub struct PortReport {
    /// Its name.
    pub name: String,
    /// Whether it has a carrier.
    pub carrier: bool,
    /// Its STP state; `None`: of a bond.
    pub state: Option<PortState>,
    /// Its STP cost.
    pub cost: Option<u32>,
}

/// Puts it together.
pub(super) fn verdict(cluster: &ClusterFile, node: &Node, look: &Look) -> Verdict {
    let mut findings: Vec<String> = look.plan.problems.clone();
    findings.extend(look.plan.steps.iter().map(|step| format!("not as wanted: {step}")));
    let own = cluster.interfaces.iter().filter(|interface| interface.is_on(&node.name));
    let mut interfaces = Vec::new();
    for interface in own {
        let device = look.observed.get(&interface.name);
        interfaces.push(report(&interface.name, device, look, &mut findings));
    }
    for address in &node.addresses {
        let wanted = cluster.network(&address.network).and_then(|network| network.mtu);
        let carries = |device: &Device| device.addresses.iter().any(|net| net.addr() == address.ip);
        let found = look.observed.iter().find(|(_, device)| carries(device));
        if let (Some(wanted), Some((name, device))) = (wanted, found)
            && device.mtu != wanted
        {
            findings.push(format!(
                "the MTU of {name} is {}, network {} has {wanted}",
                device.mtu, address.network
            ));
        }
    }
    Verdict { node: node.name.to_string(), ok: findings.is_empty(), interfaces, findings }
}

fn report(name: &str, device: Option<&Device>, look: &Look, findings: &mut Vec<String>) -> InterfaceReport {
    let Some(device) = device else {
        return InterfaceReport {
            name: name.to_owned(),
            kind: "missing".to_owned(),
            mtu: 0,
            up: false,
            carrier: false,
            addresses: Vec::new(),
            root: None,
            ports: Vec::new(),
        };
    };
    let ports = look.observed.iter().filter(|(_, port)| port.controller.as_deref() == Some(name));
    let ports: Vec<PortReport> = ports
        .map(|(name, port)| PortReport {
            name: name.clone(),
            carrier: port.carrier,
            state: port.state,
            cost: port.cost,
        })
        .collect();
    for port in ports.iter().filter(|port| !port.carrier) {
        findings.push(format!("{} has no carrier", port.name));
    }
    if device.up && !device.carrier && ports.is_empty() && !matches!(device.kind, Kind::Bridge { .. }) {
        findings.push(format!("{name} has no carrier"));
    }
    InterfaceReport {
        name: name.to_owned(),
        kind: device.kind.word().to_owned(),
        mtu: device.mtu,
        up: device.up,
        carrier: device.carrier,
        addresses: device.addresses.iter().map(ToString::to_string).collect(),
        root: device.root,
        ports,
    }
}
