//! What the cluster file says about one node as a director: pure, no kernel in it.

use std::net::Ipv4Addr;

use relevo_model::cluster::{Address, ClusterFile, Group};
use relevo_model::{AddressName, GroupName, NetworkName, NodeName};
use relevo_proto::vrrp::{self, RouterSettings, Settings};

use super::StartError;

/// A group that this node is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: GroupName,
    /// For the machine; one router for each of `legs`.
    pub(super) settings: Settings,
    pub(super) legs: Vec<Leg>,
    pub(super) addresses: Vec<VirtualAddress>,
    /// What moves along with the addresses.
    pub(super) along: super::along::Setup,
    /// Who is told of changes.
    pub(super) notify: Vec<Vec<String>>,
    /// All directors of the group, highest priority first.
    pub(super) directors: Vec<Peer>,
}

/// The group's part on one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) network: NetworkName,
    pub(super) ip: Ipv4Addr,
    pub(super) interface: Option<String>,
    pub(super) vrid: u8,
}

/// An address that moves with the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VirtualAddress {
    pub(super) name: AddressName,
    pub(super) ip: Ipv4Addr,
    pub(super) prefix: u8,
    /// Index into the legs.
    pub(super) leg: usize,
}

/// A director of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) node: NodeName,
    pub(super) priority: u8,
    /// Its address on the group's first network: the source of its adverts there.
    pub(super) source: Option<Ipv4Addr>,
    /// Its addresses on all networks of the group.
    pub(super) addresses: Vec<Ipv4Addr>,
}

/// The groups that `node` is of, in the file's order.
pub(super) fn members(cluster: &ClusterFile, node: &NodeName) -> Result<Vec<Member>, StartError> {
    if cluster.node(node).is_none() {
        let known: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
        return Err(StartError::NoSuchNode { node: node.clone(), known: known.join(", ") });
    }
    let groups = cluster.groups.iter();
    groups.filter_map(|group| Some(member(cluster, node, group, group.priority_of(node)?))).collect()
}

fn member(cluster: &ClusterFile, node: &NodeName, group: &Group, priority: u8) -> Result<Member, StartError> {
    let own: Vec<&Address> =
        cluster.addresses_of(&group.name).filter(|address| address.ip4().is_some()).collect();
    // The order of the file, which is the same on all nodes: the machine decides ties on the first network.
    let networks = cluster.networks.iter().map(|network| &network.name);
    let networks: Vec<&NetworkName> =
        networks.filter(|name| own.iter().any(|address| address.network == **name)).collect();

    let mut legs = Vec::new();
    for network in &networks {
        let missing = || StartError::NotOnNetwork {
            node: node.clone(),
            group: group.name.clone(),
            network: (*network).clone(),
        };
        let address = cluster.node(node).and_then(|node| node.address_on(network)).ok_or_else(missing)?;
        let vrid = *group.vrids.get(*network).ok_or_else(missing)?;
        legs.push(Leg {
            network: (*network).clone(),
            ip: address.ip,
            interface: address.interface.clone(),
            vrid,
        });
    }
    let addresses: Vec<VirtualAddress> = own
        .iter()
        .filter_map(|address| {
            let leg = legs.iter().position(|leg| leg.network == address.network)?;
            Some(VirtualAddress {
                name: address.name.clone(),
                ip: address.ip4()?,
                prefix: address.prefix,
                leg,
            })
        })
        .collect();
    let routers = legs.iter().enumerate().map(|(index, leg)| RouterSettings {
        vrid: leg.vrid,
        source: leg.ip,
        addresses: addresses
            .iter()
            .filter(|address| address.leg == index)
            .map(|address| address.ip)
            .collect(),
        peers: peers_on(cluster, node, group, &leg.network),
    });
    let directors = group.priorities.iter().map(|(name, priority)| Peer {
        node: name.clone(),
        priority: *priority,
        source: networks
            .first()
            .and_then(|network| cluster.node(name)?.address_on(network))
            .map(|address| address.ip),
        addresses: cluster.node(name).map_or_else(Vec::new, |node| {
            networks.iter().filter_map(|network| node.address_on(network)).map(|address| address.ip).collect()
        }),
    });
    Ok(Member {
        name: group.name.clone(),
        settings: Settings {
            routers: routers.collect(),
            priority,
            healthy: group.healthy_priority_of(node).unwrap_or(priority),
            advert: group.advert,
            preempt: group.preempt,
            preempt_delay: group.preempt_delay,
            version: group.version,
            password: group.password.clone(),
        },
        along: super::along::Setup::new(cluster, node, &group.along),
        notify: group.along.notify.clone(),
        directors: directors.collect(),
        legs,
        addresses,
    })
}

