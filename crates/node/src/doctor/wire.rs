//! What can be heard on the wire: adverts of the other directors, strangers with our router ids, and who answers for the virtual
//! addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use relevo_api::types::GroupState;
use relevo_model::NetworkName;
use relevo_model::cluster::{Family, Group, VrrpVersion};
use relevo_net::conflict::ConflictWatch;
use relevo_net::link::Interface;
use relevo_net::route::Route;
use relevo_net::vrrp_socket::{Audience, Datagram, VrrpSocket};
use relevo_proto::vrrp::Advert;

use super::{Findings, Patient};

/// How long answers for an address are waited for.
const ANSWERS: Duration = Duration::from_millis(700);
/// Time from one look at the sockets to the next.
const LOOK: Duration = Duration::from_millis(10);

/// A network that groups of this node are on, in one family.
struct Leg {
    network: NetworkName,
    family: Family,
    interface: Interface,
    socket: VrrpSocket,
    /// Router ids that were heard, with their senders.
    heard: BTreeMap<(u8, IpAddr), Heard>,
}

/// What an advert said.
struct Heard {
    priority: u8,
    /// `None`: it cannot be read as the group's version.
    addresses: Option<Vec<IpAddr>>,
}

pub(super) fn look(patient: Patient<'_>, findings: &mut Findings) {
    let Ok(mut route) = Route::open() else { return };
    let networks: BTreeSet<&NetworkName> = patient.groups().flat_map(|group| group.vrids.keys()).collect();
    let mut legs = Vec::new();
    for network in networks {
        for family in [Family::V4, Family::V6] {
            match leg(patient, network, family, &mut route) {
                Some(Ok(leg)) => legs.push(leg),
                Some(Err(error)) => {
                    findings.unknown("adverts", format!("not listened for: {error}"), "run it as root");
                }
                None => {}
            }
        }
    }
    listen(patient, &mut legs);
    for leg in &legs {
        adverts(patient, leg, findings);
    }
    addresses(patient, &legs, findings);
}

/// `None`: no group speaks there in this family, or the interface is not there, which is told elsewhere.
fn leg(
    patient: Patient<'_>,
    network: &NetworkName,
    family: Family,
    route: &mut Route,
) -> Option<Result<Leg, relevo_net::Error>> {
    let group = patient.groups().find(|group| speaks(patient, group, network, family))?;
    let own = patient.addresses().iter().find(|address| address.network == *network)?;
    let interface = route.interface(own.ip, own.interface.as_deref()).ok()?;
    let source = match (family, group.unicast) {
        (Family::V4, _) => IpAddr::V4(interface.ip),
        (Family::V6, Some(_)) => own.ip6?.into(),
        (Family::V6, None) => route.link_local(interface.link.index).ok()??.into(),
    };
    let audience = match group.unicast {
        Some(unicast) => Audience::Peers { ttl: unicast.ttl },
        None => Audience::Group(group.multicast.of(family)),
    };
    let socket = VrrpSocket::open(&interface.link, source, audience);
    let network = network.clone();
    Some(socket.map(|socket| Leg { network, family, interface, socket, heard: BTreeMap::new() }))
}

/// Whether there are adverts of a group.
fn speaks(patient: Patient<'_>, group: &Group, network: &NetworkName, family: Family) -> bool {
    let mut own = patient.cluster.addresses_of(&group.name).filter(|address| address.watched);
    own.any(|address| address.network == *network && address.family() == family)
}

