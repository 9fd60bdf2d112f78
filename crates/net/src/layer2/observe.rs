//! What the kernel has: links, addresses, routes and the other ends of VXLANs, read over rtnetlink.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    BridgePortState, BridgeStpState, InfoBond, InfoBridge, InfoBridgePort, InfoData, InfoMacVlan,
    InfoPortData, InfoVlan, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Device, Kind, Observed, PortState, Route};
use crate::Error;
use crate::route::{Route as Socket, ip_of};

/// Everything that there is in the network namespace of the calling thread.
///
/// # Errors
/// [`Error::Kernel`] when the kernel refuses a dump.
pub fn observe(socket: &mut Socket) -> Result<Observed, Error> {
    let mut dump = |message: RouteNetlinkMessage, what: &str| {
        socket.dump(&message).map_err(|source| Error::kernel(format!("list the {what}"), source))
    };
    let links = dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), "interfaces")?;
    let addresses = dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), "addresses")?;
    let mut bridged = NeighbourMessage::default();
    bridged.header.family = AddressFamily::Bridge;
    let neighbours = dump(RouteNetlinkMessage::GetNeighbour(bridged), "ends of VXLANs")?;
    let routes = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()), "routes")?;

    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    let mut messages = Vec::new();
    for row in links {
        let RouteNetlinkMessage::NewLink(message) = row else { continue };
        if message.header.interface_family != AddressFamily::Unspec {
            continue;
        }
        let name = message.attributes.iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute { Some(name.clone()) } else { None }
        });
        let Some(name) = name else { continue };
        names.insert(message.header.index, name.clone());
        messages.push((name, message));
    }
    let mut observed: Observed =
        messages.iter().map(|(name, message)| (name.clone(), device(message, &names))).collect();
    for row in addresses {
        let RouteNetlinkMessage::NewAddress(message) = row else { continue };
        let Some(device) = names.get(&message.header.index).and_then(|name| observed.get_mut(name)) else {
            continue;
        };
        let Some((net, is_leased)) = address(&message) else { continue };
        let list = if is_leased { &mut device.leased } else { &mut device.addresses };
        list.insert(net);
    }
    for row in neighbours {
        let RouteNetlinkMessage::NewNeighbour(message) = row else { continue };
        let Some(device) = names.get(&message.header.ifindex).and_then(|name| observed.get_mut(name)) else {
            continue;
        };
        if let (Kind::Vxlan { peers, group, .. }, Some(ip)) = (&mut device.kind, other_end(&message))
            && group.map(IpAddr::V4) != Some(ip)
        {
            peers.insert(ip);
        }
    }
    for row in routes {
        let RouteNetlinkMessage::NewRoute(message) = row else { continue };
        let Some((index, route)) = route(&message) else { continue };
        if let Some(device) = names.get(&index).and_then(|name| observed.get_mut(name)) {
            device.routes.insert(route);
        }
    }
    Ok(observed)
}

fn device(message: &LinkMessage, names: &BTreeMap<u32, String>) -> Device {
    let flags = message.header.flags;
    let mut device = Device {
        index: message.header.index,
        kind: Kind::Other { word: String::new() },
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        addresses: BTreeSet::new(),
        leased: BTreeSet::new(),
        routes: BTreeSet::new(),
        controller: None,
        cost: None,
        state: None,
        root: None,
    };
    let name_of = |index: u32| names.get(&index).cloned();
    let (mut over, mut hardware) = (None, None);
    for attribute in &message.attributes {
        if let LinkAttribute::Mtu(mtu) = attribute {
            device.mtu = *mtu;
        } else if let LinkAttribute::Controller(index) = attribute {
            device.controller = name_of(*index);
        } else if let LinkAttribute::Link(index) = attribute {
            over = name_of(*index);
        } else if let LinkAttribute::Address(bytes) = attribute {
            hardware = <[u8; 6]>::try_from(bytes.as_slice()).ok();
        }
    }
    let infos = message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::LinkInfo(infos) = attribute { Some(infos) } else { None }
    });
    for info in infos.into_iter().flatten() {
        if let LinkInfo::Kind(kind) = info {
            if matches!(device.kind, Kind::Other { .. }) {
                device.kind = Kind::Other { word: kind.to_string() };
            }
        } else if let LinkInfo::Data(data) = info {
            if let Some(kind) = kind(data, over.clone(), hardware, names) {
                device.kind = kind;
            }
            device.root = root(data);
        } else if let LinkInfo::PortData(InfoPortData::BridgePort(port)) = info {
            for fact in port {
                if let InfoBridgePort::Cost(cost) = fact {
                    device.cost = Some(*cost);
                } else if let InfoBridgePort::State(state) = fact {
                    device.state = port_state(*state);
                }
            }
        }
    }
    device
}

