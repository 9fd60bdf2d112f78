//! What the kernel knows: connections, and interfaces of addresses.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use relevo_model::cluster::Family;
use relevo_net::route::Route;
use relevo_net::sockets;
use relevo_net::virtual_mac;

use super::facts::Virtual;

/// What the kernel has at these places; `None`: unknown.
pub(super) fn connections(places: &BTreeSet<SocketAddr>, closed: bool) -> Option<Vec<sockets::Connection>> {
    let ports: BTreeSet<u16> = places.iter().map(SocketAddr::port).collect();
    let ports: Vec<u16> = ports.into_iter().collect();
    let mut all = sockets::connections(&ports, closed).ok()?;
    all.retain(|one| places.contains(&one.local));
    Some(all)
}

/// Where the packets of an address come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The interface that the other directors are reached by: its name and its number.
    pub(super) base: (String, u32),
    /// The one over it that has the address, if it answers with the hardware address of the virtual router.
    pub(super) own: Option<(String, u32)>,
}

impl Found {
    pub(super) fn all(&self) -> impl Iterator<Item = &(String, u32)> {
        [&self.base].into_iter().chain(&self.own)
    }
}

/// The interfaces of an address.
pub(super) fn interfaces_of(route: &mut Route, address: &Virtual) -> Option<Found> {
    let links = route.links().ok()?;
    let named = |name: &str| links.iter().find(|link| link.name == name).map(|link| link.index);
    let base = match &address.interface {
        Some(name) => (name.clone(), named(name)?),
        None => {
            let found = route.interface(address.own, None).ok()?;
            (found.link.name, found.link.index)
        }
    };
    let own = address.router.map(|vrid| {
        let family = if address.ip.is_ipv4() { Family::V4 } else { Family::V6 };
        virtual_mac::name(family, vrid, &base.0)
    });
    let own = own.and_then(|name| named(&name).map(|index| (name, index)));
    Some(Found { base, own })
}
