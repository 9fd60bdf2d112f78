//! What a cluster file wants of a node's interfaces. Pure, but for where its own addresses are now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use relevo_model::ClusterFile;
use relevo_model::cluster::{
    BondMode, Interface, InterfaceKind, MacvlanMode, Node, Underlay, VxlanDevice, VxlanPeers, mtu_of,
};

use super::{Kind, Observed, Wanted, Wish};

/// What `node` shall have. What was observed tells on which interface an address of the file is, and what ports are.
pub fn wanted(cluster: &ClusterFile, node: &Node, observed: &Observed) -> Wanted {
    let own: Vec<&Interface> =
        cluster.interfaces.iter().filter(|interface| interface.is_on(&node.name)).collect();
    let mut wishes: BTreeMap<&str, Wish> = BTreeMap::new();
    for interface in &own {
        wishes.insert(&interface.name, wish(cluster, node, &own, interface, observed));
    }
    let mut ports: BTreeMap<&str, (&Interface, Option<u32>)> = BTreeMap::new();
    for interface in &own {
        for port in interface.ports() {
            let cost = match &interface.kind {
                InterfaceKind::Bridge(bridge) => bridge.cost.iter().find(|(name, _)| name == port),
                InterfaceKind::Vxlan(_)
                | InterfaceKind::Bond(_)
                | InterfaceKind::Vlan { .. }
                | InterfaceKind::Macvlan { .. } => None,
            };
            ports.insert(port, (interface, cost.map(|(_, cost)| u32::from(*cost))));
        }
    }
    for (port, (interface, cost)) in &ports {
        if let Some(wish) = wishes.get_mut(port) {
            wish.controller = Some(interface.name.clone());
            wish.cost = *cost;
        }
    }
    let mut devices = Vec::new();
    // A port that is there already: only that it belongs to its bridge and is up. An address of it that moves to one of
    // ours does not stay.
    let moved: BTreeSet<IpNet> = wishes.values().flat_map(|wish| wish.addresses.iter().copied()).collect();
    for (port, (interface, cost)) in &ports {
        if wishes.contains_key(port) {
            continue;
        }
        let present = observed.get(*port);
        let addresses = present.map(|device| device.addresses.clone()).unwrap_or_default();
        let kept = addresses.into_iter().filter(|net| !moved.iter().any(|moved| moved.addr() == net.addr()));
        let kind = present.map_or_else(|| Kind::Other { word: String::new() }, |device| device.kind.clone());
        let wish = Wish {
            kind,
            mtu: None,
            addresses: kept.collect(),
            up: true,
            controller: Some(interface.name.clone()),
            cost: *cost,
            routes: BTreeSet::new(),
        };
        devices.push(((*port).to_owned(), Some(wish)));
    }
    for name in in_order(&wishes, &own) {
        devices.extend(wishes.remove(name.as_str()).map(|wish| (name, Some(wish))));
    }
    Wanted { devices }
}

fn wish(
    cluster: &ClusterFile,
    node: &Node,
    own: &[&Interface],
    interface: &Interface,
    observed: &Observed,
) -> Wish {
    let mut addresses: BTreeSet<IpNet> = interface.addresses.iter().copied().collect();
    for address in node.addresses.iter().filter(|one| one.interface.as_deref() == Some(&interface.name)) {
        let Some(network) = cluster.network(&address.network) else { continue };
        addresses.extend(IpNet::new(address.ip.into(), network.subnet.prefix_len()));
        if let (Some(ip), Some(subnet)) = (address.ip6, network.subnet6) {
            addresses.extend(IpNet::new(ip.into(), subnet.prefix_len()));
        }
    }
    // Routes go along with an address that moves here from one of the ports.
    let moves = |net: &IpNet| addresses.iter().any(|wanted| wanted.addr() == net.addr());
    let from = interface.ports().iter().filter_map(|port| observed.get(port));
    let routes =
        from.filter(|device| device.addresses.iter().any(moves)).flat_map(|device| device.routes.clone());
    let routes = routes.collect();
    Wish {
        kind: kind(cluster, node, interface, observed),
        mtu: mtu(cluster, node, own, interface, observed),
        addresses,
        up: true,
        controller: None,
        cost: None,
        routes,
    }
}

/// What the file says, or what is left of the interface that a VXLAN lies on.
fn mtu(
    cluster: &ClusterFile,
    node: &Node,
    own: &[&Interface],
    interface: &Interface,
    observed: &Observed,
) -> Option<u32> {
    let by_file = mtu_of(own, &cluster.networks, node, &interface.name);
    let InterfaceKind::Vxlan(vxlan) = &interface.kind else { return by_file };
    by_file.or_else(|| {
        let below = observed.get(&over(cluster, node, vxlan, observed)?)?;
        Some(below.mtu.saturating_sub(relevo_model::cluster::vxlan_overhead(vxlan.is_ipv6())))
    })
}

