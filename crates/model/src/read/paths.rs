//! `path`, `forward`, `source` and `synproxy` of a service.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::groups::Groups;
use super::limits;
use super::tree::Item;
use crate::cluster::{ClusterFile, Forward, Mode, Path, Service, Synproxy};
use crate::name::{AddressName, ServiceName};
use crate::reference::SYNPROXY;

/// What a service asks of the kernel's path.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Where that path alone is asked for.
    kernel: Option<Span>,
    /// Where `synproxy` is.
    synproxy: Option<Span>,
}

/// Reads them; what is asked of the kernel's path.
pub(super) fn read(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    groups: &Groups,
    service: &mut Service,
) -> Asked {
    let paths = [("auto", Path::Auto), ("kernel", Path::Kernel), ("userspace", Path::Userspace)];
    service.path = fields.word(findings, "path", &paths).unwrap_or_default();
    let forwards = [("nat", Forward::Nat), ("direct", Forward::Direct)];
    service.forward = fields.word(findings, "forward", &forwards).unwrap_or_default();
    service.source = fields.find("source").and_then(|item| source(findings, item, groups, service));
    let synproxy = fields.find("synproxy").filter(|_| service.mode == Mode::Tcp);
    service.synproxy = synproxy.and_then(|item| answers_syns(findings, item, service));
    for item in ["forward", "source", "synproxy"].into_iter().filter_map(|name| fields.find(name)) {
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
    let stands_alone =
        service.path != Path::Userspace && service.forward == Forward::Nat && service.source.is_none();
    if let Some(item) = synproxy.filter(|_| service.synproxy.is_some()) {
        let hint = "remove one of them: servers' own SYN cookies help in all forms";
        if service.forward == Forward::Direct {
            let message =
                "`synproxy` has no meaning with forward = \"direct\": it must see what servers answer";
            findings.error(&item.key, message, hint);
        } else if service.source.is_some() {
            findings.error(&item.key, "`synproxy` does not go together with `source`", hint);
        }
    }
    let span = |name, is: bool| fields.find(name).filter(|_| is).map(|item: &Item<'_>| item.span.clone());
    Asked {
        kernel: span("path", service.path == Path::Kernel && service.mode != Mode::Http),
        synproxy: span("synproxy", service.synproxy.is_some() && stands_alone),
    }
}

/// What is said in the name of servers. The largest segment is that of an Ethernet without options, for the family.
fn answers_syns(findings: &mut Findings<'_>, item: &Item<'_>, service: &Service) -> Option<Synproxy> {
    let fields = limits::switched(findings, item, &SYNPROXY, "{ wscale = 7 }")?;
    let usual = if service.listen.first().is_none_or(|listen| listen.at.is_ipv4()) { 1460 } else { 1440 };
    Some(Synproxy {
        mss: fields.number(findings, "mss").unwrap_or(usual),
        wscale: fields.number(findings, "wscale").unwrap_or(7),
    })
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

/// Whether the kernel can do what it is asked for, and what that costs; `wanted`: where.
pub(super) fn check(
    findings: &mut Findings<'_>,
    cluster: &ClusterFile,
    wanted: &BTreeMap<ServiceName, Asked>,
) {
    for (service, path) in cluster.services.iter().zip(cluster.kernel_paths()) {
        let (name, Some(asked)) = (&service.name, wanted.get(&service.name)) else { continue };
        match (path, &asked.kernel, &asked.synproxy) {
            (Err(why), Some(span), _) => {
                let message = format!("the kernel cannot carry service `{name}`: {why}");
                findings.error(span, message, "change that, or write path = \"auto\"");
            }
            (Err(why), None, Some(span)) => {
                let message =
                    format!("`synproxy` does nothing: the kernel does not carry service `{name}`: {why}");
                findings.warning(span, message, "change that, or remove `synproxy`");
            }
            (Ok(()), _, Some(span)) => {
                let message = format!(
                    "connections of service `{name}` end when its director changes: with `synproxy` no other one knows their numbers"
                );
                findings.warning(span, message, "leave it so, or remove `synproxy`, and connections live on");
            }
            (_, _, None) => {}
        }
    }
}
