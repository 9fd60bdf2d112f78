//! Names and their numbers in publications.

use std::collections::BTreeMap;

use relevo_model::{AddressName, NetworkName, NodeName};

use super::Settings;
use super::report::id;

/// Names by their numbers.
#[derive(Debug)]
pub(super) struct Names {
    /// Numbers by names.
    ids: BTreeMap<String, u32>,
    pub(super) nodes: BTreeMap<u32, NodeName>,
    pub(super) networks: BTreeMap<u32, NetworkName>,
    pub(super) groups: BTreeMap<u32, usize>,
    pub(super) addresses: BTreeMap<u32, AddressName>,
}

impl Names {
    pub(super) fn id(&self, name: &str) -> u32 {
        self.ids.get(name).copied().unwrap_or_else(|| id(name))
    }

    pub(super) fn of(settings: &Settings) -> Self {
        let mut nodes: BTreeMap<u32, NodeName> = BTreeMap::new();
        let mut networks = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        nodes.insert(id(&settings.own), settings.own.clone());
        for (node, network) in &settings.paths {
            nodes.insert(id(node), node.clone());
            networks.insert(id(network), network.clone());
        }
        for group in &settings.groups {
            nodes.extend(group.directors.iter().map(|(node, _)| (id(node), node.clone())));
            networks.extend(group.proofs.iter().map(|network| (id(network), network.clone())));
            addresses.extend(group.addresses.iter().map(|address| (id(address), address.clone())));
        }
        let groups = settings.groups.iter().enumerate().map(|(index, group)| (id(&group.name), index));
        let groups = groups.collect();
        let mut ids = BTreeMap::new();
        for name in nodes.values().map(|name| name.as_str()) {
            ids.insert(name.to_owned(), id(name));
        }
        for name in networks.values().map(|name| name.as_str()) {
            ids.insert(name.to_owned(), id(name));
        }
        for group in &settings.groups {
            ids.insert(group.name.to_string(), id(&group.name));
            ids.extend(group.addresses.iter().map(|address| (address.to_string(), id(address))));
        }
        Self { ids, nodes, networks, groups, addresses }
    }
}
