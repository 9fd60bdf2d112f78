//! What the cluster file says about one node as a director: pure, no kernel in it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use relevo_model::cluster::{Address, ClusterFile, Family, Group, Hmac, MacSource, NodeAddress, Scope};
use relevo_model::{AddressName, GroupName, NetworkName, NodeName};
use relevo_net::virtual_mac::VirtualLink;
use relevo_net::vrrp_socket::Audience;
use relevo_proto::vrrp::sign::Signing;
use relevo_proto::vrrp::{self, RouterSettings, Settings};

use super::StartError;

/// A group that this node is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: GroupName,
    /// This node.
    pub(super) own: NodeName,
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
    /// How long it does not take part after the start of the process, and of the machine.
    pub(super) delays: [std::time::Duration; 2],
    /// Where its keys are.
    pub(super) keys: Option<PathBuf>,
    /// Least time between the announcements of two addresses.
    pub(super) spacing: std::time::Duration,
}

/// The group's part on one network, in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) network: NetworkName,
    /// Tells which interface it is.
    pub(super) ip: Ipv4Addr,
    pub(super) interface: Option<String>,
    pub(super) family: Family,
    /// Where adverts come from; `None`: the interface's link-local address.
    pub(super) source: Option<IpAddr>,
    pub(super) vrid: u8,
    /// TTL of adverts to single peers; `None`: they go to the multicast group.
    pub(super) unicast: Option<u8>,
    /// That group.
    pub(super) multicast: IpAddr,
    /// The addresses have the virtual router's hardware address.
    pub(super) mac: MacSource,
    /// Whose the interface with it is.
    pub(super) owner: String,
}

/// An address that moves with the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VirtualAddress {
    pub(super) name: AddressName,
    pub(super) ip: IpAddr,
    pub(super) prefix: u8,
    pub(super) network: NetworkName,
    pub(super) site: Site,
    pub(super) scope: Scope,
    pub(super) label: Option<String>,
    /// Whether it is in the adverts.
    pub(super) watched: bool,
}

/// Where an address is put on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// The interface of one of the legs.
    Leg(usize),
    /// The interface of this name.
    Named(String),
    /// The interface with this address of the node, on a network without a leg.
    Own { ip: Ipv4Addr, interface: Option<String> },
}

