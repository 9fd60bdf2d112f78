//! Whether the addresses answer right: a backup asks for them by ARP or neighbour solicitation, and compares the hardware address that answers with the
//! one that the owner says it has.
//!
//! Soon after an owner was heard first, and then now and then. The probes are those of RFC 5227: nobody learns anything
//! from them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use relevo_model::cluster::{Address, ClusterFile, Family, Group, MacSource};
use relevo_model::{AddressName, NetworkName, NodeName, Time};
use relevo_net::conflict::ConflictWatch;
use relevo_net::link::Link;
use relevo_net::route::Route;
use relevo_proto::ownership::{Own, Ownership, Verdict};
use relevo_proto::vrrp::State;

/// After a takeover: neighbours are told for 2.5 s.
const FIRST: Duration = Duration::from_millis(500);
/// While nothing changes.
const AGAIN: Duration = Duration::from_secs(10);
/// Time for an answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// Asks, and hears answers.
#[derive(Debug)]
pub(super) struct Verify {
    addresses: Vec<Asked>,
    watch: Option<ConflictWatch>,
    owners: BTreeMap<usize, NodeName>,
}

#[derive(Debug)]
struct Asked {
    group: usize,
    name: AddressName,
    ip: IpAddr,
    network: NetworkName,
    /// This node's own address there, and its interface if it is named.
    own: (Ipv4Addr, Option<String>),
    /// The virtual hardware address that it has; `None`: that of its owner's interface.
    hardware: Option<[u8; 6]>,
    ask_at: Option<Time>,
    /// Asked; the answer is waited for until then.
    until: Option<Time>,
    heard: Vec<[u8; 6]>,
    told: Verdict,
}

impl Verify {
    pub(super) fn new(cluster: &ClusterFile, own: &NodeName) -> Self {
        let ours = cluster.groups.iter().filter(|group| group.priority_of(own).is_some());
        let mut addresses = Vec::new();
        for (group, settings) in ours.enumerate() {
            for address in cluster.addresses_of(&settings.name) {
                let place = cluster.node(own).and_then(|node| node.address_on(&address.network));
                if let Some(place) = place {
                    addresses.push(Asked {
                        group,
                        name: address.name.clone(),
                        ip: address.ip,
                        network: address.network.clone(),
                        own: (place.ip, place.interface.clone()),
                        hardware: hardware(cluster, settings, address),
                        ask_at: None,
                        until: None,
                        heard: Vec::new(),
                        told: Verdict::Unknown,
                    });
                }
            }
        }
        let watch = ConflictWatch::open(addresses.iter().map(|address| address.ip).collect());
        if let Err(error) = &watch {
            tracing::warn!("whether the addresses answer right cannot be asked: {}", crate::in_full(error));
        }
        Self { addresses, watch: watch.ok(), owners: BTreeMap::new() }
    }

    /// Asks what is to be asked, and tells the machine what came of it.
    pub(super) fn turn(&mut self, now: Time, owns: &[Own], machine: &mut Ownership) {
        let Some(watch) = &mut self.watch else { return };
        while let Some(claim) = watch.receive() {
            for asked in self.addresses.iter_mut().filter(|asked| asked.ip == claim.ip) {
                if asked.until.is_some() && !asked.heard.contains(&claim.hardware) && asked.heard.len() < 8 {
                    asked.heard.push(claim.hardware);
                }
            }
        }
        for (group, own) in owns.iter().enumerate() {
            // The owner does not ask: it holds the addresses, and watches for others itself.
            let owner = own.owner.as_ref().filter(|_| own.state == State::Backup);
            if self.owners.get(&group) != owner {
                for asked in self.addresses.iter_mut().filter(|asked| asked.group == group) {
                    (asked.until, asked.ask_at) = (None, owner.map(|_| now + FIRST));
                    if asked.told != Verdict::Unknown {
                        asked.told = Verdict::Unknown;
                        machine.handle_verdict(&asked.name, Verdict::Unknown);
                    }
                }
                match owner {
                    Some(owner) => self.owners.insert(group, owner.clone()),
                    None => self.owners.remove(&group),
                };
            }
        }
        let mut route = None;
        for asked in &mut self.addresses {
            let Some(owner) = self.owners.get(&asked.group) else { continue };
            if asked.until.is_some_and(|until| until <= now) {
                asked.until = None;
                let right = asked.hardware.or_else(|| machine.hardware(asked.group, owner, &asked.network));
                let verdict = judge(&asked.heard, right);
                tell(asked, owner, verdict);
                machine.handle_verdict(&asked.name, verdict);
                // What is wrong is asked again soon.
                let pause = if verdict == Verdict::Right { AGAIN } else { FIRST * 2 };
                asked.ask_at = Some(now + pause);
            }
            if asked.ask_at.is_some_and(|at| at <= now) {
                asked.ask_at = None;
                asked.heard.clear();
                asked.until = Some(now + PATIENCE);
                let link = link_of(&mut route, &asked.own);
                let probed = link.is_some_and(|link| watch.probe(&link, asked.ip).is_ok());
                if !probed {
                    (asked.until, asked.ask_at) = (None, Some(now + AGAIN));
                    machine.handle_verdict(&asked.name, Verdict::Unknown);
                }
            }
        }
    }
}

