//! Which way machines of a lab go out of their own networks: through the group's virtual address where the cluster file has
//! a gateway.

use std::net::IpAddr;

use ipnet::IpNet;
use relevo_model::ClusterFile;
use relevo_model::cluster::{Address, Family, Gateway, Network};

use super::INTERFACE_NAME_MAX;

/// A route of a machine, in `ip`'s words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The machine's namespace.
    pub(super) space: String,
    /// As in `default via 10.0.10.200`.
    pub(super) words: String,
}

/// All routes that gateways make.
pub(super) fn routes(cluster: &ClusterFile) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for (gateway, way) in cluster.gateways.iter().flat_map(|it| it.ways.iter().map(move |way| (it, way))) {
        let family = way.family;
        let subnet = |name: &str| cluster.network(name).and_then(|network| subnet_of(network, family));
        let find = |name: &str| cluster.addresses.iter().find(|address| address.name.as_str() == name);
        let Some(router) = find(&way.router) else { continue };
        for space in users(cluster, gateway, family, &gateway.from, &gateway.to) {
            let is_default = |route: &&Route| {
                let is_v6 = route.words.contains(':');
                route.words.starts_with("default ") && is_v6 == (family == Family::V6)
            };
            let has_default = routes.iter().filter(is_default).any(|route| route.space == space);
            let to = match subnet(&gateway.to) {
                Some(subnet) if has_default => subnet.to_string(),
                Some(_) | None => "default".to_owned(),
            };
            let link = on_link(cluster, &space, &gateway.from, router.ip);
            routes.push(Route { space, words: format!("{to} via {}{link}", router.ip) });
        }
        // Who sees the machines' own addresses must know a way back.
        let is_back = |address: &&Address| {
            address.group == gateway.group && address.network == gateway.to && address.family() == family
        };
        let back = cluster.addresses.iter().find(is_back).filter(|_| way.source.is_none());
        if let (Some(back), Some(subnet)) = (back, subnet(&gateway.from)) {
            for space in users(cluster, gateway, family, &gateway.to, &gateway.from) {
                routes.push(Route { space, words: format!("{subnet} via {}", back.ip) });
            }
        }
    }
    routes
}

/// A link-local router is known only with the interface.
fn on_link(cluster: &ClusterFile, space: &str, network: &str, router: IpAddr) -> String {
    let is_local = if let IpAddr::V6(ip) = router { ip.is_unicast_link_local() } else { false };
    if !is_local {
        return String::new();
    }
    let own = cluster.node(space).and_then(|node| node.address_on(network)?.interface.clone());
    let interface = own.unwrap_or_else(|| network.chars().take(INTERFACE_NAME_MAX).collect());
    format!(" dev {interface}")
}

fn subnet_of(network: &Network, family: Family) -> Option<IpNet> {
    match family {
        Family::V4 => Some(IpNet::V4(network.subnet)),
        Family::V6 => network.subnet6.map(IpNet::V6),
    }
}

/// The machines with an address of a family on one of the gateway's networks and none on the other, without its directors.
fn users(cluster: &ClusterFile, gateway: &Gateway, family: Family, on: &str, other: &str) -> Vec<String> {
    let is_director =
        |name: &str| cluster.group(&gateway.group).is_some_and(|group| group.priority_of(name).is_some());
    let nodes = cluster.nodes.iter().filter(|node| {
        node.address_on(on).is_some_and(|own| own.of(family).is_some())
            && node.address_on(other).is_none()
            && !is_director(&node.name)
    });
    let clients = cluster
        .lab
        .clients
        .iter()
        .filter(|client| client.network.as_str() == on && (family == Family::V4 || client.ip6.is_some()));
    nodes.map(|node| node.name.to_string()).chain(clients.map(|client| client.name.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let reading = relevo_model::read(text);
        let cluster = reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics));
        routes(&cluster).into_iter().map(|route| format!("{}: {}", route.space, route.words)).collect()
    }

    const S1: &str = include_str!("../../../../examples/s1.toml");

    #[test]
    fn servers_go_through_the_virtual_address() {
        let expected: Vec<String> =
            (1..=3).map(|number| format!("server{number}: default via 10.0.10.200")).collect();
        assert_eq!(words(S1), expected);
    }

    #[test]
    fn without_translation_clients_know_the_way_back() {
        let text = S1.replace("[gateway]", "[gateway]\nmasquerade = false");
        assert!(
            words(&text).contains(&"client: 10.0.10.0/24 via 192.168.1.200".to_owned()),
            "{:?}",
            words(&text)
        );
    }

    #[test]
    fn each_family_has_its_router() {
        let text = S1
            .replace("\"192.168.1.0/24\"", "[\"192.168.1.0/24\", \"fd00:1::/64\"]")
            .replace("\"10.0.10.0/24\"", "[\"10.0.10.0/24\", \"fd00:10::/64\"]")
            .replace("\"192.168.1.135\"", "[\"192.168.1.135\", \"fd00:1::135\"]")
            .replace("\"192.168.1.139\"", "[\"192.168.1.139\", \"fd00:1::139\"]")
            .replace("\"10.0.10.1\"", "[\"10.0.10.1\", \"fd00:10::1\"]")
            .replace("\"10.0.10.2\"", "[\"10.0.10.2\", \"fd00:10::2\"]")
            .replace("\"10.0.10.110\"", "[\"10.0.10.110\", \"fd00:10::110\"]");
        let six = "[address.out6]\nnetwork = \"external\"\nip = \"fd00:1::200\"\ngroup = \"farm\"\n\
                   [address.in6]\nnetwork = \"internal\"\nip = \"fd00:10::200\"\ngroup = \"farm\"\n";
        let found = words(&format!("{text}{six}"));
        assert!(found.contains(&"server1: default via 10.0.10.200".to_owned()), "{found:?}");
        assert!(found.contains(&"server1: default via fd00:10::200".to_owned()), "{found:?}");
        assert!(!found.iter().any(|it| it.starts_with("server2: default via f")), "it has none: {found:?}");
        let plain = text.replace("[gateway]", "[gateway]\nmasquerade = false\nfamily = \"ipv6\"");
        let found = words(&format!("{plain}{six}"));
        assert!(found.contains(&"client: fd00:10::/64 via fd00:1::200".to_owned()), "{found:?}");
        assert!(!found.iter().any(|route| route.contains("via 1")), "{found:?}");
    }
}
