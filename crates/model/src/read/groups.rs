//! `[group.NAME]`: virtual addresses that move together, who may hold them, and how fast they move.

use std::collections::BTreeMap;
use std::time::Duration;

use super::addresses;
use super::fields::Fields;
use super::findings::{Findings, Span};
use super::members;
use super::names::{Named, Names, named};
use super::networks::Networks;
use super::nodes::Nodes;
use super::peers;
use super::tree::{Item, entries};
use super::vrrp::{self, Wire};
use crate::cluster::{Address, Along, Bfd, Family, Group, Node, Role, VrrpVersion};
use crate::name::{GroupName, NetworkName, NodeName};
use crate::quantity::format_duration;
use crate::reference;

/// How long a director finishes the connections of a group that it has given away when the file says nothing.
/// RFC 9568 section 6.1.
const DEFAULT_MISSED: u8 = 3;
const DEFAULT_DRAIN: Duration = Duration::from_secs(60);
/// Name of the group that is there when the file has none.
pub(super) const DEFAULT_GROUP: &str = "main";
/// Virtual router id of the first network when the file says none; keepalived's examples have it too.
const DEFAULT_VRID: u8 = 51;
/// Time between adverts in version 3 when the file says none.
const DEFAULT_ADVERT: Duration = Duration::from_millis(100);
/// Time between adverts in version 2 when the file says none: the shortest that it can say.
const DEFAULT_ADVERT_V2: Duration = Duration::from_secs(1);

/// Virtual addresses and their groups.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) list: Vec<Group>,
    pub(super) addresses: Vec<Address>,
    pub(super) address_names: Names,
    /// Where each group's advert is written, or the group.
    pub(super) adverts: BTreeMap<GroupName, Span>,
    /// Where each group's heartbeat is written.
    pub(super) heartbeats: BTreeMap<GroupName, Span>,
}

/// Reads all groups and virtual addresses.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    root: &Fields<'a>,
    networks: &mut Networks,
    nodes: &Nodes,
) -> Groups {
    let (tables, mut names) = named(findings, root, "group", "group", 255);
    let said = root.find("group").map(|item| item.value.as_table().is_none_or(|table| !table.is_empty()));
    let implied = !said.unwrap_or(false);
    if implied {
        names.add(DEFAULT_GROUP, root.span());
    }
    let (addresses, address_names) = addresses::read(findings, root, networks, &names, implied);
    let mut groups = Groups {
        list: Vec::new(),
        addresses,
        address_names,
        adverts: BTreeMap::new(),
        heartbeats: BTreeMap::new(),
    };
    if implied {
        if let Some(first) = groups.addresses.first() {
            let at = groups.address_names.span(&first.name).cloned().unwrap_or_default();
            let used = groups.networks_of(DEFAULT_GROUP, networks);
            let vrids = (DEFAULT_VRID..).zip(&used).map(|(vrid, network)| (network.clone(), vrid)).collect();
            let priorities = members::all_directors(findings, nodes, &at);
            let routers = groups.routers_of(DEFAULT_GROUP, networks);
            members::check(findings, nodes, &priorities, &routers, DEFAULT_GROUP, &at);
            groups.lonely(findings, networks, nodes, &priorities, DEFAULT_GROUP);
            let (timing, wire) = (Timing::default(), Wire::default());
            groups.push(DEFAULT_GROUP, at, vrids, priorities, timing, (Watch::default(), wire));
        }
        return groups;
    }
    let only = names.iter().count() == 1;
    for table in tables {
        group(findings, &table, &mut groups, networks, nodes, only);
    }
    same_vrid(findings, &groups.list, &names);
    groups
}

impl Groups {
    /// The group of a virtual address that accepts no connections, `accept = false`.
    pub(super) fn closed(&self, ip: std::net::IpAddr) -> Option<&GroupName> {
        let address = self.addresses.iter().find(|address| address.ip == ip)?;
        let group = self.list.iter().find(|group| group.name == address.group)?;
        (!group.accept).then_some(&group.name)
    }

    fn of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Address> {
        self.addresses.iter().filter(move |address| address.group.as_str() == group)
    }

    /// The networks that a group has watched addresses on, in the file's order, with their families.
    fn routers_of(&self, group: &str, networks: &Networks) -> Vec<(NetworkName, Family)> {
        let has = |network: &str, family: Family| {
            let mut own = self.of(group).filter(|address| address.watched);
            own.any(|address| address.network.as_str() == network && address.family() == family)
        };
        let pairs = networks.names.iter().flat_map(|name| [(name, Family::V4), (name, Family::V6)]);
        let used = pairs.filter(|(network, family)| has(network, *family));
        used.map(|(network, family)| (NetworkName::new(network), family)).collect()
    }

    /// The same networks, each once.
    fn networks_of(&self, group: &str, networks: &Networks) -> Vec<NetworkName> {
        let mut used: Vec<NetworkName> =
            self.routers_of(group, networks).into_iter().map(|(network, _)| network).collect();
        used.dedup();
        used
    }

