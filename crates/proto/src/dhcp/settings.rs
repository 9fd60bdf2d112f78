//! What the cluster file says about DHCP on one network, for one director.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use relevo_model::ClusterFile;
use relevo_model::cluster::{Dhcp, NodeAddress};
use twox_hash::XxHash64;

/// What a server has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The cluster file's words.
    pub dhcp: Dhcp,
    /// The network's subnet.
    pub subnet: Ipv4Net,
    /// Addresses that the file gives to somebody: nobody else gets them.
    pub reserved: BTreeSet<Ipv4Addr>,
    /// This director.
    pub origin: u32,
    /// The other directors of the group, if there is a channel to them.
    pub others: BTreeSet<u32>,
}

impl Settings {
    /// For a node; `None`: the file has no such network, or the node is not of the group.
    pub fn new(cluster: &ClusterFile, dhcp: &Dhcp, node: &str) -> Option<Self> {
        let subnet = cluster.network(&dhcp.network)?.subnet;
        let group = cluster.group(&dhcp.group)?;
        group.priority_of(node)?;
        let nodes = cluster.nodes.iter().flat_map(|node| node.addresses.iter().flat_map(NodeAddress::all));
        let addresses = cluster.addresses.iter().map(|address| address.ip);
        let clients = cluster.lab.clients.iter().map(|client| IpAddr::from(client.ip));
        let host = cluster.lab.host.iter().map(|host| IpAddr::from(host.ip));
        let hosts = dhcp.hosts.iter().map(|host| IpAddr::from(host.ip));
        let all = nodes.chain(addresses).chain(clients).chain(host).chain(hosts);
        let reserved = all.filter_map(|ip| match ip {
            IpAddr::V4(ip) => subnet.contains(&ip).then_some(ip),
            IpAddr::V6(_) => None,
        });
        let others =
            group.priorities.iter().filter(|(name, _)| name.as_str() != node && cluster.peers.is_some());
        Some(Self {
            dhcp: dhcp.clone(),
            subnet,
            reserved: reserved.collect(),
            origin: origin_of(node),
            others: others.map(|(name, _)| origin_of(name)).collect(),
        })
    }
}

/// How a director is called among the leases.
pub fn origin_of(node: &str) -> u32 {
    let mut hasher = XxHash64::with_seed(7);
    hasher.write(node.as_bytes());
    (hasher.finish() >> 32) as u32
}
