//! What the kernel knows: connections, and interfaces of addresses.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use relevo_net::route::Route;
use relevo_net::sockets;

use super::facts::Virtual;

/// What the kernel has at these places; `None`: unknown.
pub(super) fn connections(places: &BTreeSet<SocketAddr>, closed: bool) -> Option<Vec<sockets::Connection>> {
    let ports: BTreeSet<u16> = places.iter().map(SocketAddr::port).collect();
    let ports: Vec<u16> = ports.into_iter().collect();
    let mut all = sockets::connections(&ports, closed).ok()?;
    all.retain(|one| places.contains(&one.local));
    Some(all)
}

/// The name and the number of the interface of an address.
pub(super) fn interface_of(route: &mut Route, address: &Virtual) -> Option<(String, u32)> {
    if let Some(name) = &address.interface {
        let links = route.links().ok()?;
        return links.into_iter().find(|link| link.name == *name).map(|link| (link.name, link.index));
    }
    let found = route.interface(address.own, None).ok()?;
    Some((found.link.name, found.link.index))
}
