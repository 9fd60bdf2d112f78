//! Does the steps of a plan, one request to the kernel each.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    BondMode, BridgeStpState, InfoBond, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoMacVlan,
    InfoPortData, InfoPortKind, InfoVlan, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    MacVlanMode,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::libc;
use nix::net::if_::if_nametoindex;

use super::{Kind, Route, Step};
use crate::Error;
use crate::route::{Route as Socket, is_gone, route_address};

/// Does these steps in their order, in the network namespace of the calling thread. Stops at the first that fails: those
/// before it are done.
///
/// # Errors
/// [`Error::Permission`] without `CAP_NET_ADMIN`; [`Error::Kernel`] with the step that the kernel refuses.
pub fn apply(socket: &mut Socket, steps: &[Step]) -> Result<(), Error> {
    for step in steps {
        one(socket, step).map_err(|source| match source.raw_os_error() {
            Some(libc::EOPNOTSUPP) if matches!(step, Step::Create { .. }) => Error::Kernel {
                doing: format!("{step}: this kernel cannot (a module may be missing: bonding, 8021q, vxlan)"),
                source,
            },
            Some(_) | None => Error::kernel(step.to_string(), source),
        })?;
    }
    Ok(())
}

fn one(socket: &mut Socket, step: &Step) -> std::io::Result<()> {
    match step {
        Step::Remove { name } => {
            // What lies on an interface that goes goes with it.
            let removed =
                link(name).and_then(|message| socket.request(RouteNetlinkMessage::DelLink(message), 0));
            match removed {
                Err(error) if is_gone(&error) => Ok(()),
                other => other,
            }
        }
        Step::Create { name, what, mtu } => {
            let mut message = LinkMessage::default();
            message.attributes.push(LinkAttribute::IfName(name.clone()));
            message.attributes.extend(mtu.map(LinkAttribute::Mtu));
            if let Kind::Macvlan { mac: Some(mac), .. } = what {
                message.attributes.push(LinkAttribute::Address(mac.to_vec()));
            }
            if let Kind::Vlan { over, .. } | Kind::Macvlan { over, .. } = what {
                message.attributes.push(LinkAttribute::Link(index(over)?));
            }
            message.attributes.push(LinkAttribute::LinkInfo(info(what, true)?));
            socket.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
        }
        Step::Change { name, what } => {
            let mut message = link(name)?;
            message.attributes.push(LinkAttribute::LinkInfo(info(what, false)?));
            socket.request(RouteNetlinkMessage::NewLink(message), 0)
        }
        Step::Detach { name } => set(socket, name, LinkAttribute::Controller(0)),
        Step::Attach { name, to, bond } => {
            if *bond {
                switch(socket, name, false)?;
            }
            set(socket, name, LinkAttribute::Controller(index(to)?))?;
            if *bond { switch(socket, name, true) } else { Ok(()) }
        }
        Step::Mtu { name, mtu } => set(socket, name, LinkAttribute::Mtu(*mtu)),
        Step::Cost { name, cost } => {
            let data = InfoPortData::BridgePort(vec![InfoBridgePort::Cost(*cost)]);
            let info = vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(data)];
            // A new link that is there already: RTM_SETLINK passes over what is a port's.
            let mut message = link(name)?;
            message.attributes.push(LinkAttribute::LinkInfo(info));
            socket.request(RouteNetlinkMessage::NewLink(message), 0)
        }
        Step::Peer { name, ip, add } => peer(socket, name, *ip, *add),
        Step::Unaddress { name, net } => {
            match socket.request(RouteNetlinkMessage::DelAddress(address(name, *net)?), 0) {
                Err(error) if is_gone(&error) => Ok(()),
                other => other,
            }
        }
        Step::Address { name, net } => socket
            .request(RouteNetlinkMessage::NewAddress(address(name, *net)?), NLM_F_CREATE | NLM_F_REPLACE),
        Step::Switch { name, up } => switch(socket, name, *up),
        Step::Route { name, route } => {
            let message = RouteNetlinkMessage::NewRoute(routed(name, route)?);
            socket.request(message, NLM_F_CREATE | NLM_F_REPLACE)
        }
    }
}

fn index(name: &str) -> std::io::Result<u32> {
    if_nametoindex(name).map_err(std::io::Error::from)
}

fn link(name: &str) -> std::io::Result<LinkMessage> {
    let mut message = LinkMessage::default();
    message.header.index = index(name)?;
    Ok(message)
}

