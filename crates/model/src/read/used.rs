//! What is declared and used by nobody: a mistake in a name, or something that was forgotten.

use std::collections::BTreeSet;

use super::findings::Findings;
use super::names::Names;
use super::services::Services;
use crate::cluster::{Action, Stats};

/// Looks for lists of users and authorities that nobody uses.
pub(super) fn check(
    findings: &mut Findings<'_>,
    services: &Services,
    stats: Option<&Stats>,
    users: &Names,
    authorities: &Names,
) {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut proved: BTreeSet<&str> = BTreeSet::new();
    for service in &services.list {
        for action in service.rules.iter().flat_map(|rule| &rule.actions) {
            if let Action::Auth(auth) = action {
                used.insert(&auth.users);
            }
        }
        proved.extend(service.tls.iter().filter_map(|tls| tls.acme.as_ref()).map(|(name, _)| &**name));
    }
    if let Some(stats) = stats {
        used.insert(&stats.users);
        used.extend(stats.admins.iter().map(|admins| &**admins));
    }
    unused(findings, users, &used, "list of users", "use it in `basic_auth` or [stats], or remove it");
    unused(findings, authorities, &proved, "authority", "use it in a service's `tls`, or remove it");
}

fn unused(findings: &mut Findings<'_>, names: &Names, used: &BTreeSet<&str>, kind: &str, hint: &str) {
    for name in names.iter().filter(|name| !used.contains(name)) {
        if let Some(span) = names.span(name) {
            findings.lint(span, format!("nobody uses the {kind} `{name}`"), hint);
        }
    }
}
