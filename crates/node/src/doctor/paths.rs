//! What is in the way of services that the kernel carries: their form and path, other people's filters, connection
//! tracking, and the loopback of servers that answer clients by themselves.

use std::fs;

use relevo_model::cluster::{Forward, Role};
use relevo_net::nft::Nft;
use relevo_proto::flows::{TABLE, strict_filters};

use super::{Findings, Patient};
use crate::{flows, server};

pub(super) fn look(patient: Patient<'_>, findings: &mut Findings) {
    let Some(node) = patient.cluster.node(patient.node) else { return };
    if node.is(Role::Director) {
        director(patient, findings);
    } else {
        loopback(patient, findings);
    }
}

fn director(patient: Patient<'_>, findings: &mut Findings) {
    let cluster = patient.cluster;
    let (mut stateless, mut tracked) = (false, false);
    for (service, path) in cluster.services.iter().zip(cluster.kernel_paths()) {
        let name = &service.name;
        let status = patient.status.and_then(|status| status.services.iter().find(|one| one.name == *name));
        let seen = match status.and_then(|service| service.path.as_ref()) {
            Some(path) if path.kernel => Ok(()),
            Some(path) => Err(path.why.clone()),
            // It does not run: what would it find?
            None => path.clone().and_then(|()| flows::permits(cluster, service)),
        };
        match (path, seen) {
            (Err(why), _) => findings.good("paths", format!("{name}: in userspace: {why}")),
            (Ok(()), Err(why)) => {
                let is = if status.is_some() { "is" } else { "would be" };
                findings.doubtful(
                    "paths",
                    format!("{name}: could take the kernel's path, and {is} served in userspace: {why}"),
                    "its connections end with this director",
                );
            }
            (Ok(()), Ok(())) => {
                findings.good("paths", format!("{name}: the kernel's path, {}", service.form()));
                stateless |=
                    service.forward == Forward::Nat && service.source.is_none() && service.synproxy.is_none();
                tracked |= service.source.is_some();
            }
        }
    }
    if stateless {
        filters(findings);
    }
    if tracked {
        let loose = "/proc/sys/net/netfilter/nf_conntrack_tcp_loose";
        match fs::read_to_string(loose) {
            Ok(value) if value.trim() == "0" => findings.bad(
                "paths",
                "net.netfilter.nf_conntrack_tcp_loose is 0: connections of services with `source` end with their director",
                "sysctl -w net.netfilter.nf_conntrack_tcp_loose=1",
            ),
            Ok(_) => findings.good("paths", "connection tracking takes up connections that it has not seen begin"),
            Err(error) => findings.unknown("paths", format!("{loose}: {error}"), "load nf_conntrack"),
        }
    }
}

/// Packets of the usual form are untracked: a filter that lets through what is established does not know them.
fn filters(findings: &mut Findings) {
    let ruleset = match Nft::new().list_ruleset() {
        Ok(text) => text,
        Err(error) => return findings.unknown("filters", error.to_string(), "run it as root"),
    };
    let strict = strict_filters(&ruleset, &[TABLE, relevo_net::gateway::TABLE, relevo_net::firewall::TABLE]);
    if strict.is_empty() {
        return findings.good("filters", "no filter of forwarded packets is in the way of the kernel's path");
    }
    for chain in strict {
        findings.doubtful(
            "filters",
            format!("{chain} drops forwarded packets and knows nothing of untracked ones: those of services on the kernel's path are"),
            "add there, before what drops: ct state untracked accept (or for the servers' addresses and ports alone)",
        );
    }
}

fn loopback(patient: Patient<'_>, findings: &mut Findings) {
    let wanted = patient.cluster.answered_by(patient.node);
    if wanted.is_empty() {
        return;
    }
    let standing = match server::look(&wanted) {
        Ok(standing) => standing,
        Err(error) => return findings.unknown("loopback", error.to_string(), "look as root"),
    };
    for ip in &standing.missing {
        findings.bad(
            "loopback",
            format!("{ip} is not on the loopback: packets of direct services are dropped here"),
            format!(
                "run `relevo node run` here, or: ip address add {ip}/{} dev lo",
                if ip.is_ipv4() { 32 } else { 128 }
            ),
        );
    }
    for (name, least) in &standing.loud {
        findings.bad(
            "loopback",
            format!("net.ipv4.conf.all.{name} is less than {least}: neighbours hear of the directors' addresses from here"),
            format!("run `relevo node run` here, or: sysctl -w net.ipv4.conf.all.{name}={least}"),
        );
    }
    if standing.missing.is_empty() && standing.loud.is_empty() {
        findings.good(
            "loopback",
            "the addresses of direct services are there, and neighbours do not hear of them",
        );
    }
}
