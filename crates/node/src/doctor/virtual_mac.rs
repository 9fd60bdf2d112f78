//! What `mac = "virtual"` needs: macvlan in the kernel, an interface that may send from another hardware address, sysctls of
//! which a machine answers for its addresses on the right one, and switches that let such an address move.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::Path;

use relevo_api::types::GroupState;
use relevo_model::NetworkName;
use relevo_model::cluster::{Group, MacSource};
use relevo_net::route::Route;

use super::machine::of_interface;
use super::{Findings, Patient};

/// What a director gives the interface below, and the least that does.
const BASE: [(&str, i64); 2] = [("arp_ignore", 1), ("arp_announce", 2)];

pub(super) fn look(patient: Patient<'_>, findings: &mut Findings) {
    let groups: Vec<&Group> = patient.groups().filter(|group| group.mac == MacSource::Virtual).collect();
    if groups.is_empty() {
        return;
    }
    let Ok(mut route) = Route::open() else { return };
    match route.has_macvlan() {
        Ok(true) => findings.good("virtual MAC", "the kernel has macvlan"),
        Ok(false) => findings.bad(
            "virtual MAC",
            "the kernel has no macvlan, which mac = \"virtual\" needs",
            "modprobe macvlan, or write mac = \"interface\"",
        ),
        Err(error) => findings.unknown("virtual MAC", format!("macvlan: {error}"), "run it as root"),
    }
    let networks: BTreeSet<&NetworkName> = groups.iter().flat_map(|group| group.vrids.keys()).collect();
    for own in patient.addresses().iter().filter(|own| networks.contains(&own.network)) {
        let Ok(interface) = route.interface(own.ip, own.interface.as_deref()) else { continue };
        base(patient, &interface.link.name, findings);
    }
    for group in groups {
        switches(patient, group, findings);
    }
}

fn base(patient: Patient<'_>, name: &str, findings: &mut Findings) {
    if Path::new("/sys/class/net").join(name).join("phy80211").exists() {
        findings.bad(
            "virtual MAC",
            format!("{name} is a wireless interface: an access point takes packets from its own hardware address alone"),
            "write mac = \"interface\"",
        );
    }
    let mut good = true;
    for (key, least) in BASE {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/{key}");
        if patient.status.is_some() {
            if of_interface("ipv4", name, key).is_some_and(|value| value < least) {
                good = false;
                findings.bad(
                    "virtual MAC",
                    format!("net.ipv4.conf.{name}.{key} is less than {least}: this node answers for its virtual addresses with two hardware addresses"),
                    format!("sysctl -w net.ipv4.conf.{name}.{key}={least}, and look for what sets it in /etc/sysctl.d"),
                );
            }
        } else if let Err(error) = OpenOptions::new().write(true).open(&path) {
            good = false;
            findings.bad(
                "virtual MAC",
                format!("{path} cannot be written: {error}"),
                format!("run it as root; in a container set net.ipv4.conf.{name}.{key}={least} from outside"),
            );
        }
    }
    // Strict filtering of the source counts if `all` has it and the interface no more.
    if fs::read_to_string("/proc/sys/net/ipv4/conf/all/rp_filter").is_ok_and(|text| text.trim() == "1") {
        findings.good("virtual MAC", "net.ipv4.conf.all.rp_filter is 1; the interface with the virtual hardware address has 2, which counts");
    }
    if good {
        findings
            .good("virtual MAC", format!("{name}: neighbours are answered from one hardware address alone"));
    }
}

/// That a frame from the address comes through can be seen only by others while this node is active.
fn switches(patient: Patient<'_>, group: &Group, findings: &mut Findings) {
    let status = patient.status.and_then(|status| status.groups.iter().find(|one| one.name == group.name));
    let active = status.filter(|status| status.state == GroupState::Active);
    let opinions = active.map_or(&[][..], |status| &status.opinions);
    let is_right = |answer: &relevo_api::types::Answer| answer.answers == "right";
    if opinions.iter().any(|opinion| !opinion.answers.is_empty() && opinion.answers.iter().all(is_right)) {
        findings.good(
            "virtual MAC",
            format!("group {}: another director is answered from the virtual hardware address", group.name),
        );
        return;
    }
    findings.unknown(
        "virtual MAC",
        format!(
            "group {}: whether switches let its hardware address pass, and move from port to port, is seen only where it is active, with [peers]",
            group.name
        ),
        "on the ports of all directors: no port security, or one with `maximum 8` or more and no sticky addresses; VMware: Forged transmits and MAC address changes: Accept; libvirt: trustGuestRxFilters=\"yes\" on the interface",
    );
}
