//! What the cluster file says to the machine. Pure.

use std::net::IpAddr;

use relevo_model::cluster::{ClusterFile, Group};
use relevo_model::{NetworkName, NodeName};
use relevo_proto::ownership::{GroupSettings, Settings, pace};
use relevo_proto::vrrp::timer;

use crate::peers::Peers;

/// For the groups that `own` is of, in the file's order.
pub(super) fn settings(cluster: &ClusterFile, own: &NodeName, peers: &Peers) -> Settings {
    let ours = cluster.groups.iter().filter(|group| group.priority_of(own).is_some());
    let paces = ours.clone().map(|group| pace_of(group).0);
    let period = paces.min().unwrap_or_else(|| pace(std::time::Duration::from_millis(100), None).0);
    Settings {
        own: own.clone(),
        groups: ours.map(|group| settings_of(cluster, own, group)).collect(),
        paths: peers.paths().into_iter().map(|path| (path.to, path.network)).collect(),
        period,
    }
}

fn pace_of(group: &Group) -> (std::time::Duration, std::time::Duration) {
    pace(group.advert, group.bfd.map(|bfd| bfd.interval * u32::from(bfd.multiplier)))
}

fn settings_of(cluster: &ClusterFile, own: &NodeName, group: &Group) -> GroupSettings {
    let has = |network: &NetworkName| cluster.addresses_of(&group.name).any(|one| one.network == *network);
    let networks = || cluster.networks.iter().map(|network| &network.name).filter(|name| has(name));
    let first = networks().next();
    let address = |node: &NodeName| {
        let address = cluster.node(node)?.address_on(first?)?;
        Some((node.clone(), IpAddr::from(address.ip)))
    };
    GroupSettings {
        name: group.name.clone(),
        directors: group.priorities.iter().filter_map(|(node, _)| address(node)).collect(),
        proofs: networks().chain(&group.heartbeat).cloned().collect(),
        active_down: timer::active_down(
            group.version,
            group.priority_of(own).unwrap_or(1),
            group.advert,
            group.missed,
        ),
        addresses: cluster.addresses_of(&group.name).map(|address| address.name.clone()).collect(),
        validity: pace_of(group).1,
    }
}
