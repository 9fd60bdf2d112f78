//! What the cluster file says of moves: which places belong to which group, and where the other directors are. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use relevo_model::cluster::{ClusterFile, MacSource, Mode, Role};
use relevo_model::{GroupName, NodeName, ServiceName};

/// A group that has services of the userspace engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: GroupName,
    pub(super) drain: Duration,
    pub(super) addresses: Vec<Virtual>,
    pub(super) services: Vec<ServiceName>,
}

/// A virtual address with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Virtual {
    pub(super) ip: IpAddr,
    pub(super) ports: BTreeSet<u16>,
    /// The interface's name, if the file has it; else that of `own` is meant.
    pub(super) interface: Option<String>,
    /// It answers with the hardware address of this virtual router.
    pub(super) router: Option<u8>,
    /// This node's address on the network.
    pub(super) own: Ipv4Addr,
    /// The same, of the virtual address's family.
    pub(super) own_same: Option<IpAddr>,
    /// The other directors' addresses there, of its family.
    pub(super) others: BTreeMap<NodeName, IpAddr>,
}

impl Facts {
    /// Those of a node. `in_kernel`: services whose packets take the kernel's path.
    pub(super) fn all(cluster: &ClusterFile, node: &NodeName, in_kernel: impl Fn(&str) -> bool) -> Vec<Self> {
        let groups = cluster.groups.iter().filter(|group| group.priority_of(node).is_some());
        let facts = groups.map(|group| {
            let mut services = BTreeSet::new();
            let mut addresses = Vec::new();
            for address in cluster.addresses_of(&group.name) {
                let mut ports = BTreeSet::new();
                for service in &cluster.services {
                    if service.mode == Mode::Udp || in_kernel(&service.name) {
                        continue;
                    }
                    let own: Vec<SocketAddr> = service.listen.iter().map(|listen| listen.at).collect();
                    let own = own.iter().filter(|at| at.ip() == address.ip).map(SocketAddr::port);
                    let before = ports.len();
                    ports.extend(own);
                    if ports.len() > before {
                        services.insert(service.name.clone());
                    }
                }
                let of = |name: &NodeName| cluster.node(name)?.address_on(&address.network);
                let same = |name: &NodeName| {
                    let own = of(name)?;
                    match address.ip {
                        IpAddr::V4(_) => Some(IpAddr::V4(own.ip)),
                        IpAddr::V6(_) => own.ip6.map(IpAddr::V6),
                    }
                };
                let Some(own) = of(node).filter(|_| !ports.is_empty()) else { continue };
                let others = cluster.nodes.iter().filter(|it| it.is(Role::Director) && it.name != *node);
                addresses.push(Virtual {
                    ip: address.ip,
                    ports,
                    router: match group.mac {
                        MacSource::Interface => None,
                        MacSource::Virtual => group.vrid_on(&address.network),
                    },
                    interface: address.interface.clone().or_else(|| own.interface.clone()),
                    own: own.ip,
                    own_same: same(node),
                    others: others.filter_map(|it| Some((it.name.clone(), same(&it.name)?))).collect(),
                });
            }
            Self {
                name: group.name.clone(),
                drain: group.drain,
                addresses,
                services: services.into_iter().collect(),
            }
        });
        facts.filter(|facts| !facts.addresses.is_empty()).collect()
    }

    /// Where its services listen.
    pub(super) fn places(&self) -> impl Iterator<Item = SocketAddr> {
        let each = self.addresses.iter();
        each.flat_map(|address| address.ports.iter().map(|port| SocketAddr::new(address.ip, *port)))
    }

    /// Whether a service listens at an address of it.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip == ip)
    }
}