fn kind(cluster: &ClusterFile, node: &Node, interface: &Interface, observed: &Observed) -> Kind {
    let hundredths = |time: std::time::Duration| u32::try_from(time.as_millis() / 10).unwrap_or(u32::MAX);
    match &interface.kind {
        InterfaceKind::Bridge(bridge) => Kind::Bridge {
            stp: bridge.stp,
            priority: bridge.priority,
            hello_time: hundredths(bridge.hello_time),
            forward_delay: hundredths(bridge.forward_delay),
            max_age: hundredths(bridge.max_age),
        },
        InterfaceKind::Vxlan(vxlan) => {
            let network = match &vxlan.over {
                Underlay::Network(network) => Some(network),
                Underlay::Interface(_) => None,
            };
            // The kernel takes both ends of one family only.
            let address = |node: &Node| {
                let own = node.address_on(network?)?;
                if vxlan.is_ipv6() { own.ip6.map(IpAddr::V6) } else { Some(IpAddr::V4(own.ip)) }
            };
            let over = over(cluster, node, vxlan, observed);
            // Without an end of its own the kernel takes the device for one of IPv4.
            let there = || {
                let nets = observed.get(over.as_ref()?)?.addresses.iter().map(IpNet::addr);
                nets.filter(|_| vxlan.is_ipv6()).find(IpAddr::is_ipv6)
            };
            let (group, peers) = match &vxlan.peers {
                VxlanPeers::Group(group) => (Some(*group), BTreeSet::new()),
                VxlanPeers::Addresses(list) => {
                    let is_own = |ip: &IpAddr| {
                        observed.values().any(|device| device.addresses.iter().any(|net| net.addr() == *ip))
                    };
                    (None, list.iter().copied().filter(|ip| !is_own(ip)).collect())
                }
                VxlanPeers::Nodes(names) => {
                    let others = names.iter().filter(|name| **name != node.name);
                    (None, others.filter_map(|name| address(cluster.node(name)?)).collect())
                }
            };
            Kind::Vxlan {
                id: vxlan.id,
                local: vxlan.local.or_else(|| address(node)).or_else(there),
                group,
                over,
                port: vxlan.port,
                peers,
            }
        }
        InterfaceKind::Bond(bond) => Kind::Bond {
            mode: match bond.mode {
                BondMode::BalanceRr => 0,
                BondMode::ActiveBackup => 1,
                BondMode::BalanceXor => 2,
                BondMode::Broadcast => 3,
                BondMode::Lacp => 4,
                BondMode::BalanceTlb => 5,
                BondMode::BalanceAlb => 6,
            },
            primary: bond.primary.clone(),
            miimon: u32::try_from(bond.miimon.as_millis()).unwrap_or(u32::MAX),
        },
        InterfaceKind::Vlan { id, over } => Kind::Vlan { id: *id, over: over.clone() },
        InterfaceKind::Macvlan { mode, over, mac } => Kind::Macvlan {
            mode: match mode {
                MacvlanMode::Private => 1,
                MacvlanMode::Vepa => 2,
                MacvlanMode::Bridge => 4,
                MacvlanMode::Passthru => 8,
            },
            over: over.clone(),
            mac: *mac,
        },
    }
}

/// The interface that a VXLAN lies on: the named one, or that of the node's own address.
fn over(cluster: &ClusterFile, node: &Node, vxlan: &VxlanDevice, observed: &Observed) -> Option<String> {
    let network = match &vxlan.over {
        Underlay::Interface(name) => return Some(name.clone()),
        Underlay::Network(network) => network,
    };
    let address = node.address_on(network)?;
    cluster.network(network)?;
    let carries =
        |device: &super::Device| device.addresses.iter().any(|net| net.addr() == IpAddr::V4(address.ip));
    let found = observed.iter().find(|(_, device)| carries(device)).map(|(name, _)| name.clone());
    address.interface.clone().or(found)
}

/// Names in the order in which they can be made: what lies under another one first.
fn in_order(wishes: &BTreeMap<&str, Wish>, own: &[&Interface]) -> Vec<String> {
    let below = |name: &str| match wishes.get(name).map(|wish| &wish.kind) {
        Some(Kind::Vlan { over, .. } | Kind::Macvlan { over, .. }) => Some(over.clone()),
        Some(Kind::Vxlan { over, .. }) => over.clone(),
        Some(Kind::Bridge { .. } | Kind::Bond { .. } | Kind::Other { .. }) | None => None,
    };
    let mut order: Vec<String> = Vec::new();
    let mut left: Vec<&str> = own.iter().map(|interface| interface.name.as_str()).collect();
    while !left.is_empty() {
        let count = left.len();
        let waiting = left.clone();
        left.retain(|name| {
            let waits = below(name).is_some_and(|over| {
                over != *name && waiting.contains(&over.as_str()) && !order.contains(&over)
            });
            if !waits {
                order.push((*name).to_owned());
            }
            waits
        });
        if left.len() == count {
            // The reader refuses circles.
            order.extend(left.iter().map(|name| (*name).to_owned()));
            break;
        }
    }
    order
}