fn kind(
    data: &InfoData,
    over: Option<String>,
    hardware: Option<[u8; 6]>,
    names: &BTreeMap<u32, String>,
) -> Option<Kind> {
    if let InfoData::Bridge(facts) = data {
        Some(bridge(facts))
    } else if let InfoData::Vxlan(facts) = data {
        Some(vxlan(facts, names))
    } else if let InfoData::Bond(facts) = data {
        Some(bond(facts, names))
    } else if let InfoData::Vlan(facts) = data {
        let id = facts.iter().find_map(|fact| if let InfoVlan::Id(id) = fact { Some(*id) } else { None });
        Some(Kind::Vlan { id: id?, over: over? })
    } else if let InfoData::MacVlan(facts) = data {
        let mode = facts
            .iter()
            .find_map(|fact| if let InfoMacVlan::Mode(mode) = fact { Some(u32::from(*mode)) } else { None });
        Some(Kind::Macvlan { mode: mode?, over: over?, mac: hardware })
    } else {
        None
    }
}

fn bond(facts: &[InfoBond], names: &BTreeMap<u32, String>) -> Kind {
    let (mut mode, mut primary, mut miimon) = (0, None, 0);
    for fact in facts {
        if let InfoBond::Mode(value) = fact {
            mode = u8::from(*value);
        } else if let InfoBond::Primary(index) = fact {
            primary = names.get(index).cloned();
        } else if let InfoBond::MiiMon(value) = fact {
            miimon = *value;
        }
    }
    Kind::Bond { mode, primary, miimon }
}

fn bridge(facts: &[InfoBridge]) -> Kind {
    let (mut speaks, mut rank, mut hello, mut forward, mut age) = (false, 0, 0, 0, 0);
    for fact in facts {
        if let InfoBridge::StpState(state) = fact {
            speaks = *state != BridgeStpState::Disabled;
        } else if let InfoBridge::Priority(priority) = fact {
            rank = *priority;
        } else if let InfoBridge::HelloTime(time) = fact {
            hello = *time;
        } else if let InfoBridge::ForwardDelay(time) = fact {
            forward = *time;
        } else if let InfoBridge::MaxAge(time) = fact {
            age = *time;
        }
    }
    Kind::Bridge { stp: speaks, priority: rank, hello_time: hello, forward_delay: forward, max_age: age }
}

fn root(data: &InfoData) -> Option<bool> {
    let InfoData::Bridge(facts) = data else { return None };
    let (mut own, mut root, mut speaks) = (None, None, false);
    for fact in facts {
        if let InfoBridge::BridgeId(id) = fact {
            own = Some(id);
        } else if let InfoBridge::RootId(id) = fact {
            root = Some(id);
        } else if let InfoBridge::StpState(state) = fact {
            speaks = *state != BridgeStpState::Disabled;
        }
    }
    speaks.then(|| own.is_some() && own == root)
}