    /// Addresses that only move along need an interface on every director.
    fn lonely(
        &self,
        findings: &mut Findings<'_>,
        networks: &Networks,
        nodes: &Nodes,
        priorities: &[(NodeName, u8)],
        group: &str,
    ) {
        let watched = self.networks_of(group, networks);
        for address in self.of(group).filter(|it| !it.watched && it.interface.is_none()) {
            if watched.contains(&address.network) {
                continue;
            }
            let members = priorities.iter().filter_map(|(name, _)| nodes.find(name));
            let missing =
                |node: &&Node| node.address_on(&address.network).is_none() && !nodes.is_doubtful(&node.name);
            let Some(node) = members.filter(|node| node.is(Role::Director)).find(missing) else { continue };
            let span = self.address_names.span(&address.name).cloned().unwrap_or_default();
            let message = format!("director `{}` is not on network `{}`", node.name, address.network);
            let hint = "write interface = \"eth0\", or give the director an address there";
            findings.error(&span, message, hint);
        }
    }

    fn push(
        &mut self,
        name: &str,
        at: Span,
        vrids: BTreeMap<NetworkName, u8>,
        priorities: Vec<(NodeName, u8)>,
        timing: Timing,
        (watch, wire): (Watch, Wire),
    ) {
        let name = GroupName::new(name);
        let Timing { advert, missed, preempt, version, password } = timing;
        let Wire { unicast, multicast, hmac, mac, no_accept, announce } = wire;
        self.adverts.insert(name.clone(), at);
        let Watch { bfd, heartbeat } = watch;
        self.list.push(Group {
            name,
            vrids,
            priorities,
            advert,
            missed,
            preempt,
            version,
            password,
            bfd,
            heartbeat,
            preempt_delay: Duration::ZERO,
            drain: DEFAULT_DRAIN,
            startup_delay: Duration::ZERO,
            boot_delay: Duration::ZERO,
            track_services: true,
            trackers: Vec::new(),
            along: Along::default(),
            unicast,
            multicast,
            hmac,
            mac,
            accept: !no_accept,
            announce,
        });
    }
}

fn group<'a>(
    findings: &mut Findings<'_>,
    named: &Named<'a>,
    groups: &mut Groups,
    networks: &Networks,
    nodes: &Nodes,
    only: bool,
) {
    let Named { name, span, header, table } = named;
    let what = format!("group `{name}`");
    let fields = Fields::open(findings, table, header, &what, &[&reference::GROUP]);
    let used = groups.networks_of(name, networks);
    // An address that could not be read may have been this group's.
    let names = &groups.address_names;
    let all_read = !names.is_broken() && groups.addresses.len() == names.iter().count();
    if used.is_empty() && all_read {
        let hint = format!("add an [address.NAME] with group = \"{name}\", or remove the group");
        let message = match groups.of(name).next() {
            Some(_) => format!("{what} has no watched address: there is nothing to say in its adverts"),
            None => format!("{what} has no address"),
        };
        findings.error(span, message, hint);
    }
    let vrids = vrids(findings, &fields, &used, networks, name, only);
    let priorities = match fields.find("priority") {
        Some(item) => members::read(findings, item, nodes),
        None => members::all_directors(findings, nodes, span),
    };
    let at = fields.find("priority").map_or(span, |item| &item.key);
    let routers = groups.routers_of(name, networks);
    members::check(findings, nodes, &priorities, &routers, name, at);
    groups.lonely(findings, networks, nodes, &priorities, name);
    let timing = timing(findings, &fields);
    let wire = vrrp::read(findings, &fields, timing.version);
    if let (VrrpVersion::V2, Some((network, _))) =
        (timing.version, routers.iter().find(|(_, family)| *family == Family::V6))
    {
        let at = fields.find("version").map_or(span, |item| &item.span);
        let message = format!("version 2 has no IPv6, and {what} has such an address on network `{network}`");
        findings.error(at, message, "write version = 3, or make it watched = false");
    }
    let at = fields.find("advert").map_or(span, |item| &item.span).clone();
    let bfd = peers::bfd(findings, &fields);
    let heartbeat = peers::heartbeat(findings, &fields, &used, networks);
    if let Some(item) = fields.find("heartbeat") {
        groups.heartbeats.insert(GroupName::new(name), item.span.clone());
    }
    groups.push(name, at, vrids, priorities, timing, (Watch { bfd, heartbeat }, wire));
}