/// A director of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) node: NodeName,
    pub(super) priority: u8,
    /// Its address on the group's first network: the source of its adverts there.
    pub(super) source: Option<IpAddr>,
    /// Its addresses on all networks of the group.
    pub(super) addresses: Vec<IpAddr>,
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
    let own: Vec<&Address> = cluster.addresses_of(&group.name).collect();
    // The order of the file, which is the same on all nodes: the machine decides ties on the first network.
    let pairs = cluster.networks.iter().flat_map(|it| [(&it.name, Family::V4), (&it.name, Family::V6)]);
    let used = |network: &NetworkName, family| {
        own.iter().any(|it| it.watched && it.network == *network && it.family() == family)
    };
    let mut legs = Vec::new();
    for (network, family) in pairs.filter(|(network, family)| used(network, *family)) {
        let missing = || StartError::NotOnNetwork {
            node: node.clone(),
            group: group.name.clone(),
            network: network.clone(),
        };
        let address = own_on(cluster, node, network).ok_or_else(missing)?;
        let source = address.of(family).ok_or_else(missing)?;
        let from_link = family == Family::V6 && group.unicast.is_none();
        legs.push(Leg {
            network: network.clone(),
            ip: address.ip,
            interface: address.interface.clone(),
            family,
            source: (!from_link).then_some(source),
            vrid: group.vrid_on(network).ok_or_else(missing)?,
            unicast: group.unicast.map(|unicast| unicast.ttl),
            multicast: group.multicast.of(family),
            mac: group.mac,
            owner: VirtualLink::owner(&cluster.name, node),
        });
    }
    let site = |address: &Address| -> Result<Site, StartError> {
        if let Some(name) = &address.interface {
            return Ok(Site::Named(name.clone()));
        }
        let on_network = |leg: &Leg| leg.network == address.network;
        let same = legs.iter().position(|leg| on_network(leg) && leg.family == address.family());
        if let Some(leg) = same.or_else(|| legs.iter().position(on_network)) {
            return Ok(Site::Leg(leg));
        }
        let own = own_on(cluster, node, &address.network).ok_or_else(|| StartError::NotOnNetwork {
            node: node.clone(),
            group: group.name.clone(),
            network: address.network.clone(),
        })?;
        Ok(Site::Own { ip: own.ip, interface: own.interface.clone() })
    };
    let addresses = own.iter().map(|address| {
        Ok(VirtualAddress {
            name: address.name.clone(),
            ip: address.ip,
            prefix: address.prefix,
            network: address.network.clone(),
            site: site(address)?,
            scope: address.scope,
            label: address.label.clone(),
            watched: address.watched,
        })
    });
    let addresses = addresses.collect::<Result<Vec<_>, StartError>>()?;
    let routers = legs.iter().map(|leg| RouterSettings {
        vrid: leg.vrid,
        source: leg.source.unwrap_or(IpAddr::V4(leg.ip)),
        addresses: own
            .iter()
            .filter(|it| it.watched && it.network == leg.network && it.family() == leg.family)
            .map(|address| address.ip)
            .collect(),
        peers: peers_on(cluster, node, group, leg),
    });
    let directors = group.priorities.iter().map(|(name, priority)| Peer {
        node: name.clone(),
        priority: *priority,
        source: legs.first().and_then(|leg| own_on(cluster, name, &leg.network)?.of(leg.family)),
        addresses: legs
            .iter()
            .filter_map(|leg| own_on(cluster, name, &leg.network)?.of(leg.family))
            .collect(),
    });
    Ok(Member {
        name: group.name.clone(),
        own: node.clone(),
        settings: Settings {
            routers: routers.collect(),
            priority,
            healthy: group.healthy_priority_of(node).unwrap_or(priority),
            advert: group.advert,
            preempt: group.preempt,
            preempt_delay: group.preempt_delay,
            version: group.version,
            password: group.password.clone(),
            missed: group.missed,
            unicast: group.unicast,
            multicast: group.multicast,
            signing: group.hmac.as_ref().map(|hmac| signing(&group.name, hmac)).transpose()?,
            announce: group.announce,
        },
        along: super::along::Setup::new(cluster, node, &group.along),
        notify: group.along.notify.clone(),
        directors: directors.collect(),
        legs,
        addresses,
        delays: [group.startup_delay, group.boot_delay],
        keys: group.hmac.as_ref().map(|hmac| hmac.keys.clone()),
        spacing: group.announce.interval,
    })
}

fn own_on<'a>(cluster: &'a ClusterFile, node: &NodeName, network: &NetworkName) -> Option<&'a NodeAddress> {
    cluster.node(node)?.address_on(network)
}

/// The group's other directors on a network.
fn peers_on(cluster: &ClusterFile, node: &NodeName, group: &Group, leg: &Leg) -> Vec<vrrp::Peer> {
    let peer = |name: &NodeName| {
        let source = own_on(cluster, name, &leg.network)?.of(leg.family)?;
        Some(vrrp::Peer { source, priority: group.healthy_priority_of(name)? })
    };
    group.others(node).filter_map(peer).collect()
}

/// Reads the keys of a group.
fn signing(group: &GroupName, hmac: &Hmac) -> Result<Signing, StartError> {
    let keys = keys(&hmac.keys).map_err(|why| StartError::Keys {
        group: group.clone(),
        file: hmac.keys.clone(),
        why,
    })?;
    Ok(Signing { keys, mode: hmac.mode, wall: relevo_net::clock::wall_at_zero() })
}

/// The keys in a file that only its owner can read.
pub(super) fn keys(file: &PathBuf) -> Result<Vec<vrrp::sign::Key>, String> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!("others can read it: chmod 600 {}", file.display()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    vrrp::sign::keys(&text).map_err(|error| error.to_string())
}

