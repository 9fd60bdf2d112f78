//! Which sessions the cluster file wants. Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use relevo_model::cluster::ClusterFile;
use relevo_model::{NetworkName, NodeName};

/// The sessions on one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) network: NetworkName,
    /// This node's own address there, and its interface if it is named.
    pub(super) own: Ipv4Addr,
    pub(super) interface: Option<String>,
    pub(super) wanted: Vec<Wanted>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) node: NodeName,
    pub(super) at: Ipv4Addr,
    pub(super) interval: Duration,
    pub(super) multiplier: u8,
    /// The groups that want it, numbered as the director does.
    pub(super) groups: Vec<usize>,
}

/// One session to each director on each network of the groups that want BFD; the fastest where several groups share one.
pub(super) fn plan(cluster: &ClusterFile, own: &NodeName) -> Vec<Plan> {
    let mut plans = Vec::new();
    let ours = || cluster.groups.iter().filter(|group| group.priority_of(own).is_some());
    for network in cluster.networks.iter().map(|network| &network.name) {
        let Some(place) = cluster.node(own).and_then(|node| node.address_on(network)) else { continue };
        let mut wanted: BTreeMap<NodeName, Wanted> = BTreeMap::new();
        for (number, group) in ours().enumerate() {
            let is_there = cluster.addresses_of(&group.name).any(|address| address.network == *network);
            let Some(bfd) = group.bfd.filter(|_| is_there) else { continue };
            for (node, _) in group.priorities.iter().filter(|(node, _)| node != own) {
                let Some(at) = cluster.node(node).and_then(|node| node.address_on(network)) else { continue };
                let session = wanted.entry(node.clone()).or_insert_with(|| Wanted {
                    node: node.clone(),
                    at: at.ip,
                    interval: bfd.interval,
                    multiplier: bfd.multiplier,
                    groups: Vec::new(),
                });
                session.groups.push(number);
                let detection = |interval: Duration, multiplier: u8| interval * u32::from(multiplier);
                if detection(bfd.interval, bfd.multiplier) < detection(session.interval, session.multiplier) {
                    (session.interval, session.multiplier) = (bfd.interval, bfd.multiplier);
                }
            }
        }
        if !wanted.is_empty() {
            plans.push(Plan {
                network: network.clone(),
                own: place.ip,
                interface: place.interface.clone(),
                wanted: wanted.into_values().collect(),
            });
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_for_each_neighbour_and_network_of_groups_that_want_it() {
        let text = r#"name = "c"
[network.lan]
subnet = "10.0.0.0/24"
[network.store]
subnet = "10.0.1.0/24"
[node.a]
roles = ["director"]
address = { lan = "10.0.0.1", store = "10.0.1.1" }
[node.b]
roles = ["director"]
address = { lan = "10.0.0.2", store = "10.0.1.2" }
[group.web]
vrid = 51
bfd = true
[group.db]
vrid = 52
bfd = { interval = "20ms", multiplier = 3 }
[group.slow]
vrid = 53
[address.front]
network = "lan"
ip = "10.0.0.9"
group = "web"
[address.data]
network = "lan"
ip = "10.0.0.8"
group = "db"
[address.rest]
network = "store"
ip = "10.0.1.9"
group = "slow"
"#;
        let cluster = relevo_model::read(text).cluster.unwrap();
        let plans = plan(&cluster, &NodeName::new("b"));
        assert_eq!(plans.len(), 1, "{plans:?}");
        let wanted = Wanted {
            node: NodeName::new("a"),
            at: Ipv4Addr::new(10, 0, 0, 1),
            interval: Duration::from_millis(10),
            multiplier: 5,
            groups: vec![0, 1],
        };
        assert_eq!((plans[0].network.as_str(), &plans[0].wanted), ("lan", &vec![wanted]));
        assert!(plan(&cluster, &NodeName::new("z")).is_empty());
    }
}
