//! `[gateway]` and `[firewall]`.

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::groups::Groups;
use super::names::{Named, named};
use super::networks::Networks;
use super::suggest;
use super::switches::network;
use super::texts::opened;
use super::tree::Item;
use crate::cluster::{Address, Firewall, Gateway, Group};
use crate::name::{AddressName, GatewayName, NetworkName};
use crate::reference;

/// Name of the gateway of a file that has one only.
const ONLY: &str = "main";

/// Reads `[gateway]`: one, or several by name.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    root: &Fields<'a>,
    networks: &Networks,
    groups: &Groups,
) -> Vec<Gateway> {
    let Some(item) = root.find("gateway") else { return Vec::new() };
    let single = item.value.as_table().filter(|table| {
        let own = |key: &&str| table.get(*key).is_some_and(|value| value.get_ref().as_table().is_none());
        table.is_empty() || reference::GATEWAY.names().any(|key| own(&key))
    });
    let tables = match single {
        Some(table) => {
            vec![Named { name: ONLY, span: item.key.clone(), header: item.span.clone(), table }]
        }
        None => named(findings, root, "gateway", "gateway", 64).0,
    };
    let mut list: Vec<(Gateway, Span)> = Vec::new();
    for Named { name, span, header, table } in tables {
        let what = if single.is_some() { "`gateway`".to_owned() } else { format!("gateway `{name}`") };
        let fields = Fields::open(findings, table, &header, &what, &[&reference::GATEWAY]);
        let Some(gateway) = gateway(findings, name, &fields, networks, groups) else { continue };
        let same = list.iter().find(|(other, _)| other.from == gateway.from && other.to == gateway.to);
        if let Some((other, at)) = same {
            let line = findings.line_of(at);
            let message = format!("gateway `{}` joins these networks already, line {line}", other.name);
            findings.error(&span, message, "keep one of them");
            continue;
        }
        list.push((gateway, span));
    }
    list.into_iter().map(|(gateway, _)| gateway).collect()
}

fn gateway(
    findings: &mut Findings<'_>,
    name: &str,
    fields: &Fields<'_>,
    networks: &Networks,
    groups: &Groups,
) -> Option<Gateway> {
    let mut side = |key: &str, example: &str| {
        let item = fields.require(findings, key, example)?;
        network(findings, item, networks).map(|network| (network, item))
    };
    let from = side("from", "\"internal\"");
    let to = side("to", "\"external\"");
    let masquerade = fields.flag(findings, "masquerade").unwrap_or(true);
    let group = group_of(findings, fields, groups);
    let ((from, from_item), (to, to_item)) = (from?, to?);
    if from == to {
        findings.error(
            &to_item.span,
            "`to` is the same network as `from`",
            "name the network that machines of `from` shall get to",
        );
        return None;
    }
    let group = group?;
    let router = address_on(findings, groups, group, &from, from_item, "is the router of its machines");
    let source = fields.find("source");
    let source = match source {
        _ if !masquerade => {
            if let Some(item) = source {
                findings.error(
                    &item.key,
                    "`source` has no meaning without `masquerade`",
                    "remove one of them",
                );
            }
            Some(None)
        }
        Some(item) => source_of(findings, item, groups, group, &to).map(Some),
        None => address_on(
            findings,
            groups,
            group,
            &to,
            to_item,
            "hides them there (or write masquerade = false)",
        )
        .map(Some),
    };
    let (name, group) = (GatewayName::new(name), group.name.clone());
    Some(Gateway { name, from, to, group, masquerade, router: router?, source: source? })
}

fn group_of<'g>(findings: &mut Findings<'_>, fields: &Fields<'_>, groups: &'g Groups) -> Option<&'g Group> {
    let names = || groups.list.iter().map(|group| group.name.as_str());
    let Some(item) = fields.find("group") else {
        if groups.list.len() > 1 {
            let names: Vec<&str> = names().collect();
            let hint = format!("add group = \"...\"; it can be {}", suggest::list(&names));
            let message = format!("{} does not say its group, and there are several", fields.what());
            findings.error(fields.span(), message, hint);
            return None;
        }
        if groups.list.is_empty()
            && !groups.address_names.is_broken()
            && groups.address_names.iter().next().is_none()
        {
            let hint = "add an [address.NAME] on each of both networks";
            findings.error(
                fields.span(),
                format!("{} has no virtual address to stand at", fields.what()),
                hint,
            );
        }
        return groups.list.first();
    };
    let name = item.text(findings, "\"web\"")?;
    let found = groups.list.iter().find(|group| group.name.as_str() == name);
    if found.is_none() {
        findings.error(&item.span, format!("there is no group `{name}`"), suggest::one_of(name, names()));
    }
    found
}

/// The group's first address on a network; `why`: what it is for there.
fn address_on(
    findings: &mut Findings<'_>,
    groups: &Groups,
    group: &Group,
    network: &NetworkName,
    item: &Item<'_>,
    why: &str,
) -> Option<AddressName> {
    let fits = |address: &&Address| {
        address.group == group.name && address.network == *network && address.ip.is_ipv4()
    };
    let found = groups.addresses.iter().find(fits);
    // An address that could not be read may have been this one.
    let names = &groups.address_names;
    let all_read = !names.is_broken() && groups.addresses.len() == names.iter().count();
    if found.is_none() && all_read {
        let message = format!("group `{}` has no IPv4 address on network `{network}`", group.name);
        findings.error(&item.span, message, format!("add an [address.NAME] there: it {why}"));
    }
    found.map(|address| address.name.clone())
}

fn source_of(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    groups: &Groups,
    group: &Group,
    to: &NetworkName,
) -> Option<AddressName> {
    let name = item.text(findings, "\"outside\"")?;
    if !groups.address_names.resolve(findings, name, &item.span) {
        return None;
    }
    let address = groups.addresses.iter().find(|address| address.name.as_str() == name)?;
    if address.group != group.name || address.network != *to || !address.ip.is_ipv4() {
        let message =
            format!("address `{name}` is not an IPv4 address of group `{}` on network `{to}`", group.name);
        findings.error(&item.span, message, "name one that is, or remove `source`");
        return None;
    }
    Some(address.name.clone())
}

/// Reads `[firewall]`.
pub(super) fn firewall(findings: &mut Findings<'_>, root: &Fields<'_>) -> Firewall {
    let Some(item) = root.find("firewall") else { return Firewall::default() };
    let Some(fields) = opened(findings, item, &reference::FIREWALL, "a table", "{ cluster_ports = true }")
    else {
        return Firewall::default();
    };
    Firewall { cluster_ports: fields.flag(findings, "cluster_ports").unwrap_or(true) }
}