impl Leg {
    /// Whom its adverts go to.
    pub(super) const fn audience(&self) -> Audience {
        match self.unicast {
            Some(ttl) => Audience::Peers { ttl },
            None => Audience::Group(self.multicast),
        }
    }
}

impl Member {
    /// The node that this process is.
    pub(super) fn own(&self) -> Option<NodeName> {
        // No two are equal.
        let own = self.directors.iter().find(|one| one.priority == self.settings.priority);
        own.map(|one| one.node.clone())
    }

    /// The name of the node that sends from this address; a router that is not in the file goes by its address.
    pub(super) fn node_of(&self, source: IpAddr) -> NodeName {
        let peer = self.directors.iter().find(|peer| peer.addresses.contains(&source));
        peer.map_or_else(|| NodeName::new(&source.to_string()), |peer| peer.node.clone())
    }

    /// Notes which director a link-local address belongs to, as the file does not tell it: the one with the priority that
    /// comes from there. Returns whether it is news.
    pub(super) fn learn(&mut self, source: IpAddr, priority: u8) -> bool {
        let is_local = matches!(source, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if !is_local || self.directors.iter().any(|peer| peer.addresses.contains(&source)) {
            return false;
        }
        let Some(peer) = self.directors.iter_mut().find(|peer| peer.priority == priority) else {
            return false;
        };
        // Of a director that was replaced by another machine, the last few are enough.
        let local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if peer.addresses.iter().filter(|ip| local(ip)).count() >= MOST_LEARNED
            && let Some(oldest) = peer.addresses.iter().position(local)
        {
            peer.addresses.remove(oldest);
        }
        peer.addresses.push(source);
        true
    }

    /// A reason with the names of nodes: `lb1 (10.0.0.1)` where the machine, which knows no names, says `10.0.0.1`.
    pub(super) fn with_names(&self, reason: &str) -> String {
        let named = |word: &str| {
            // An address may end a sentence.
            let bare = word.trim_end_matches(['.', ':']);
            let ip: IpAddr = bare.parse().ok()?;
            let peer = self.directors.iter().find(|peer| peer.addresses.contains(&ip))?;
            Some(format!("{} ({bare}){}", peer.node, &word[bare.len()..]))
        };
        let ends = |letter: char| !letter.is_ascii_hexdigit() && letter != '.' && letter != ':';
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

/// Link-local addresses that are noted of one director: one for each of its interfaces, and some old ones.
const MOST_LEARNED: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relevo_model::cluster::{
        Announce, MacSource, Multicast, Network, Node, NodeAddress, Role, Scope, VrrpVersion,
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
                drain: Duration::ZERO,
                startup_delay: Duration::ZERO,
                boot_delay: Duration::ZERO,
                track_services: true,
                trackers: Vec::new(),
                along: relevo_model::cluster::Along::default(),
                missed: 3,
                unicast: None,
                multicast: Multicast::default(),
                hmac: None,
                mac: MacSource::Interface,
                accept: true,
                announce: Announce::default(),
            }],
            addresses: vec![
                address("inside", "internal", [10, 0, 1, 254]),
                address("front", "public", [10, 0, 0, 254]),
            ],
            ..ClusterFile::default()
        }
    }

    #[test]
    fn a_router_for_each_network_in_the_files_order() {
        let members = members(&cluster(), &NodeName::new("bal2")).unwrap();
        assert_eq!(members.len(), 1);
        let routers = &members[0].settings.routers;
        assert_eq!((routers[0].vrid, routers[0].source), (51, IpAddr::from([10, 0, 0, 2])));
        assert_eq!(routers[0].addresses, [IpAddr::from([10, 0, 0, 254])]);
        assert_eq!((routers[1].vrid, routers[1].source), (52, IpAddr::from([10, 0, 1, 2])));
        assert_eq!(members[0].settings.priority, 100);
        assert_eq!(members[0].addresses[0].site, Site::Leg(1));
        assert_eq!(members[0].node_of(IpAddr::from([10, 0, 0, 1])).as_str(), "bal1");
        assert_eq!(members[0].node_of(IpAddr::from([10, 0, 0, 77])).as_str(), "10.0.0.77");
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
