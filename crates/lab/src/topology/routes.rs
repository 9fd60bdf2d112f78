//! Which way machines of a lab go out of their own networks: through the group's virtual address where the cluster file has
//! a gateway.

use relevo_model::ClusterFile;
use relevo_model::cluster::{Address, Gateway};

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
    for gateway in &cluster.gateways {
        let find = |name: &str| cluster.addresses.iter().find(|address| address.name.as_str() == name);
        let Some(router) = find(&gateway.router) else { continue };
        for space in users(cluster, gateway, &gateway.from, &gateway.to) {
            let has_default =
                routes.iter().any(|route| route.space == space && route.words.starts_with("default "));
            let to = match cluster.network(&gateway.to) {
                Some(network) if has_default => network.subnet.to_string(),
                Some(_) | None => "default".to_owned(),
            };
            routes.push(Route { space, words: format!("{to} via {}", router.ip) });
        }
        // Who sees the machines' own addresses must know a way back.
        let is_back = |address: &&Address| {
            address.group == gateway.group && address.network == gateway.to && address.ip.is_ipv4()
        };
        let back = cluster.addresses.iter().find(is_back).filter(|_| !gateway.masquerade);
        if let (Some(back), Some(network)) = (back, cluster.network(&gateway.from)) {
            for space in users(cluster, gateway, &gateway.to, &gateway.from) {
                routes.push(Route { space, words: format!("{} via {}", network.subnet, back.ip) });
            }
        }
    }
    routes
}

/// The machines on one of the gateway's networks and not on the other, without its directors.
fn users(cluster: &ClusterFile, gateway: &Gateway, on: &str, other: &str) -> Vec<String> {
    let is_director =
        |name: &str| cluster.group(&gateway.group).is_some_and(|group| group.priority_of(name).is_some());
    let nodes = cluster.nodes.iter().filter(|node| {
        node.address_on(on).is_some() && node.address_on(other).is_none() && !is_director(&node.name)
    });
    let clients = cluster.lab.clients.iter().filter(|client| client.network.as_str() == on);
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
}