/// The group's other directors on a network.
fn peers_on(cluster: &ClusterFile, node: &NodeName, group: &Group, network: &NetworkName) -> Vec<vrrp::Peer> {
    let others = group.priorities.iter().filter(|(name, _)| name != node);
    let peer = |name: &NodeName| {
        let source = cluster.node(name)?.address_on(network)?.ip;
        Some(vrrp::Peer { source, priority: group.healthy_priority_of(name)? })
    };
    others.filter_map(|(name, _)| peer(name)).collect()
}

impl Member {
    /// The name of the node that sends from this address; a router that is not in the file goes by its address.
    pub(super) fn node_of(&self, source: Ipv4Addr) -> NodeName {
        let peer = self.directors.iter().find(|peer| peer.source == Some(source));
        peer.map_or_else(|| NodeName::new(&source.to_string()), |peer| peer.node.clone())
    }

    /// A reason with the names of nodes: `lb1 (10.0.0.1)` where the machine, which knows no names, says `10.0.0.1`.
    pub(super) fn with_names(&self, reason: &str) -> String {
        let named = |word: &str| {
            // An address may end a sentence.
            let bare = word.trim_end_matches('.');
            let ip: Ipv4Addr = bare.parse().ok()?;
            let peer = self.directors.iter().find(|peer| peer.addresses.contains(&ip))?;
            Some(format!("{} ({bare}){}", peer.node, &word[bare.len()..]))
        };
        let ends = |letter: char| !letter.is_ascii_digit() && letter != '.';
        let words = reason.split_inclusive(ends).map(|word| {
            let (word, end) = word.rfind(ends).map_or((word, ""), |at| word.split_at(at));
            named(word).unwrap_or_else(|| word.to_owned()) + end
        });
        words.collect()
    }

