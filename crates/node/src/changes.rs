//! What is different between two cluster files, in words. Pure.

use std::collections::BTreeSet;
use std::ops::Deref;

use relevo_model::ClusterFile;
use relevo_model::cluster::{Node, Pool, Role};
use serde::Serialize;
use serde_json::Value;

/// What cannot be changed while a node runs, and is different; one sentence each.
pub(crate) fn fixed(old: &ClusterFile, new: &ClusterFile) -> Vec<String> {
    let mut list = Vec::new();
    if old.name != new.name {
        list.push(format!("the cluster's name ({} was {})", new.name, old.name));
    }
    // New networks and servers touch nothing that runs; the balancer knows addresses only.
    let directors = |cluster: &ClusterFile| -> Vec<Node> {
        cluster.nodes.iter().filter(|node| node.is(Role::Director)).cloned().collect()
    };
    let networks: Vec<_> = new
        .networks
        .iter()
        .filter(|network| old.networks.iter().any(|one| one.name == network.name))
        .cloned()
        .collect();
    list.extend(named("network", &old.networks, &networks, |network| &network.name));
    list.extend(named("node", &directors(old), &directors(new), |node| &node.name));
    list.extend(named("group", &old.groups, &new.groups, |group| &group.name));
    list.extend(named("address", &old.addresses, &new.addresses, |address| &address.name));
    if old.peers != new.peers {
        list.push("peers: the channel between directors".to_owned());
    }
    list
}

/// What is different and was, or will be, done; one sentence each.
pub(crate) fn done(old: &ClusterFile, new: &ClusterFile) -> Vec<String> {
    let mut list = named("service", &old.services, &new.services, |service| &service.name);
    let bare = |cluster: &ClusterFile| -> Vec<Pool> {
        let pools = cluster.pools.iter().cloned();
        pools.map(|pool| Pool { servers: Vec::new(), ..pool }).collect()
    };
    list.extend(named("pool", &bare(old), &bare(new), |pool| &pool.name));
    for pool in &new.pools {
        let Some(before) = old.pool(&pool.name) else { continue };
        let what = format!("pool {}: server", pool.name);
        list.extend(named(&what, &before.servers, &pool.servers, |server| &server.name));
    }
    list.extend(named("users", &old.users, &new.users, |users| &users.name));
    list.extend(named("acme", &old.acme, &new.acme, |acme| &acme.name));
    list.extend(named("dhcp", &old.dhcp, &new.dhcp, |dhcp| &dhcp.network));
    match (&old.dns, &new.dns) {
        (None, Some(_)) => list.push("dns: added".to_owned()),
        (Some(_), None) => list.push("dns: removed".to_owned()),
        (Some(before), Some(dns)) if before != dns => list.push(format!("dns: {}", keys(before, dns))),
        (None | Some(_), None | Some(_)) => {}
    }
    list.extend(named("gateway", &old.gateways, &new.gateways, |gateway| &gateway.name));
    if old.firewall != new.firewall {
        list.push(format!("firewall: {}", keys(&old.firewall, &new.firewall)));
    }
    if old.log != new.log {
        list.push(format!("log: {}", keys(&old.log, &new.log)));
    }
    match (&old.stats, &new.stats) {
        (None, Some(_)) => list.push("stats: added".to_owned()),
        (Some(_), None) => list.push("stats: removed".to_owned()),
        (Some(before), Some(stats)) if before != stats => {
            list.push(format!("stats: {}", keys(before, stats)));
        }
        (None | Some(_), None | Some(_)) => {}
    }
    list
}

/// `service shop: added`, `service shop: removed`, `service shop: limits, rules changed`.
fn named<T: PartialEq + Serialize, N: Deref<Target = str>>(
    what: &str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &N,
) -> Vec<String> {
    let of = |list: &[T], wanted: &str| list.iter().position(|one| **name(one) == *wanted);
    let mut list = Vec::new();
    for value in new {
        let name = &**name(value);
        match of(old, name).and_then(|place| old.get(place)) {
            None => list.push(format!("{what} {name}: added")),
            Some(before) if before != value => list.push(format!("{what} {name}: {}", keys(before, value))),
            Some(_) => {}
        }
    }
    for value in old {
        let name = &**name(value);
        if of(new, name).is_none() {
            list.push(format!("{what} {name}: removed"));
        }
    }
    list
}

/// The keys whose values differ.
fn keys(old: &impl Serialize, new: &impl Serialize) -> String {
    let fields = |value: Result<Value, serde_json::Error>| match value {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    let (old, new) = (fields(serde_json::to_value(old)), fields(serde_json::to_value(new)));
    let all: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differ: Vec<&str> =
        all.into_iter().filter(|key| old.get(*key) != new.get(*key)).map(String::as_str).collect();
    // What is not shown, as passwords, may be all that differs.
    if differ.is_empty() { "changed".to_owned() } else { format!("{} changed", differ.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(text: &str) -> ClusterFile {
        let reading = relevo_model::read(text);
        reading.cluster.unwrap_or_else(|| panic!("{:?}", reading.diagnostics))
    }

    const BEFORE: &str = r#"
name = "loop"
[network.lan]
subnet = "192.168.99.0/24"
[node.lb1]
roles = ["director"]
address.lan = "192.168.99.1"
[address.front]
network = "lan"
ip = "192.168.99.200"
[service.web]
listen = "front:80"
servers = ["192.168.99.21:80", "192.168.99.22:80"]
[service.old]
listen = "front:81"
servers = ["192.168.99.21:80"]
"#;

    #[test]
    fn each_difference_is_a_sentence() {
        let after = BEFORE
            .replace("[service.web]", "[service.web]\nmax_connections = 7\nbalance = \"leastconn\"")
            .replace("\"192.168.99.22:80\"]", "\"192.168.99.23:80\"]")
            .replace("service.old", "service.new");
        let (before, after) = (cluster(BEFORE), cluster(&after));
        assert_eq!(
            done(&before, &after),
            [
                "service web: limits changed",
                "service new: added",
                "service old: removed",
                "pool web: balance changed",
                "pool new: added",
                "pool old: removed",
                "pool web: server 192.168.99.23: added",
                "pool web: server 192.168.99.22: removed",
            ]
        );
        assert_eq!((done(&before, &before), fixed(&before, &after)), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_a_running_director_is_made_of_is_fixed() {
        let after = BEFORE
            .replace("99.1\"", "99.2\"")
            .replace("192.168.99.200", "192.168.99.201")
            .replace("\"loop\"", "\"lop\"");
        let fixed = fixed(&cluster(BEFORE), &cluster(&after));
        assert_eq!(
            fixed,
            ["the cluster's name (lop was loop)", "node lb1: addresses changed", "address front: ip changed",]
        );
        let more = format!("{BEFORE}\n[node.web1]\nroles = [\"server\"]\naddress.lan = \"192.168.99.21\"\n");
        assert_eq!(super::fixed(&cluster(BEFORE), &cluster(&more)), Vec::<String>::new());
    }
}