fn set(socket: &mut Socket, name: &str, attribute: LinkAttribute) -> std::io::Result<()> {
    let mut message = link(name)?;
    message.attributes.push(attribute);
    socket.request(RouteNetlinkMessage::SetLink(message), 0)
}

fn switch(socket: &mut Socket, name: &str, up: bool) -> std::io::Result<()> {
    let mut message = link(name)?;
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    socket.request(RouteNetlinkMessage::SetLink(message), 0)
}

/// What an interface is made of. `new`: what only a new one takes goes along.
fn info(what: &Kind, new: bool) -> std::io::Result<Vec<LinkInfo>> {
    let (kind, data) = match what {
        Kind::Bridge { stp, priority, hello_time, forward_delay, max_age } => {
            let state = if *stp { BridgeStpState::KernelStp } else { BridgeStpState::Disabled };
            let facts = vec![
                InfoBridge::ForwardDelay(*forward_delay),
                InfoBridge::HelloTime(*hello_time),
                InfoBridge::MaxAge(*max_age),
                InfoBridge::Priority(*priority),
                InfoBridge::StpState(state),
            ];
            (InfoKind::Bridge, InfoData::Bridge(facts))
        }
        Kind::Vxlan { id, local, group, over, port, .. } => {
            let mut facts = vec![InfoVxlan::Id(*id), InfoVxlan::Port(*port)];
            facts.extend(group.map(InfoVxlan::Group));
            facts.extend(local.map(|local| match local {
                IpAddr::V4(ip) => InfoVxlan::Local(ip),
                IpAddr::V6(ip) => InfoVxlan::Local6(ip),
            }));
            if let Some(over) = over {
                facts.push(InfoVxlan::Link(index(over)?));
            }
            (InfoKind::Vxlan, InfoData::Vxlan(facts))
        }
        Kind::Bond { mode, primary, miimon } => {
            let mut facts = Vec::new();
            if new {
                facts.push(InfoBond::Mode(BondMode::from(*mode)));
            }
            facts.push(InfoBond::MiiMon(*miimon));
            // It can be named only once it is a port.
            if let Some(primary) = primary.as_ref().filter(|_| !new) {
                facts.push(InfoBond::Primary(index(primary)?));
            }
            (InfoKind::Bond, InfoData::Bond(facts))
        }
        Kind::Vlan { id, .. } => (InfoKind::Vlan, InfoData::Vlan(vec![InfoVlan::Id(*id)])),
        Kind::Macvlan { mode, .. } => {
            (InfoKind::MacVlan, InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::from(*mode))]))
        }
        Kind::Other { word } => return Err(std::io::Error::other(format!("nobody can make a {word}"))),
    };
    Ok(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)])
}

fn address(name: &str, net: IpNet) -> std::io::Result<AddressMessage> {
    let mut message = AddressMessage::default();
    message.header.index = index(name)?;
    message.header.prefix_len = net.prefix_len();
    message.header.family = if net.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.attributes = vec![AddressAttribute::Local(net.addr()), AddressAttribute::Address(net.addr())];
    if let IpNet::V4(net) = net
        && net.prefix_len() < 31
    {
        message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
    }
    Ok(message)
}

/// The entry of all zeros: what is not learned goes there too (bridge(8), `fdb append ... self`).
fn peer(socket: &mut Socket, name: &str, ip: IpAddr, add: bool) -> std::io::Result<()> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index(name)?;
    message.header.state = NeighbourState::Permanent;
    message.header.flags = NeighbourFlags::Own;
    let destination = match ip {
        IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
        IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
    };
    message.attributes =
        vec![NeighbourAttribute::LinkLayerAddress(vec![0; 6]), NeighbourAttribute::Destination(destination)];
    if add {
        return socket.request(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_APPEND);
    }
    socket.request(RouteNetlinkMessage::DelNeighbour(message), 0)
}

fn routed(name: &str, route: &Route) -> std::io::Result<RouteMessage> {
    let mut message = RouteMessage::default();
    message.header.address_family =
        if route.to.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.header.scope = if route.via.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.header.destination_prefix_length = route.to.prefix_len();
    message.attributes.push(RouteAttribute::Oif(index(name)?));
    if route.to.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(route_address(route.to.addr())));
    }
    message.attributes.extend(route.via.map(|via| RouteAttribute::Gateway(route_address(via))));
    message.attributes.extend(route.metric.map(RouteAttribute::Priority));
    message.attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(route_address(source))));
    Ok(message)
}