/// Three adverts and the skew of whoever is the slowest, or as long as was asked for.
fn listen(patient: Patient<'_>, legs: &mut [Leg]) {
    let slowest = patient.groups().map(|group| group.advert * 4).max().unwrap_or_default();
    let end = Instant::now() + slowest.max(patient.listen);
    while Instant::now() < end && !legs.is_empty() {
        for leg in legs.iter_mut() {
            while let Ok(Some(datagram)) = leg.socket.receive() {
                let Datagram { source, destination, payload, .. } = datagram;
                // Version and type, VRID, priority: the same in both versions.
                let [kind, vrid, priority, ..] = payload else { continue };
                let version = if kind >> 4 == 2 { VrrpVersion::V2 } else { VrrpVersion::V3 };
                let advert = Advert::decode_from(version, source, destination, payload);
                let addresses = advert.ok().map(|(advert, _)| advert.addresses);
                leg.heard.insert((*vrid, source), Heard { priority: *priority, addresses });
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn adverts(patient: Patient<'_>, leg: &Leg, findings: &mut Findings) {
    for group in patient.groups() {
        let Some(vrid) = group.vrids.get(&leg.network) else { continue };
        if !speaks(patient, group, &leg.network, leg.family) {
            continue;
        }
        let heard: Vec<_> = leg.heard.iter().filter(|((id, _), _)| id == vrid).collect();
        let mut directors = Vec::new();
        for ((_, source), heard) in heard {
            match node_of(patient, group, &leg.network, *source, heard) {
                Some(name) => directors.push(format!("{name} ({source}), priority {}", heard.priority)),
                None => findings.bad(
                    "router ids",
                    format!(
                        "{source} on network {} sends adverts of router id {vrid}{}, which is that of group {}, and is no director of it",
                        leg.network,
                        words_of(heard),
                        group.name
                    ),
                    format!(
                        "in [group.{}] of the cluster file: {}, or stop that router",
                        group.name,
                        free_vrid(patient, leg)
                    ),
                ),
            }
        }
        let active_here = patient.status.is_some_and(|status| {
            status.groups.iter().any(|one| one.name == group.name && one.state == GroupState::Active)
        });
        let (name, network) = (&group.name, &leg.network);
        match (directors.as_slice(), active_here) {
            ([], true) if leg.family == Family::V4 || !speaks(patient, group, network, Family::V4) => {
                believed(patient, group, &leg.network, findings);
            }
            ([], true) => {}
            ([], false) => findings.unknown(
                "adverts",
                format!(
                    "no adverts of group {name} on network {network}{}: nobody is active, or they do not get here",
                    family_words(leg.family)
                ),
                format!("start a director; if one is active: {}", let_pass(group, leg.family)),
            ),
            ([one], false) => findings.good(
                "adverts",
                format!("group {name}, network {network}{}: heard from {one}", family_words(leg.family)),
            ),
            (several, _) => findings.bad(
                "adverts",
                format!("group {name} has more than one active director on network {network}: {}{}", several.join("; "), if active_here { "; this node" } else { "" }),
                format!("they do not hear each other, on each of them: {}; else look at the switches between them", let_pass(group, leg.family)),
            ),
        }
    }
}

const fn family_words(family: Family) -> &'static str {
    match family {
        Family::V4 => "",
        Family::V6 => " (IPv6)",
    }
}

fn words_of(heard: &Heard) -> String {
    let Some(addresses) = &heard.addresses else { return String::new() };
    let list: Vec<String> = addresses.iter().take(4).map(ToString::to_string).collect();
    format!(" for {}", list.join(", "))
}

/// What lets adverts through a firewall and switches.
fn let_pass(group: &Group, family: Family) -> String {
    let to = group.multicast.of(family);
    let (word, end) = match family {
        Family::V4 => ("ip protocol", ""),
        Family::V6 => ("meta l4proto", ""),
    };
    let open =
        format!("nft add rule inet filter input {word} 112 accept{end} (or what your firewall has for it)");
    match group.unicast {
        Some(_) => open,
        None => {
            format!("{open}; switches with IGMP or MLD snooping must let {to} pass; or write unicast = true")
        }
    }
}

/// A router id that nobody has on a network, as a key of a group.
fn free_vrid(patient: Patient<'_>, leg: &Leg) -> String {
    let ours = patient.cluster.groups.iter().filter_map(|group| group.vrids.get(&leg.network));
    let taken: BTreeSet<u8> = ours.copied().chain(leg.heard.keys().map(|(vrid, _)| *vrid)).collect();
    let free = (51..=255).chain(1..51).find(|vrid| !taken.contains(vrid));
    free.map_or_else(
        || "another vrid".to_owned(),
        |vrid| format!("vrid = {vrid}, which nobody was heard with"),
    )
}

/// This node is active: whether the others hear it, as they say themselves.
fn believed(patient: Patient<'_>, group: &Group, network: &NetworkName, findings: &mut Findings) {
    let status = patient.status.and_then(|status| status.groups.iter().find(|one| one.name == group.name));
    let opinions = status.map_or(&[][..], |status| &status.opinions);
    for (peer, _) in group.priorities.iter().filter(|(name, _)| name != patient.node) {
        let opinion = opinions.iter().find(|opinion| opinion.node == *peer && opinion.state.is_some());
        match opinion {
            Some(opinion) if opinion.hears_adverts.contains(network) => {
                findings.good(
                    "adverts",
                    format!("{peer} hears this node's adverts of group {} on network {network}", group.name),
                );
            }
            Some(_) => findings.bad(
                "adverts",
                format!(
                    "{peer} does not hear this node's adverts of group {} on network {network}",
                    group.name
                ),
                format!("on {peer}: {}", let_pass(group, Family::V4)),
            ),
            None => findings.unknown(
                "adverts",
                format!("whether {peer} hears this node's adverts on network {network}: it does not say"),
                "with [peers] the directors tell each other; or run `relevo doctor` there",
            ),
        }
    }
}

/// The director that an advert is from. The file does not tell link-local addresses: who speaks of our addresses is one.
fn node_of(
    patient: Patient<'_>,
    group: &Group,
    network: &NetworkName,
    source: IpAddr,
    heard: &Heard,
) -> Option<String> {
    if matches!(source, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
        let ours = |ip: &IpAddr| patient.cluster.addresses_of(&group.name).any(|address| address.ip == *ip);
        let is_ours = heard.addresses.as_ref().is_none_or(|addresses| addresses.iter().any(ours));
        let same = group.priorities.iter().find(|(_, priority)| *priority == heard.priority);
        return is_ours.then(|| same.map_or_else(|| "a director".to_owned(), |(name, _)| name.to_string()));
    }
    let mut names = group.priorities.iter().map(|(name, _)| name);
    let of = |name: &&relevo_model::NodeName| {
        let node = patient.cluster.node(name);
        node.and_then(|node| node.address_on(network)).is_some_and(|own| own.has(source))
    };
    names.find(of).map(ToString::to_string)
}

/// Who says that a virtual address is his.
fn addresses(patient: Patient<'_>, legs: &[Leg], findings: &mut Findings) {
    // Both families are asked at once, on the first leg of each network.
    let mut asked = BTreeSet::new();
    for leg in legs.iter().filter(|leg| asked.insert(&leg.network)) {
        let groups: Vec<_> = patient.groups().map(|group| &group.name).collect();
        let ips: Vec<(IpAddr, String, bool)> = patient
            .cluster
            .addresses
            .iter()
            .filter(|address| address.network == leg.network && groups.contains(&&address.group))
            .map(|address| (address.ip, address.name.to_string(), is_here(patient, &address.name)))
            .collect();
        let Ok(mut watch) = ConflictWatch::open(ips.iter().map(|(ip, ..)| *ip).collect()) else { continue };
        for (ip, ..) in &ips {
            let _ = watch.probe(&leg.interface.link, *ip);
        }
        let mut claims: BTreeMap<IpAddr, BTreeSet<[u8; 6]>> = BTreeMap::new();
        let end = Instant::now() + ANSWERS;
        while Instant::now() < end {
            while let Some(claim) = watch.receive() {
                if claim.hardware.as_slice() != leg.interface.link.hardware.as_slice() {
                    claims.entry(claim.ip).or_default().insert(claim.hardware);
                }
            }
            std::thread::sleep(LOOK);
        }
        for (ip, name, here) in ips {
            let others: Vec<String> =
                claims.get(&ip).into_iter().flatten().map(|mac| mac_words(*mac)).collect();
            match (here, others.as_slice()) {
                (true, []) => findings.good("addresses", format!("{name} ({ip}) is here, and nobody else answers for it")),
                (false, []) => findings.unknown("addresses", format!("nobody answers for {name} ({ip})"), "no director is active yet"),
                (false, [one]) => findings.good("addresses", format!("{name} ({ip}) is answered for by {one}")),
                (true, others) => findings.bad(
                    "addresses",
                    format!("{name} ({ip}) is here, and {} answers for it too", others.join(", ")),
                    "find that machine by its hardware address (bridge fdb, the switch's table) and take the address off",
                ),
                (false, others) => findings.bad(
                    "addresses",
                    format!("{name} ({ip}) is answered for by several: {}", others.join(", ")),
                    "two machines have it: one of them must let it go",
                ),
            }
        }
    }
}

fn is_here(patient: Patient<'_>, name: &str) -> bool {
    let groups = patient.status.map_or(&[][..], |status| &status.groups);
    groups.iter().any(|group| {
        group.state == GroupState::Active
            && group.addresses.iter().any(|address| address.name.as_str() == name)
    })
}

fn mac_words(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
