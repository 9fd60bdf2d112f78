//! Which sessions the cluster file wants. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use relevo_model::cluster::{ClusterFile, Family, Group};
use relevo_model::{NetworkName, NodeName};

/// The sessions on one network, in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) network: NetworkName,
    /// What this node speaks from.
    pub(super) source: IpAddr,
    /// Tells which interface it is: the node's own address there, and the interface if it is named.
    pub(super) own: Ipv4Addr,
    pub(super) interface: Option<String>,
    pub(super) wanted: Vec<Wanted>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) node: NodeName,
    pub(super) at: IpAddr,
    pub(super) interval: Duration,
    pub(super) multiplier: u8,
    /// The groups that want it, numbered as the director does.
    pub(super) groups: Vec<usize>,
}

/// One session to each director on each network of the groups that want BFD, in each family that the group has addresses of there;
/// the fastest where several groups share one.
pub(super) fn plan(cluster: &ClusterFile, own: &NodeName) -> Vec<Plan> {
    let mut plans = Vec::new();
    let ours = || cluster.groups.iter().filter(|group| group.priority_of(own).is_some());
    let pairs = cluster.networks.iter().flat_map(|it| [(&it.name, Family::V4), (&it.name, Family::V6)]);
    for (network, family) in pairs {
        let Some(place) = cluster.node(own).and_then(|node| node.address_on(network)) else { continue };
        let Some(source) = place.of(family) else { continue };
        let mut wanted: BTreeMap<NodeName, Wanted> = BTreeMap::new();
        for (number, group) in ours().enumerate() {
            let Some(bfd) = group.bfd.filter(|_| wants(cluster, group, network, family)) else { continue };
            for (node, _) in group.priorities.iter().filter(|(node, _)| node != own) {
                let at = cluster.node(node).and_then(|node| node.address_on(network)?.of(family));
                let Some(at) = at else { continue };
                let session = wanted.entry(node.clone()).or_insert_with(|| Wanted {
                    node: node.clone(),
                    at,
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
                source,
                own: place.ip,
                interface: place.interface.clone(),
                wanted: wanted.into_values().collect(),
            });
        }
    }
    plans
}

/// Whether a group has a router of this family there. One whose addresses only move along is watched over IPv4.
fn wants(cluster: &ClusterFile, group: &Group, network: &NetworkName, family: Family) -> bool {
    let there = || cluster.addresses_of(&group.name).filter(|address| address.network == *network);
    let routed = |family| there().any(|address| address.watched && address.family() == family);
    routed(family) || (family == Family::V4 && !routed(Family::V6) && there().next().is_some())
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
            at: IpAddr::from([10, 0, 0, 1]),
            interval: Duration::from_millis(10),
            multiplier: 5,
            groups: vec![0, 1],
        };
        assert_eq!((plans[0].network.as_str(), &plans[0].wanted), ("lan", &vec![wanted]));
        assert!(plan(&cluster, &NodeName::new("z")).is_empty());

        // A group with both families has a session in each.
        let both = text
            .replace("subnet = \"10.0.0.0/24\"", "subnet = [\"10.0.0.0/24\", \"fd00::/64\"]")
            .replace("lan = \"10.0.0.1\"", "lan = [\"10.0.0.1\", \"fd00::1\"]")
            .replace("lan = \"10.0.0.2\"", "lan = [\"10.0.0.2\", \"fd00::2\"]");
        let both = format!("{both}[address.front6]\nnetwork = \"lan\"\nip = \"fd00::9\"\ngroup = \"web\"\n");
        let plans = plan(&relevo_model::read(&both).cluster.unwrap(), &NodeName::new("b"));
        let sessions: Vec<_> = plans
            .iter()
            .flat_map(|plan| plan.wanted.iter().map(|it| (plan.source, it.at, it.groups.clone())))
            .collect();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            sessions,
            [(ip("10.0.0.2"), ip("10.0.0.1"), vec![0, 1]), (ip("fd00::2"), ip("fd00::1"), vec![0])]
        );
    }
}
