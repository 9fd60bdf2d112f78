//! Interfaces, and the other nodes on their networks: do they answer, how large a packet gets there, what their clocks say.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relevo_model::cluster::{NodeAddress, Role};
use relevo_net::icmp::{Echo, Icmp};
use relevo_net::route::Route;

use super::{Findings, Patient};

/// Longest wait for an answer.
const WAIT: Duration = Duration::from_millis(700);
/// A clock that is off by this much makes logs hard to read together.
const SKEW_DOUBTFUL: i64 = 1_000;
/// By this much: certificates and leases begin to be wrong.
const SKEW_BAD: i64 = 60_000;
/// Nodes that are asked on one network.
const MOST: usize = 64;

pub(super) fn look(patient: Patient<'_>, findings: &mut Findings) {
    let mut route = match Route::open() {
        Ok(route) => route,
        Err(error) => return findings.unknown("interfaces", error.to_string(), ""),
    };
    let mut icmp = Icmp::open();
    if let Err(error) = &icmp {
        findings.unknown("neighbours", format!("not asked: {error}"), "run it as root");
    }
    for own in patient.addresses() {
        let interface = match route.interface(own.ip, own.interface.as_deref()) {
            Ok(interface) => interface,
            Err(error) => {
                let prefix = patient.cluster.network(&own.network).map_or(24, |it| it.subnet.prefix_len());
                let name = own.interface.as_deref().unwrap_or("INTERFACE");
                let remedy = format!(
                    "ip address add {}/{prefix} dev {name} && ip link set {name} up; or correct [node.{}]",
                    own.ip, patient.node
                );
                findings.bad("interfaces", format!("network {}: {error}", own.network), remedy);
                continue;
            }
        };
        let name = &interface.link.name;
        if !interface.link.up {
            let remedy =
                format!("ip link set {name} up; if it is up already: the cable, and the switch's port");
            findings.bad(
                "interfaces",
                format!("{name} (network {}) is down or has no carrier", own.network),
                remedy,
            );
            continue;
        }
        let mtu = mtu(name);
        findings
            .good("interfaces", format!("{name} is on network {} with {}, MTU {mtu}", own.network, own.ip));
        let wanted = patient.cluster.network(&own.network).and_then(|network| network.mtu);
        if let Some(wanted) = wanted.filter(|wanted| u64::from(*wanted) != mtu as u64) {
            findings.bad(
                "MTU",
                format!("{name} has MTU {mtu}, and network {} says {wanted}", own.network),
                format!("ip link set {name} mtu {wanted}, and in the system's own configuration"),
            );
        }
        if let Ok(icmp) = &mut icmp {
            neighbours(patient, own, mtu, icmp, findings);
        }
    }
}

fn mtu(interface: &str) -> usize {
    let text = fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).unwrap_or_default();
    text.trim().parse().unwrap_or(1500)
}

fn neighbours(patient: Patient<'_>, own: &NodeAddress, mtu: usize, icmp: &mut Icmp, findings: &mut Findings) {
    let others = patient.cluster.nodes.iter().filter(|node| node.name != *patient.node);
    let on_it = others.filter_map(|node| Some((node, node.address_on(&own.network)?.ip)));
    let (mut whole, mut silent) = (Vec::new(), Vec::new());
    for (node, ip) in on_it.take(MOST) {
        let is_director = node.is(Role::Director);
        match icmp.echo(ip, 84, WAIT) {
            Echo::Back(_) => {}
            Echo::TooLarge | Echo::Nothing => {
                silent.push(format!("{} ({ip})", node.name));
                continue;
            }
        }
        match icmp.echo(ip, mtu, WAIT) {
            Echo::Back(_) => whole.push(node.name.to_string()),
            Echo::TooLarge | Echo::Nothing => findings.bad(
                "MTU",
                format!(
                    "packets of {mtu} bytes do not reach {} ({ip}) on network {}; small ones do",
                    node.name, own.network
                ),
                "give all interfaces and switches of the network the same MTU",
            ),
        }
        if is_director {
            clock(&node.name, ip, icmp, findings);
        }
    }
    if !whole.is_empty() {
        findings.good(
            "MTU",
            format!("packets of {mtu} bytes reach {} on network {}", whole.join(", "), own.network),
        );
    }
    if !silent.is_empty() {
        findings.unknown(
            "neighbours",
            format!("no answer to ping on network {} from {}", own.network, silent.join(", ")),
            "they are off, or a firewall drops ICMP",
        );
    }
}

fn clock(name: &str, ip: Ipv4Addr, icmp: &mut Icmp, findings: &mut Findings) {
    let now = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u32::try_from(since.as_millis() % 86_400_000).unwrap_or_default()
    };
    match icmp.clock(ip, now, WAIT) {
        None => findings.unknown(
            "clocks",
            format!("{name} ({ip}) does not tell its time"),
            "compare `date` by hand",
        ),
        Some((ahead, took)) => {
            // Half of the way there and back is uncertain.
            let error = i64::try_from(took.as_millis() / 2).unwrap_or(i64::MAX) + 1;
            let off = (ahead.abs() - error).max(0);
            let seen = format!(
                "the clock of {name} is {} ms {} ours",
                ahead.abs(),
                if ahead < 0 { "behind" } else { "ahead of" }
            );
            let remedy = "on both: timedatectl set-ntp true, or apt-get install chrony";
            if off >= SKEW_BAD {
                findings.bad("clocks", seen, remedy);
            } else if off >= SKEW_DOUBTFUL {
                findings.doubtful("clocks", seen, remedy);
            } else {
                findings.good("clocks", format!("{name} has our time within {} ms", ahead.abs() + error));
            }
        }
    }
}
