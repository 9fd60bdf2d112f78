//! Permissions, limits, sysctls and programs of this machine.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use relevo_model::cluster::{Address, Role};
use relevo_net::nft::Nft;
use relevo_net::route::Route;

use super::{Findings, Patient};
use crate::process::needed_files;

/// `capabilities(7)`: bits of the effective set.
const NEEDED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW")];

pub(super) fn look(patient: Patient<'_>, findings: &mut Findings) {
    if patient.groups().next().is_some() {
        permissions(findings);
    }
    if patient.cluster.node(patient.node).is_some_and(|node| node.is(Role::Director)) {
        open_files(patient, findings);
    }
    programs(patient, findings);
    sysctls(patient, findings);
}

fn permissions(findings: &mut Findings) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(bits) = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()) else {
        return findings.unknown("permissions", "/proc/self/status does not tell them", "mount /proc");
    };
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(bit, _)| bits >> bit & 1 == 0).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        findings.good("permissions", "virtual addresses and raw sockets are allowed");
    } else {
        let remedy = "run it as root, or give the unit AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW";
        findings.bad("permissions", format!("not permitted: {}", missing.join(", ")), remedy);
    }
}

fn open_files(patient: Patient<'_>, findings: &mut Findings) {
    let needed = needed_files(patient.cluster);
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard >= needed => {
            findings.good("open files", format!("{hard} are allowed, {needed} may be needed"));
        }
        Ok((_, hard)) => findings.doubtful(
            "open files",
            format!("{hard} are allowed; all services full need {needed}"),
            format!("ulimit -n {needed} before it starts, LimitNOFILE={needed} in its unit; or lower max_connections"),
        ),
        Err(error) => findings.unknown("open files", error.to_string(), ""),
    }
}

fn programs(patient: Patient<'_>, findings: &mut Findings) {
    let cluster = patient.cluster;
    let closed = patient.groups().any(|group| !group.accept);
    if cluster.gateways.is_empty() && !cluster.firewall.cluster_ports && !closed {
        return;
    }
    match Nft::new().check("table inet relevo-doctor {\n}\n") {
        Ok(()) => {
            findings.good("nftables", "nft works, for [gateway], [firewall] and accept = false");
            if closed && patient.status.is_some() {
                drops(findings);
            }
        }
        Err(error) => findings.bad(
            "nftables",
            format!("nft does not work: {error}"),
            "apt-get install nftables (dnf install nftables); the kernel needs nf_tables: modprobe nf_tables",
        ),
    }
}

/// Whether packets to addresses that only forward are dropped, while the node runs.
fn drops(findings: &mut Findings) {
    match Nft::new().list_table("inet", relevo_net::accept::TABLE) {
        Ok(Some(_)) => findings.good("accept", "packets to addresses with accept = false are dropped"),
        Ok(None) => findings.bad(
            "accept",
            format!("accept = false, and the table {} is not there: somebody took it away, and connections to the addresses are answered", relevo_net::accept::TABLE),
            "relevo reload",
        ),
        Err(error) => findings.unknown("accept", error.to_string(), "run it as root"),
    }
}

/// The value of a sysctl of an interface; the larger of its own and that of `all`, as the kernel does for most.
pub(super) fn of_interface(family: &str, interface: &str, name: &str) -> Option<i64> {
    Some(one_of(family, interface, name)?.max(one_of(family, "all", name).unwrap_or(0)))
}

fn one_of(family: &str, interface: &str, name: &str) -> Option<i64> {
    let path = format!("/proc/sys/net/{family}/conf/{interface}/{name}");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn sysctls(patient: Patient<'_>, findings: &mut Findings) {
    let Ok(mut route) = Route::open() else { return };
    let has_v6 = |address: &&Address| address.ip.is_ipv6();
    for own in patient.addresses() {
        let Ok(interface) = route.interface(own.ip, own.interface.as_deref()) else { continue };
        let name = interface.link.name;
        let mut good = true;
        if of_interface("ipv4", &name, "rp_filter") == Some(1) && !patient.cluster.gateways.is_empty() {
            good = false;
            findings.doubtful(
                "sysctls",
                format!("net.ipv4.conf.{name}.rp_filter is 1 (strict): packets that come in by another interface than the answer leaves by are dropped"),
                format!("sysctl -w net.ipv4.conf.{name}.rp_filter=2, unless each network is reached by one way alone"),
            );
        }
        if of_interface("ipv4", &name, "drop_gratuitous_arp") == Some(1) {
            good = false;
            // Whichever of the two says so.
            let which = if one_of("ipv4", "all", "drop_gratuitous_arp") == Some(1) { "all" } else { &name };
            findings.bad(
                "sysctls",
                format!("net.ipv4.conf.{name}.drop_gratuitous_arp is 1: this machine does not hear that an address has moved"),
                format!("sysctl -w net.ipv4.conf.{which}.drop_gratuitous_arp=0"),
            );
        }
        let wants_v6 =
            patient.cluster.addresses.iter().filter(has_v6).any(|address| address.network == own.network);
        if wants_v6 && one_of("ipv6", &name, "disable_ipv6") != Some(0) {
            good = false;
            findings.bad(
                "sysctls",
                format!("IPv6 is off on {name}, and network {} has an IPv6 address", own.network),
                format!("sysctl -w net.ipv6.conf.{name}.disable_ipv6=0"),
            );
        }
        if good {
            findings.good("sysctls", format!("{name}: nothing is in the way"));
        }
    }
}
