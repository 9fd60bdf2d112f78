//! `path`, `forward` and `source` of a service.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::groups::Groups;
use super::tree::Item;
use crate::cluster::{ClusterFile, Forward, Mode, Path, Service};
use crate::name::{AddressName, ServiceName};

/// Reads them; where the kernel's path is asked for, if it is.
pub(super) fn read(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    groups: &Groups,
    service: &mut Service,
) -> Option<Span> {
    let paths = [("auto", Path::Auto), ("kernel", Path::Kernel), ("userspace", Path::Userspace)];
    service.path = fields.word(findings, "path", &paths).unwrap_or_default();
    let forwards = [("nat", Forward::Nat), ("direct", Forward::Direct)];
    service.forward = fields.word(findings, "forward", &forwards).unwrap_or_default();
    service.source = fields.find("source").and_then(|item| source(findings, item, groups, service));
    for item in ["forward", "source"].into_iter().filter_map(|name| fields.find(name)) {
        if service.path == Path::Userspace {
            let message = format!("`{}` has no meaning with path = \"userspace\"", item.name);
            findings.error(&item.key, message, "remove one of them");
        }
    }
    if let (Some(item), Forward::Direct) = (fields.find("source"), service.forward) {
        let message =
            "`source` has no meaning with forward = \"direct\": servers answer clients by themselves";
        findings.error(&item.key, message, "remove one of them");
    }
    let item = fields.find("path")?;
    (service.path == Path::Kernel && service.mode != Mode::Http).then(|| item.span.clone())
}

/// The virtual address that servers see: it moves with the one that clients ask.
fn source(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    groups: &Groups,
    service: &Service,
) -> Option<AddressName> {
    let name = item.text(findings, "\"inside\"")?;
    if !groups.address_names.resolve(findings, name, &item.span) {
        return None;
    }
    let address = groups.addresses.iter().find(|address| address.name.as_str() == name)?;
    let at = service.listen.first()?.at.ip();
    let front = groups.addresses.iter().find(|address| address.ip == at)?;
    if address.group != front.group || address.ip.is_ipv4() != at.is_ipv4() {
        let family = if at.is_ipv4() { "IPv4" } else { "IPv6" };
        let message = format!("address `{name}` is not an {family} address of group `{}`", front.group);
        findings.error(&item.span, message, "name one that is: it moves with the address that clients ask");
        return None;
    }
    if address.ip == at {
        let message = format!("clients ask at address `{name}`");
        findings.error(&item.span, message, "name one on the servers' network that is for this alone");
        return None;
    }
    Some(address.name.clone())
}

/// Whether the kernel can do what it is asked for; `wanted`: where.
pub(super) fn check(
    findings: &mut Findings<'_>,
    cluster: &ClusterFile,
    wanted: &BTreeMap<ServiceName, Span>,
) {
    if wanted.is_empty() {
        return;
    }
    for (service, path) in cluster.services.iter().zip(cluster.kernel_paths()) {
        if let (Some(span), Err(why)) = (wanted.get(&service.name), path) {
            let message = format!("the kernel cannot carry service `{}`: {why}", service.name);
            findings.error(span, message, "change that, or write path = \"auto\"");
        }
    }
}