fn vxlan(facts: &[InfoVxlan], names: &BTreeMap<u32, String>) -> Kind {
    let (mut id, mut local, mut group, mut over, mut port) = (0, None, None, None, 0);
    for fact in facts {
        if let InfoVxlan::Id(value) = fact {
            id = *value;
        } else if let InfoVxlan::Local(ip) = fact {
            local = Some(IpAddr::V4(*ip));
        } else if let InfoVxlan::Local6(ip) = fact {
            local = Some(IpAddr::V6(*ip));
        } else if let InfoVxlan::Group(ip) = fact {
            // The kernel shows the first of several other ends so.
            group = ip.is_multicast().then_some(*ip);
        } else if let InfoVxlan::Link(index) = fact {
            over = names.get(index).cloned();
        } else if let InfoVxlan::Port(value) = fact {
            port = *value;
        }
    }
    Kind::Vxlan { id, local, group, over, port, peers: BTreeSet::new() }
}

fn port_state(state: BridgePortState) -> Option<PortState> {
    let states = [
        (BridgePortState::Disabled, PortState::Disabled),
        (BridgePortState::Listening, PortState::Listening),
        (BridgePortState::Learning, PortState::Learning),
        (BridgePortState::Forwarding, PortState::Forwarding),
        (BridgePortState::Blocking, PortState::Blocking),
    ];
    states.into_iter().find(|(its, _)| *its == state).map(|(_, ours)| ours)
}

/// An address, and whether it has a lease.
fn address(message: &AddressMessage) -> Option<(IpNet, bool)> {
    let (mut local, mut peer, mut is_leased) = (None, None, false);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(ip) = attribute {
            local = Some(*ip);
        } else if let AddressAttribute::Address(ip) = attribute {
            peer = Some(*ip);
        } else if let AddressAttribute::CacheInfo(lease) = attribute {
            is_leased = lease.ifa_valid != u32::MAX;
        }
    }
    let ip = local.or(peer)?;
    let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let net = IpNet::new(ip, message.header.prefix_len).ok()?;
    (!is_link_local).then_some((net, is_leased))
}

/// An end of a VXLAN that gets what is not learned: the entry of all zeros.
fn other_end(message: &NeighbourMessage) -> Option<IpAddr> {
    let (mut is_any, mut ip) = (false, None);
    for attribute in &message.attributes {
        if let NeighbourAttribute::LinkLayerAddress(bytes) = attribute {
            is_any = bytes.iter().all(|byte| *byte == 0);
        } else if let NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) = attribute {
            ip = Some(IpAddr::V4(*address));
        } else if let NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) = attribute {
            ip = Some(IpAddr::V6(*address));
        } else if let NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) = attribute {
            // The message is of the family of bridges, and does not tell that of the address.
            let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from);
            ip = v4.or(v6).ok();
        }
    }
    ip.filter(|_| is_any)
}

/// A route of the main table that somebody made, and its interface. Several ways at once are left out.
fn route(message: &RouteMessage) -> Option<(u32, Route)> {
    let made_by_kernel = matches!(message.header.protocol, RouteProtocol::Kernel | RouteProtocol::Ra);
    if message.header.table != RouteHeader::RT_TABLE_MAIN
        || message.header.kind != RouteType::Unicast
        || made_by_kernel
    {
        return None;
    }
    let (mut index, mut to, mut via, mut metric, mut source) = (None, None, None, None, None);
    for attribute in &message.attributes {
        if let RouteAttribute::Oif(value) = attribute {
            index = Some(*value);
        } else if let RouteAttribute::Destination(address) = attribute {
            to = ip_of(address);
        } else if let RouteAttribute::Gateway(address) = attribute {
            via = ip_of(address);
        } else if let RouteAttribute::Priority(value) = attribute {
            metric = Some(*value);
        } else if let RouteAttribute::PrefSource(address) = attribute {
            source = ip_of(address);
        }
    }
    let any = if message.header.address_family == AddressFamily::Inet {
        IpAddr::from([0; 4])
    } else if message.header.address_family == AddressFamily::Inet6 {
        IpAddr::from([0_u8; 16])
    } else {
        return None;
    };
    let to = IpNet::new(to.unwrap_or(any), message.header.destination_prefix_length).ok()?;
    Some((index?, Route { to, via, metric, source }))
}
