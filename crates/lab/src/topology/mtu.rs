//! How large packets may be on each network of a lab. All its ports and machines get it, so that nothing is ever fragmented.

use relevo_model::ClusterFile;
use relevo_model::cluster::{Switch, vxlan_overhead};

/// What Ethernet has when nobody says anything.
const ETHERNET: u32 = 1500;

/// The MTU of a network; `None`: Ethernet's. One that crosses a VXLAN has what fits into it.
pub(super) fn of_network(cluster: &ClusterFile, network: &str) -> Option<u32> {
    let own = cluster.network(network).and_then(|network| network.mtu);
    let of_network = cluster.lab.switches.iter().filter(|switch| switch.network.as_str() == network);
    let tunnelled = of_network.filter_map(|switch| room(cluster, switch)).min();
    match (own, tunnelled) {
        (Some(own), Some(tunnelled)) => Some(own.min(tunnelled)),
        (own, tunnelled) => own.or(tunnelled),
    }
}

/// What fits into the VXLAN of a switch, if it has one.
fn room(cluster: &ClusterFile, switch: &Switch) -> Option<u32> {
    let tunnel = switch.vxlan.as_ref()?;
    let over = cluster.lab.switches.iter().find(|other| other.name == tunnel.over)?;
    let below = cluster.network(&over.network).and_then(|network| network.mtu).unwrap_or(ETHERNET);
    Some(below.saturating_sub(vxlan_overhead(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mtu(text: &str, network: &str) -> Option<u32> {
        let reading = relevo_model::read(text);
        let cluster = reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics));
        of_network(&cluster, network)
    }

    #[test]
    fn a_tunnel_takes_its_share() {
        let s4 = include_str!("../../../../examples/s4.toml");
        assert_eq!((mtu(s4, "public"), mtu(s4, "internal")), (None, Some(1450)));
        let jumbo = s4.replace("subnet = \"172.16.1.0/24\"", "subnet = \"172.16.1.0/24\"\nmtu = 9000");
        assert_eq!((mtu(&jumbo, "public"), mtu(&jumbo, "internal")), (Some(9000), Some(8950)));
        let both = jumbo.replace("subnet = \"10.0.0.0/24\"", "subnet = \"10.0.0.0/24\"\nmtu = 1500");
        assert_eq!(mtu(&both, "internal"), Some(1500));
    }
}
