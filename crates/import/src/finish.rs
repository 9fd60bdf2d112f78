//! What can be said only when all files are read: gateways, addresses that nobody told, and that the file is whole.

use crate::draft::{Draft, Table, quoted};
use crate::interfaces::Hints;
use crate::ledger::Ledger;

/// Completes the cluster file.
pub(crate) fn all(draft: &mut Draft, ledger: &mut Ledger, hints: &Hints) {
    if draft.networks.is_empty() {
        let subnet = crate::place::unused_subnet(draft);
        draft.new_network(subnet, "external");
    }
    draft.finish_assumed_group();
    gateway(draft, ledger, hints);
    directors_are_on_their_groups_networks(draft);
    draft.nodes.retain(|node| !node.addresses.is_empty());
    if draft.groups.iter().any(|group| group.find("heartbeat").is_some()) {
        let mut peers = Table::new("peers");
        peers.comments.push("The same key on all directors: `relevo key` makes one.".to_owned());
        peers.set("key", "\"/etc/relevo/peers.key\"");
        draft.tables.insert(0, peers);
    }
}

/// Masquerading between two networks that one group has addresses on is a gateway.
fn gateway(draft: &mut Draft, ledger: &mut Ledger, hints: &Hints) {
    let on = |network: &str| {
        let network = quoted(network);
        draft
            .addresses
            .iter()
            .filter(move |(_, _, table)| table.find("network") == Some(network.as_str()))
            .filter_map(|(_, _, table)| table.find("group").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let external = on("external");
    let group = on("internal").into_iter().find(|group| external.contains(group));
    match group {
        Some(group) if !hints.masquerade.is_empty() => {
            let mut table = Table::new("gateway");
            table.set("from", "\"internal\"");
            table.set("to", "\"external\"");
            table.set("group", group);
            // What masquerades there is of IPv4.
            if draft
                .addresses
                .iter()
                .any(|(.., address)| address.find("ip").is_some_and(|ip| ip.contains(':')))
            {
                table.set("family", "\"ipv4\"");
            }
            draft.tables.push(table);
            for at in hints.masquerade.iter().chain(&hints.forwarding) {
                ledger.carried(at, "[gateway]");
            }
        }
        _ => {
            for at in hints.masquerade.iter().chain(&hints.forwarding) {
                ledger.dropped(at, "a [gateway] needs a group with an address on both networks");
            }
        }
    }
}

/// Each director of a group needs an address of its own on the networks of the group.
fn directors_are_on_their_groups_networks(draft: &mut Draft) {
    let directors: Vec<String> =
        draft.nodes.iter().filter(|node| node.is_director).map(|node| node.name.clone()).collect();
    let used: Vec<String> =
        draft.addresses.iter().filter_map(|(_, _, table)| table.find("network").map(str::to_owned)).collect();
    let served: Vec<String> = draft
        .nodes
        .iter()
        .filter(|node| node.is_server && !node.is_director)
        .flat_map(|node| node.addresses.iter().map(|(network, ..)| network.clone()))
        .collect();
    let networks: Vec<String> = draft.networks.iter().map(|network| network.name.clone()).collect();
    let is_wanted =
        |name: &String| used.contains(&quoted(name)) || served.contains(name) || networks.len() == 1;
    for network in networks.iter().filter(|name| is_wanted(name)) {
        for director in &directors {
            if !draft.is_on(director, network) {
                let _ = draft.make_up(director, network, None);
            }
            if has_router6(draft, network) {
                draft.make_up6(director, network);
            }
        }
    }
}

/// Whether adverts of IPv6 addresses are spoken on a network: each director needs one of its own there.
fn has_router6(draft: &Draft, network: &str) -> bool {
    draft.addresses.iter().any(|(_, ip, table)| {
        ip.is_ipv6()
            && table.find("network") == Some(&quoted(network))
            && table.find("watched") != Some("false")
    })
}