    /// Who takes the group when `node` gives it away and all others live: the highest priority, between equal ones the
    /// higher address (RFC 9568 section 6.4.3).
    pub(super) fn successor_of(&self, node: &NodeName) -> Option<&Peer> {
        self.directors
            .iter()
            .filter(|peer| peer.node != *node)
            .max_by_key(|peer| (peer.priority, peer.source))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relevo_model::cluster::{
        Announce, Lab, MacSource, Network, Node, NodeAddress, Role, Scope, VrrpVersion,
    };

    use super::*;

    fn cluster() -> ClusterFile {
        let node = |name: &str, last: u8| Node {
            name: NodeName::new(name),
            roles: vec![Role::Director],
            addresses: ["public", "internal"]
                .iter()
                .enumerate()
                .map(|(net, network)| NodeAddress {
                    network: NetworkName::new(network),
                    ip: Ipv4Addr::new(10, 0, u8::try_from(net).unwrap(), last),
                    ip6: None,
                    interface: None,
                })
                .collect(),
            macs: std::collections::BTreeMap::new(),
        };
        let address = |name: &str, network: &str, ip: [u8; 4]| Address {
            name: AddressName::new(name),
            group: GroupName::new("web"),
            network: NetworkName::new(network),
            ip: std::net::Ipv4Addr::from(ip).into(),
            prefix: 32,
            interface: None,
            label: None,
            scope: Scope::Global,
            watched: true,
        };
        ClusterFile {
            name: "test".to_owned(),
            networks: [("public", "10.0.0.0/24"), ("internal", "10.0.1.0/24")]
                .iter()
                .map(|(name, subnet)| Network {
                    name: NetworkName::new(name),
                    subnet: subnet.parse().unwrap(),
                    mtu: None,
                    subnet6: None,
                })
                .collect(),
            nodes: vec![node("bal1", 1), node("bal2", 2), node("bal3", 3)],
            groups: vec![Group {
                name: GroupName::new("web"),
                vrids: [(NetworkName::new("public"), 51), (NetworkName::new("internal"), 52)].into(),
                priorities: vec![(NodeName::new("bal1"), 150), (NodeName::new("bal2"), 100)],
                advert: Duration::from_millis(100),
                preempt: false,
                version: VrrpVersion::V3,
                password: None,
                bfd: None,
                heartbeat: Vec::new(),
                preempt_delay: Duration::ZERO,
                track_services: true,
                trackers: Vec::new(),
                along: relevo_model::cluster::Along::default(),
                unicast: None,
                hmac: None,
                mac: MacSource::Interface,
                accept: true,
                announce: Announce::default(),
            }],
            addresses: vec![
                address("inside", "internal", [10, 0, 1, 254]),
                address("front", "public", [10, 0, 0, 254]),
            ],
            services: Vec::new(),
            pools: Vec::new(),
            users: Vec::new(),
            acme: Vec::new(),
            dhcp: Vec::new(),
            dns: None,
            log: relevo_model::cluster::AccessLog::default(),
            stats: None,
            peers: None,
            gateways: Vec::new(),
            firewall: relevo_model::cluster::Firewall::default(),
            interfaces: Vec::new(),
            lab: Lab::default(),
        }
    }

    #[test]
    fn a_router_for_each_network_in_the_files_order() {
        let members = members(&cluster(), &NodeName::new("bal2")).unwrap();
        assert_eq!(members.len(), 1);
        let routers = &members[0].settings.routers;
        assert_eq!((routers[0].vrid, routers[0].source), (51, Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(routers[0].addresses, [Ipv4Addr::new(10, 0, 0, 254)]);
        assert_eq!((routers[1].vrid, routers[1].source), (52, Ipv4Addr::new(10, 0, 1, 2)));
        assert_eq!(members[0].settings.priority, 100);
        assert_eq!(members[0].addresses[0].leg, 1);
        assert_eq!(members[0].node_of(Ipv4Addr::new(10, 0, 0, 1)).as_str(), "bal1");
        assert_eq!(members[0].node_of(Ipv4Addr::new(10, 0, 0, 77)).as_str(), "10.0.0.77");
        let named = |text: &str| members[0].with_names(text);
        assert_eq!(
            named("heard nothing from 10.0.0.1 for 3.5 ms"),
            "heard nothing from bal1 (10.0.0.1) for 3.5 ms"
        );
        assert_eq!(named("resigned, 10.0.1.2 took over"), "resigned, bal2 (10.0.1.2) took over");
        assert_eq!(
            named("10.0.0.1, 10.0.0.77 and 10.0.0.2."),
            "bal1 (10.0.0.1), 10.0.0.77 and bal2 (10.0.0.2)."
        );
        assert_eq!(named("no addresses... in ä 1.2"), "no addresses... in ä 1.2");
        assert_eq!(members[0].successor_of(&NodeName::new("bal1")).unwrap().node.as_str(), "bal2");
    }

    #[test]
    fn who_is_of_no_group_has_nothing_to_do() {
        assert!(members(&cluster(), &NodeName::new("bal3")).unwrap().is_empty());
    }

    #[test]
    fn what_the_file_does_not_have_is_named() {
        let message = |cluster: &ClusterFile, node: &str| {
            members(cluster, &NodeName::new(node)).unwrap_err().to_string()
        };
        assert_eq!(
            message(&cluster(), "bal9"),
            "the cluster file has no node bal9; it has: bal1, bal2, bal3"
        );
        let mut without = cluster();
        without.nodes[0].addresses.pop();
        assert_eq!(
            message(&without, "bal1"),
            "node bal1 is of group web, which has an address on network internal, but the node has none there"
        );
    }
}
