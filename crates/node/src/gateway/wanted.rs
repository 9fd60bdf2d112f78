//! What rules a cluster file wants on a node, in the words of the net room.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use relevo_model::cluster::{Address, ClusterFile, Family, MacSource, Role};
use relevo_model::{GroupName, NetworkName, NodeName};
use relevo_net::Error;
use relevo_net::firewall::Doors;
use relevo_net::gateway;
use relevo_net::route::Route;
use relevo_net::virtual_mac;

/// A way in one address family, and whose addresses decide about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The group.
    pub(crate) group: GroupName,
    /// The network whose machines use it.
    pub(crate) from: NetworkName,
    /// The network that they get to.
    pub(crate) to: NetworkName,
    /// The virtual address that they have as their router.
    pub(crate) router: Option<IpAddr>,
    /// The rules.
    pub(crate) way: gateway::Way,
}

/// The ways through `node`.
pub(super) fn ways(cluster: &ClusterFile, node: &NodeName) -> Result<Vec<Path>, Error> {
    let mut list = Vec::new();
    for wish in &cluster.gateways {
        let is_member = cluster.group(&wish.group).is_some_and(|group| group.priority_of(node).is_some());
        let network = cluster.network(&wish.from);
        let (Some(network), true) = (network, is_member) else { continue };
        let ip_of = |name: &str| {
            cluster.addresses.iter().find(|address| address.name.as_str() == name).map(|address| address.ip)
        };
        for own in &wish.ways {
            let subnet = match own.family {
                Family::V4 => Some(IpNet::V4(network.subnet)),
                Family::V6 => network.subnet6.map(IpNet::V6),
            };
            let Some(subnet) = subnet else { continue };
            let source = own.source.as_ref().and_then(|name| ip_of(name));
            let way = gateway::Way {
                name: wish.name.to_string(),
                from: interface(cluster, node, &wish.from)?,
                from_also: virtual_interfaces(cluster, node, &wish.from)?,
                subnet,
                to: interface(cluster, node, &wish.to)?,
                to_also: virtual_interfaces(cluster, node, &wish.to)?,
                source,
                inbound: own.inbound,
                served: source.map(|source| served(cluster, source)).unwrap_or_default(),
                proxied: proxied(cluster, subnet),
            };
            list.push(Path {
                group: wish.group.clone(),
                from: wish.from.clone(),
                to: wish.to.clone(),
                router: ip_of(&own.router),
                way,
            });
        }
    }
    Ok(list)
}

/// The ports from 1024 on at which the balancer or the statistics page serves on an address.
fn served(cluster: &ClusterFile, ip: IpAddr) -> Vec<u16> {
    let services = cluster.services.iter().flat_map(|service| &service.listen).map(|listen| listen.at);
    let pages = cluster.stats.iter().flat_map(|stats| stats.listen.iter().copied());
    let here = services.chain(pages).filter(|at| at.ip() == ip || at.ip().is_unspecified());
    let ports: BTreeSet<u16> = here.map(|at| at.port()).filter(|port| *port >= 1024).collect();
    ports.into_iter().collect()
}

/// The servers on a network whose services have the kernel answer SYNs: their connections are opened by those services' rules.
fn proxied(cluster: &ClusterFile, subnet: IpNet) -> Vec<SocketAddr> {
    let services = cluster.services.iter().filter(|service| service.synproxy.is_some());
    let pools = services.filter_map(|service| cluster.pool_of(service));
    let places: BTreeSet<SocketAddr> = pools.flat_map(|pool| &pool.servers).map(|server| server.at).collect();
    places.into_iter().filter(|at| subnet.contains(&at.ip())).collect()
}

/// What is only for whom; `None`: the file does not want to know.
pub(super) fn doors(cluster: &ClusterFile, node: &NodeName) -> Result<Option<Doors>, Error> {
    if !cluster.firewall.cluster_ports {
        return Ok(None);
    }
    let directors = cluster.nodes.iter().filter(|node| node.is(Role::Director));
    let own = directors.flat_map(|node| &node.addresses);
    let directors =
        own.flat_map(|address| [Some(IpAddr::V4(address.ip)), address.ip6.map(IpAddr::V6)]).flatten();
    let dhcp = match cluster.dhcp.as_slice() {
        [] => None,
        list => {
            let on_it = list.iter().map(|dhcp| &dhcp.network).filter(|network| on(cluster, node, network));
            let mut names = Vec::new();
            for network in on_it {
                names.push(interface(cluster, node, network)?);
                names.extend(virtual_interfaces(cluster, node, network)?);
            }
            Some(names)
        }
    };
    let dns = cluster.dns.as_ref();
    Ok(Some(Doors {
        directors: directors.collect(),
        peers: cluster.peers.as_ref().map(|peers| peers.port),
        bfd: cluster.groups.iter().any(|group| group.bfd.is_some()),
        dhcp,
        dns: dns.map(|dns| dns.listen.iter().map(|listen| listen.ip).collect()).unwrap_or_default(),
        dns_for: dns.map(|dns| dns.allow.clone()).unwrap_or_default(),
    }))
}

fn on(cluster: &ClusterFile, node: &NodeName, network: &NetworkName) -> bool {
    cluster.node(node).is_some_and(|node| node.address_on(network).is_some())
}

/// The interface that carries the node's own address on a network.
fn interface(cluster: &ClusterFile, node: &NodeName, network: &NetworkName) -> Result<String, Error> {
    let address = cluster.node(node).and_then(|node| node.address_on(network));
    let (ip, name) =
        address.map_or((Ipv4Addr::UNSPECIFIED, None), |address| (address.ip, address.interface.as_deref()));
    Ok(Route::open()?.interface(ip, name)?.link.name)
}

/// The interfaces with virtual hardware addresses that the node has on a network, there or not.
fn virtual_interfaces(
    cluster: &ClusterFile,
    node: &NodeName,
    network: &NetworkName,
) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for group in
        cluster.groups.iter().filter(|it| it.mac == MacSource::Virtual && it.priority_of(node).is_some())
    {
        let Some(vrid) = group.vrid_on(network) else { continue };
        for family in [Family::V4, Family::V6] {
            let is_there = |it: &Address| it.watched && it.network == *network && it.family() == family;
            if cluster.addresses_of(&group.name).any(is_there) {
                names.push(virtual_mac::name(family, vrid, &interface(cluster, node, network)?));
            }
        }
    }
    Ok(names)
}

/// The addresses that only forward, of the groups of `node`.
pub(super) fn closed(cluster: &ClusterFile, node: &NodeName) -> Vec<IpAddr> {
    let groups = cluster.groups.iter().filter(|group| !group.accept && group.priority_of(node).is_some());
    groups.flat_map(|group| cluster.addresses_of(&group.name)).map(|address| address.ip).collect()
}
