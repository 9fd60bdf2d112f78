//! `path` and `forward` of a service.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::findings::{Findings, Span};
use crate::cluster::{ClusterFile, Forward, Mode, Path, Service};
use crate::name::ServiceName;

/// Reads both; where the kernel's path is asked for, if it is.
pub(super) fn read(findings: &mut Findings<'_>, fields: &Fields<'_>, service: &mut Service) -> Option<Span> {
    let paths = [("auto", Path::Auto), ("kernel", Path::Kernel), ("userspace", Path::Userspace)];
    service.path = fields.word(findings, "path", &paths).unwrap_or_default();
    if let Some(item) = fields.find("forward") {
        // Known words that have no meaning here yet are told apart from misspelt ones.
        let words = [("nat", Some(Forward::Nat)), ("direct", None)];
        match item.word(findings, &words) {
            Some(Some(forward)) => service.forward = forward,
            Some(None) => {
                let hint =
                    "write \"nat\"; servers then see the client's address and answer through the director";
                findings.error(&item.span, "this version cannot forward directly yet", hint);
            }
            None => {}
        }
        if service.path == Path::Userspace {
            findings.error(
                &item.key,
                "`forward` has no meaning with path = \"userspace\"",
                "remove one of them",
            );
        }
    }
    let item = fields.find("path")?;
    (service.path == Path::Kernel && service.mode != Mode::Http).then(|| item.span.clone())
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