/// With `mac = "virtual"`: that of the router of its family there, or of the other one.
fn hardware(cluster: &ClusterFile, group: &Group, address: &Address) -> Option<[u8; 6]> {
    if group.mac == MacSource::Interface || address.interface.is_some() {
        return None;
    }
    let vrid = group.vrid_on(&address.network)?;
    let routed = |family: Family| {
        let is_there = |it: &Address| it.watched && it.network == address.network && it.family() == family;
        cluster.addresses_of(&group.name).any(is_there)
    };
    let families = [address.family(), Family::V4, Family::V6];
    let family = families.into_iter().find(|family| routed(*family))?;
    Some(relevo_net::virtual_mac::hardware(family, vrid))
}

fn link_of(route: &mut Option<Route>, own: &(Ipv4Addr, Option<String>)) -> Option<Link> {
    if route.is_none() {
        *route = Route::open().ok();
    }
    let found = route.as_mut()?.interface(own.0, own.1.as_deref());
    found.ok().map(|interface| interface.link).filter(|link| link.up)
}

fn judge(heard: &[[u8; 6]], right: Option<[u8; 6]>) -> Verdict {
    match (right, heard) {
        (_, []) => Verdict::Silent,
        (None, _) => Verdict::Unknown,
        (Some(right), heard) => match heard.iter().find(|hardware| **hardware != right) {
            Some(other) => Verdict::Other(*other),
            None => Verdict::Right,
        },
    }
}

/// Into the incident log: what is wrong, and that it is right again.
fn tell(asked: &mut Asked, owner: &NodeName, verdict: Verdict) {
    let before = std::mem::replace(&mut asked.told, verdict);
    if before == verdict || (before == Verdict::Unknown && verdict == Verdict::Unknown) {
        return;
    }
    let (name, ip) = (&asked.name, asked.ip);
    let text = match verdict {
        Verdict::Unknown => return,
        Verdict::Right => format!("{name} ({ip}) answers with the hardware address of {owner}"),
        Verdict::Silent => format!("{name} ({ip}) does not answer, though {owner} holds it"),
        Verdict::Other(hardware) => {
            let hardware = hardware.map(|byte| format!("{byte:02x}")).join(":");
            format!(
                "{name} ({ip}) is held by {owner}, but {hardware} answers: {owner} is asked to announce it"
            )
        }
    };
    let fields = [("address", name.to_string()), ("owner", owner.to_string())];
    if verdict == Verdict::Right {
        tracing::info!(address = %name, "{text}");
    } else {
        tracing::warn!(address = %name, "{text}");
    }
    crate::incidents::note("answer", &text, &fields);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_answer_is_one_too_many() {
        let (right, other) = ([2; 6], [4; 6]);
        for (heard, known, verdict) in [
            (vec![], Some(right), Verdict::Silent),
            (vec![right], Some(right), Verdict::Right),
            (vec![right, other], Some(right), Verdict::Other(other)),
            (vec![other], Some(right), Verdict::Other(other)),
            (vec![other], None, Verdict::Unknown),
        ] {
            assert_eq!(judge(&heard, known), verdict);
        }
    }
}
