//! What a gateway is in each address family: its router, what packets leave under, who may come in.

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::groups::Groups;
use super::networks::{Networks, is_link_local};
use super::texts::several;
use super::tree::Item;
use crate::cluster::{Address, Family, GatewayWay, Group};
use crate::name::{AddressName, NetworkName};

/// A gateway's two networks, and where the file names them.
pub(super) struct Sides<'a> {
    pub(super) from: (NetworkName, &'a Item<'a>),
    pub(super) to: (NetworkName, &'a Item<'a>),
}

/// Reads them; none if something is wrong.
pub(super) fn read(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    (networks, groups): (&Networks, &Groups),
    group: &Group,
    sides: &Sides<'_>,
) -> Vec<GatewayWay> {
    let masquerade = fields.flag(findings, "masquerade");
    let inbound = fields.flag(findings, "inbound");
    let only = fields.word(findings, "family", &[("ipv4", Family::V4), ("ipv6", Family::V6)]);
    let (from, to) = (&sides.from, &sides.to);
    let has_v6 = |name: &str| networks.find(name).is_some_and(|network| network.subnet6.is_some());
    if only == Some(Family::V6)
        && let Some((name, item)) = [from, to].into_iter().find(|(name, _)| !has_v6(name))
    {
        let hint = "add one, as in subnet = [\"192.168.1.0/24\", \"2001:db8:1::/64\"]";
        findings.error(&item.span, format!("network `{name}` has no IPv6 subnet"), hint);
        return Vec::new();
    }
    let families: Vec<Family> = match only {
        Some(family) => vec![family],
        None => {
            let here = |family: &Family| {
                let is_possible = *family == Family::V4 || (has_v6(&from.0) && has_v6(&to.0));
                is_possible && find(groups, group, &from.0, *family).is_some()
            };
            let found: Vec<Family> = [Family::V4, Family::V6].into_iter().filter(here).collect();
            // Without any the mistake is told for IPv4.
            if found.is_empty() { vec![Family::V4] } else { found }
        }
    };
    let hidden = |family: Family| masquerade.unwrap_or(family == Family::V4 || is_local(networks, &from.0));
    let sources = sources(findings, fields, groups, group, &to.0);
    let mut ways = Vec::new();
    let mut is_whole = sources.is_some();
    for family in families.iter().copied() {
        let why = (false, "is the router of its machines");
        let router = address_on(findings, groups, group, &from.0, family, from.1, why);
        let said = sources.iter().flatten().find(|(address, _)| address.family() == family);
        let source = match said {
            _ if !hidden(family) => Some(None),
            Some((address, _)) => Some(Some(address.name.clone())),
            None => {
                let why = match (family, only) {
                    (Family::V6, None) => {
                        "hides them there (or write masquerade = false, or family = \"ipv4\")"
                    }
                    (Family::V4 | Family::V6, _) => "hides them there (or write masquerade = false)",
                };
                address_on(findings, groups, group, &to.0, family, to.1, (true, why)).map(Some)
            }
        };
        let (Some(router), Some(source)) = (router, source) else {
            is_whole = false;
            continue;
        };
        let inbound = source.is_none() && inbound.unwrap_or(masquerade == Some(false));
        ways.push(GatewayWay { family, router, source, inbound });
    }
    if !is_whole {
        return Vec::new();
    }
    for (address, span) in sources.iter().flatten() {
        unused(findings, fields, &ways, address, span);
    }
    if let Some(item) = fields.find("inbound").filter(|_| inbound == Some(true))
        && ways.iter().all(|way| way.source.is_some())
    {
        let hint = "remove it, or write masquerade = false";
        findings.error(&item.key, "`inbound` has no meaning where packets are masqueraded", hint);
    }
    ways
}

/// Whether a network's IPv6 subnet is of unique local addresses (RFC 4193): nobody beyond the site knows the way to them.
fn is_local(networks: &Networks, name: &str) -> bool {
    let subnet = networks.find(name).and_then(|network| network.subnet6);
    subnet.is_some_and(|subnet| subnet.addr().is_unique_local())
}