fn vrids(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    used: &[NetworkName],
    networks: &Networks,
    name: &str,
    only: bool,
) -> BTreeMap<NetworkName, u8> {
    let number = |findings: &mut Findings<'_>, item: &Item<'_>| {
        item.integer(findings, 1..=255, "51").and_then(|vrid| u8::try_from(vrid).ok())
    };
    let Some(item) = fields.find("vrid") else {
        if !only {
            let message = format!("group `{name}` has no `vrid`");
            findings.error(
                fields.span(),
                message,
                "with several groups each one says its own, as in vrid = 51",
            );
        }
        return (DEFAULT_VRID..).zip(used).map(|(vrid, network)| (network.clone(), vrid)).collect();
    };
    let Some(table) = item.value.as_table() else {
        let Some(vrid) = number(findings, item) else { return BTreeMap::new() };
        return used.iter().map(|network| (network.clone(), vrid)).collect();
    };
    let mut vrids = BTreeMap::new();
    for entry in entries(table) {
        if !networks.names.resolve(findings, entry.name, &entry.key) {
            continue;
        }
        if !used.iter().any(|network| network.as_str() == entry.name) {
            let message = format!("group `{name}` has no address on network `{}`", entry.name);
            findings.error(&entry.key, message, "remove it, or add an [address.NAME] there");
        }
        if let Some(vrid) = number(findings, &entry) {
            vrids.insert(NetworkName::new(entry.name), vrid);
        }
    }
    for network in used.iter().filter(|network| table.get(network.as_str()).is_none()) {
        let message = format!("group `{name}` has an address on network `{network}` but no vrid for it");
        findings.error(&item.span, message, format!("add {network} = 52, or another number from 1 to 255"));
    }
    vrids
}

fn same_vrid(findings: &mut Findings<'_>, groups: &[Group], names: &Names) {
    let mut seen: BTreeMap<(&NetworkName, u8), &GroupName> = BTreeMap::new();
    for group in groups {
        for (network, vrid) in &group.vrids {
            let Some(other) = seen.insert((network, *vrid), &group.name) else { continue };
            let span = names.span(&group.name).cloned().unwrap_or_default();
            let message =
                format!("groups `{other}` and `{}` both have vrid {vrid} on network `{network}`", group.name);
            findings.error(&span, message, "give each group on a network its own `vrid`, 1 to 255");
        }
    }
}

/// How its directors watch each other beside VRRP.
#[derive(Debug, Default)]
struct Watch {
    bfd: Option<Bfd>,
    heartbeat: Vec<NetworkName>,
}

#[derive(Debug)]
struct Timing {
    advert: Duration,
    missed: u8,
    preempt: bool,
    version: VrrpVersion,
    password: Option<String>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            advert: DEFAULT_ADVERT,
            missed: DEFAULT_MISSED,
            preempt: false,
            version: VrrpVersion::V3,
            password: None,
        }
    }
}

fn timing(findings: &mut Findings<'_>, fields: &Fields<'_>) -> Timing {
    let version = fields.find("version").and_then(|item| item.integer(findings, 2..=3, "3"));
    let version = if version == Some(2) { VrrpVersion::V2 } else { VrrpVersion::V3 };
    let advert = match (fields.find("advert"), version) {
        (Some(item), _) => advert(findings, item, version).unwrap_or(DEFAULT_ADVERT),
        (None, VrrpVersion::V3) => DEFAULT_ADVERT,
        (None, VrrpVersion::V2) => DEFAULT_ADVERT_V2,
    };
    let preempt = fields.find("preempt").and_then(|item| item.boolean(findings)).unwrap_or(false);
    let password = fields.find("password").and_then(|item| password(findings, item, version));
    let missed = fields.number(findings, "missed").unwrap_or(DEFAULT_MISSED);
    Timing { advert, missed, preempt, version, password }
}

fn advert(findings: &mut Findings<'_>, item: &Item<'_>, version: VrrpVersion) -> Option<Duration> {
    let (least, most, step) = match version {
        VrrpVersion::V3 => (10, 40_950, 10),
        VrrpVersion::V2 => (1_000, 255_000, 1_000),
    };
    let advert = item.duration(findings, Duration::ZERO..=Duration::from_secs(86_400))?;
    let millis = advert.as_millis();
    if (least..=most).contains(&millis) && millis.is_multiple_of(step) {
        return Some(advert);
    }
    let (message, hint) = match version {
        VrrpVersion::V3 => (
            format!("version 3 cannot say an advert interval of {}", format_duration(advert)),
            "write 10ms to 40950ms in whole 10 ms, as in \"100ms\"",
        ),
        VrrpVersion::V2 => (
            format!("version 2 cannot say an advert interval of {}", format_duration(advert)),
            "write 1s to 255s in whole seconds, or use version = 3",
        ),
    };
    findings.error(&item.span, message, hint);
    None
}

fn password(findings: &mut Findings<'_>, item: &Item<'_>, version: VrrpVersion) -> Option<String> {
    let text = item.text(findings, "\"secret\"")?;
    if version == VrrpVersion::V3 {
        let hint = "remove it (version 3 has none, RFC 9568), or write version = 2 for an old peer";
        findings.error(&item.key, "`password` needs VRRP version 2", hint);
    }
    if text.is_empty() || text.len() > 8 {
        let message = format!("the password has {} bytes", text.len());
        findings.value(&item.span, message, "write 1 to 8 bytes: version 2 has room for no more");
        return None;
    }
    Some(text.to_owned())
}
