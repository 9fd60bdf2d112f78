//! What can be heard on the wire: adverts of the other directors, strangers with our router ids, and who answers for the virtual
//! addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use relevo_api::types::GroupState;
use relevo_model::NetworkName;
use relevo_model::cluster::{Address, Group};
use relevo_net::conflict::ConflictWatch;
use relevo_net::link::Interface;
use relevo_net::route::Route;
use relevo_net::vrrp_socket::VrrpSocket;

use super::{Findings, Patient};

/// How long answers for an address are waited for.
const ANSWERS: Duration = Duration::from_millis(700);
/// Time from one look at the sockets to the next.
const LOOK: Duration = Duration::from_millis(10);

/// A network that groups of this node are on.
struct Leg {
    network: NetworkName,
    interface: Interface,
    socket: VrrpSocket,
    /// Router ids that were heard, with their senders and priorities.
    heard: BTreeMap<(u8, Ipv4Addr), u8>,
}

pub(super) fn look(patient: Patient<'_>, findings: &mut Findings) {
    let Ok(mut route) = Route::open() else { return };
    let networks: BTreeSet<&NetworkName> = patient.groups().flat_map(|group| group.vrids.keys()).collect();
    let mut legs = Vec::new();
    for network in networks {
        let own = patient.addresses().iter().find(|address| address.network == *network);
        let Some(interface) = own.and_then(|own| route.interface(own.ip, own.interface.as_deref()).ok())
        else {
            continue;
        };
        let unicast =
            patient.groups().find(|group| group.vrids.contains_key(network)).and_then(|one| one.unicast);
        match VrrpSocket::open(&interface.link, IpAddr::V4(interface.ip), unicast.map(|unicast| unicast.ttl))
        {
            Ok(socket) => {
                legs.push(Leg { network: network.clone(), interface, socket, heard: BTreeMap::new() })
            }
            Err(error) => findings.unknown("adverts", format!("not listened for: {error}"), "run it as root"),
        }
    }
    listen(patient, &mut legs);
    for leg in &legs {
        adverts(patient, leg, findings);
    }
    addresses(patient, &legs, findings);
}

/// Three adverts and the skew of whoever is the slowest, or as long as was asked for.
fn listen(patient: Patient<'_>, legs: &mut [Leg]) {
    let slowest = patient.groups().map(|group| group.advert * 4).max().unwrap_or_default();
    let end = Instant::now() + slowest.max(patient.listen);
    while Instant::now() < end && !legs.is_empty() {
        for leg in legs.iter_mut() {
            while let Ok(Some(datagram)) = leg.socket.receive() {
                // Version and type, VRID, priority: the same in both versions.
                if let ([_, vrid, priority, ..], IpAddr::V4(source)) = (datagram.payload, datagram.source) {
                    leg.heard.insert((*vrid, source), *priority);
                }
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn adverts(patient: Patient<'_>, leg: &Leg, findings: &mut Findings) {
    for group in patient.groups() {
        let Some(vrid) = group.vrids.get(&leg.network) else { continue };
        // Where a group has IPv6 addresses alone, there is no advert that is looked at here.
        let is_v4 = |address: &&Address| address.network == leg.network && address.ip.is_ipv4();
        if patient.cluster.addresses_of(&group.name).find(is_v4).is_none() {
            continue;
        }
        let heard: Vec<_> = leg.heard.iter().filter(|((id, _), _)| id == vrid).collect();
        let mut directors = Vec::new();
        for ((_, source), priority) in heard {
            match node_of(patient, group, &leg.network, *source) {
                Some(name) => directors.push(format!("{name} ({source}), priority {priority}")),
                None => findings.bad(
                    "router ids",
                    format!(
                        "{source} on network {} sends adverts of router id {vrid}, which is that of group {}, and is no director of it",
                        leg.network, group.name
                    ),
                    format!("give [group.{}] another vrid on {}, or stop that router", group.name, leg.network),
                ),
            }
        }
        let active_here = patient.status.is_some_and(|status| {
            status.groups.iter().any(|one| one.name == group.name && one.state == GroupState::Active)
        });
        let (name, network) = (&group.name, &leg.network);
        match (directors.as_slice(), active_here) {
            ([], true) => believed(patient, group, &leg.network, findings),
            ([], false) => findings.unknown(
                "adverts",
                format!("no adverts of group {name} on network {network}: nobody is active, or they do not get here"),
                "start a director; if one is active, let protocol 112 to 224.0.0.18 pass through firewalls and switches (IGMP snooping), or use unicast = true",
            ),
            ([one], false) => findings.good("adverts", format!("group {name}, network {network}: heard from {one}")),
            (several, _) => findings.bad(
                "adverts",
                format!("group {name} has more than one active director on network {network}: {}{}", several.join("; "), if active_here { "; this node" } else { "" }),
                "they do not hear each other: look at the switches between them",
            ),
        }
    }
}

/// This node is active: whether the others hear it, as they say themselves.
fn believed(patient: Patient<'_>, group: &Group, network: &NetworkName, findings: &mut Findings) {
    let status = patient.status.and_then(|status| status.groups.iter().find(|one| one.name == group.name));
    let opinions = status.map_or(&[][..], |status| &status.opinions);
    for (peer, _) in group.priorities.iter().filter(|(name, _)| name != patient.node) {
        let opinion = opinions.iter().find(|opinion| opinion.node == *peer && opinion.state.is_some());
        match opinion {
            Some(opinion) if opinion.hears_adverts.contains(network) => {
                findings.good("adverts", format!("{peer} hears this node's adverts of group {} on network {network}", group.name));
            }
            Some(_) => findings.bad(
                "adverts",
                format!("{peer} does not hear this node's adverts of group {} on network {network}", group.name),
                "let protocol 112 to 224.0.0.18 pass through firewalls and switches (IGMP snooping), or use unicast = true",
            ),
            None => findings.unknown(
                "adverts",
                format!("whether {peer} hears this node's adverts on network {network}: it does not say"),
                "with [peers] the directors tell each other; or run `relevo doctor` there",
            ),
        }
    }
}

fn node_of(patient: Patient<'_>, group: &Group, network: &NetworkName, source: Ipv4Addr) -> Option<String> {
    let mut names = group.priorities.iter().map(|(name, _)| name);
    let of = |name: &&relevo_model::NodeName| {
        let node = patient.cluster.node(name);
        node.and_then(|node| node.address_on(network)).is_some_and(|own| own.ip == source)
    };
    names.find(of).map(ToString::to_string)
}

/// Who says that a virtual address is his.
fn addresses(patient: Patient<'_>, legs: &[Leg], findings: &mut Findings) {
    for leg in legs {
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