/// `source`: the addresses that are named, at most one of each family; `None`: something is wrong with them.
fn sources<'g>(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    groups: &'g Groups,
    group: &Group,
    to: &NetworkName,
) -> Option<Vec<(&'g Address, Span)>> {
    let Some(item) = fields.find("source") else { return Some(Vec::new()) };
    let mut list: Vec<(&Address, Span)> = Vec::new();
    let mut is_right = true;
    for entry in several(findings, item, 2) {
        let name = entry.text(findings, "\"outside\"")?;
        if !groups.address_names.resolve(findings, name, &entry.span) {
            return None;
        }
        let address = groups.addresses.iter().find(|address| address.name.as_str() == name)?;
        if address.group != group.name || address.network != *to {
            let message = format!("address `{name}` is not of group `{}` on network `{to}`", group.name);
            findings.error(&entry.span, message, "name one that is, or remove `source`");
            is_right = false;
        } else if is_link_local(address.ip) {
            let message =
                format!("nothing leaves under `{name}`: {} has a meaning on its own link only", address.ip);
            findings.error(&entry.span, message, "name another address, or remove `source`");
            is_right = false;
        } else if let Some((other, _)) = list.iter().find(|(other, _)| other.family() == address.family()) {
            let message =
                format!("`{name}` and `{}` are both {} addresses", other.name, word(address.family()));
            findings.error(&entry.span, message, "name one of each family at most: packets leave under one");
            is_right = false;
        } else {
            list.push((address, entry.span.clone()));
        }
    }
    is_right.then_some(list)
}

/// A source under which nothing leaves.
fn unused(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    ways: &[GatewayWay],
    address: &Address,
    span: &Span,
) {
    let family = word(address.family());
    match ways.iter().find(|way| way.family == address.family()) {
        Some(way) if way.source.is_some() => {}
        Some(_) if fields.find("masquerade").is_some() => {
            if let Some(item) = fields.find("source") {
                let message = "`source` has no meaning without `masquerade`";
                findings.error(&item.key, message, "remove one of them");
            }
        }
        Some(_) => {
            let message =
                format!("nothing leaves under `{}`: {family} packets keep their addresses", address.name);
            findings.error(span, message, "add masquerade = true, or remove it here");
        }
        None => {
            let message =
                format!("nothing leaves under `{}`: {} forwards no {family}", address.name, fields.what());
            findings.error(span, message, "remove it here, or look at `family` and the group's addresses");
        }
    }
}

/// The group's first address on a network; one that has a meaning only there if there is no other.
fn find<'g>(groups: &'g Groups, group: &Group, network: &NetworkName, family: Family) -> Option<&'g Address> {
    let fits = |address: &&Address| {
        address.group == group.name && address.network == *network && address.family() == family
    };
    let mut all = groups.addresses.iter().filter(fits);
    let first = all.clone().next();
    all.find(|address| !is_link_local(address.ip)).or(first)
}

/// The group's first address on a network; `why`: what it is for there.
fn address_on(
    findings: &mut Findings<'_>,
    groups: &Groups,
    group: &Group,
    network: &NetworkName,
    family: Family,
    item: &Item<'_>,
    (is_source, why): (bool, &str),
) -> Option<AddressName> {
    let found = find(groups, group, network, family).filter(|it| reaches(it, is_source));
    // An address that could not be read may have been this one.
    let names = &groups.address_names;
    let all_read = !names.is_broken() && groups.addresses.len() == names.iter().count();
    if found.is_none() && all_read {
        let message =
            format!("group `{}` has no {} address on network `{network}`", group.name, word(family));
        findings.error(&item.span, message, format!("add an [address.NAME] there: it {why}"));
    }
    found.map(|address| address.name.clone())
}

/// Whether it can be what it is for: a router may have a link-local address, what packets leave under may not.
const fn reaches(address: &Address, is_source: bool) -> bool {
    !is_source || !is_link_local(address.ip)
}

/// The family in the operator's words.
pub(super) const fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
