//! `[gateway]` and `[firewall]`.

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::gateway_ways::{self, Sides};
use super::groups::Groups;
use super::names::{Named, named};
use super::networks::Networks;
use super::suggest;
use super::switches::network;
use super::texts::opened;
use crate::cluster::{Firewall, Gateway, Group};
use crate::name::GatewayName;
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
        let shared = |other: &Gateway| gateway.ways.iter().any(|way| other.way(way.family).is_some());
        let is_same = |other: &Gateway| other.from == gateway.from && other.to == gateway.to && shared(other);
        let same = list.iter().find(|(other, _)| is_same(other));
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
    let sides = Sides { from: (from.clone(), from_item), to: (to.clone(), to_item) };
    let ways = gateway_ways::read(findings, fields, (networks, groups), group, &sides);
    let (name, group) = (GatewayName::new(name), group.name.clone());
    (!ways.is_empty()).then_some(Gateway { name, from, to, group, ways })
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

/// Reads `[firewall]`.
pub(super) fn firewall(findings: &mut Findings<'_>, root: &Fields<'_>) -> Firewall {
    let Some(item) = root.find("firewall") else { return Firewall::default() };
    let Some(fields) = opened(findings, item, &reference::FIREWALL, "a table", "{ cluster_ports = true }")
    else {
        return Firewall::default();
    };
    Firewall { cluster_ports: fields.flag(findings, "cluster_ports").unwrap_or(true) }
}
