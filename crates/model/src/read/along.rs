//! What moves along with a group: `[[group.NAME.route]]`, `[[group.NAME.policy]]`, `notify`; its delays and `drain`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::fields::Fields;
use super::findings::Findings;
use super::groups::Groups;
use super::nodes::interface;
use super::probe;
use super::texts::several;
use super::track::{self, Things, address, destination};
use super::tree::Item;
use crate::cluster::{MAIN_TABLE, MovingPolicy, MovingRoute, RouteInterface};
use crate::name::NetworkName;
use crate::reference::{GROUP, POLICY, ROUTE, Table};

/// Most routes, and most policies, of one group.
const MOST: usize = 64;
/// Most commands that are told of one group.
const MOST_COMMANDS: usize = 8;

/// Reads what could not be read before services and pools were known.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    root: &Fields<'a>,
    groups: &mut Groups,
    networks: &super::names::Names,
    services: &super::names::Names,
    pools: &super::names::Names,
) {
    let Some(tables) = root.find("group").and_then(|item| item.value.as_table()) else { return };
    let Groups { list, addresses, address_names, .. } = groups;
    let things = Things { networks, services, pools, addresses, address_names };
    for group in list {
        let Some(table) = tables.get(group.name.as_str()) else { continue };
        let Some(inner) = table.get_ref().as_table() else { continue };
        let mut fields = Fields::again(inner, &table.span(), &format!("group `{}`", group.name), &[&GROUP]);
        fields.within = "group.NAME.";
        group.preempt_delay = fields.time(findings, "preempt_delay").unwrap_or_default();
        if let Some(item) = fields.find("preempt_delay").filter(|_| !group.preempt) {
            let hint = "add preempt = true, or remove it";
            findings.lint(&item.key, "`preempt_delay` does nothing: nobody takes the addresses back", hint);
        }
        group.drain = fields.time(findings, "drain").unwrap_or(group.drain);
        group.startup_delay = fields.time(findings, "startup_delay").unwrap_or_default();
        group.boot_delay = fields.time(findings, "boot_delay").unwrap_or_default();
        group.track_services = fields.flag(findings, "track_services").unwrap_or(true);
        group.trackers = track::read(findings, &fields, group, &things);
        let routes = tables_of(findings, &fields, "route", &ROUTE);
        group.along.routes = routes.iter().filter_map(|fields| route(findings, fields, &things)).collect();
        let policies = tables_of(findings, &fields, "policy", &POLICY);
        group.along.policies = policies.iter().filter_map(|fields| policy(findings, fields)).collect();
        if let Some(item) = fields.find("notify") {
            group.along.notify = notify(findings, item);
        }
    }
}

/// The tables of a list of tables.
fn tables_of<'a>(
    findings: &mut Findings<'_>,
    group: &Fields<'a>,
    key: &str,
    table: &'static Table,
) -> Vec<Fields<'a>> {
    let Some(item) = group.find(key) else { return Vec::new() };
    let Some(list) = item.value.as_array() else {
        let hint = format!("write [[group.NAME.{key}]] and below it its keys");
        findings.value(&item.span, format!("`{key}` must be a list of tables"), hint);
        return Vec::new();
    };
    if list.len() > MOST {
        findings.value(&item.span, format!("`{key}` has more than {MOST} entries"), "split the group");
    }
    let mut all = Vec::new();
    for value in list.iter().take(MOST) {
        let entry = item.of_list(value);
        let Some(inner) = entry.value.as_table() else {
            entry.wrong_type(findings, "a list of tables", "[{ ... }]");
            continue;
        };
        let what = format!("a {key}");
        all.push(Fields::open(findings, inner, &entry.span, &what, &[table]));
    }
    all
}

fn route(findings: &mut Findings<'_>, fields: &Fields<'_>, things: &Things<'_>) -> Option<MovingRoute> {
    let to = fields.require(findings, "to", "\"10.0.0.0/8\"").and_then(|item| destination(findings, item));
    let via = fields.find("via").and_then(|item| address(findings, item));
    let source = fields.find("source").and_then(|item| source(findings, item, things));
    let name = fields.find("interface").and_then(|item| interface(findings, item)).map(RouteInterface::Name);
    let network = fields.find("network").and_then(|item| {
        let name = item.text(findings, "\"lan\"")?;
        let known = things.networks.resolve(findings, name, &item.span);
        known.then(|| RouteInterface::Network(NetworkName::new(name)))
    });
    if let (Some(_), Some(item)) = (fields.find("interface"), fields.find("network")) {
        findings.error(&item.key, "a route has one interface", "keep `interface` or `network`");
    }
    if ["via", "interface", "network"].iter().all(|key| fields.find(key).is_none()) {
        let hint = "add via = \"192.168.1.1\", or interface = \"eth1\"";
        findings.error(fields.span(), "the route leads nowhere", hint);
    }
    let table = fields.number(findings, "table").unwrap_or(MAIN_TABLE);
    let metric = fields.number(findings, "metric").unwrap_or(0);
    let to = to?;
    for (key, ip) in [("via", via), ("source", source)] {
        let (Some(ip), Some(item)) = (ip, fields.find(key)) else { continue };
        // `default` is of the family of the others.
        let is_default = to.prefix_len() == 0;
        if ip.is_ipv4() != to.addr().is_ipv4() && !is_default {
            let message = format!("`{key}` and `to` are of different families");
            findings.error(&item.span, message, "write two IPv4 or two IPv6 addresses");
        }
    }
    let to = if to.prefix_len() == 0 && via.or(source).is_some_and(|ip| ip.is_ipv6()) {
        IpNet::V6(ipnet::Ipv6Net::default())
    } else {
        to
    };
    Some(MovingRoute { to, via, interface: name.or(network), table, metric, source })
}

/// An address, or the name of a virtual one.
fn source(findings: &mut Findings<'_>, item: &Item<'_>, things: &Things<'_>) -> Option<IpAddr> {
    let text = item.text(findings, "\"front\"")?;
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    if !things.address_names.resolve(findings, text, &item.span) {
        return None;
    }
    let address = things.addresses.iter().find(|address| address.name.as_str() == text);
    address.map(|address| address.ip)
}

fn policy(findings: &mut Findings<'_>, fields: &Fields<'_>) -> Option<MovingPolicy> {
    let mut net = |key| fields.find(key).and_then(|item| destination(findings, item));
    let (from, to) = (net("from"), net("to"));
    let interface = fields.find("interface").and_then(|item| interface(findings, item));
    if ["from", "to", "interface"].iter().all(|key| fields.find(key).is_none()) {
        let hint = "add from = \"10.0.0.0/24\", to = \"10.0.0.0/24\" or interface = \"eth1\"";
        findings.error(fields.span(), "the policy is for every packet", hint);
    }
    if let (Some(from), Some(to), Some(item)) = (from, to, fields.find("to"))
        && from.addr().is_ipv4() != to.addr().is_ipv4()
    {
        let message = "`from` and `to` are of different families";
        findings.error(&item.span, message, "write two IPv4 or two IPv6 networks");
    }
    let priority = fields.number(findings, "priority").unwrap_or(1000);
    fields.require(findings, "table", "100")?;
    let table = fields.number(findings, "table")?;
    Some(MovingPolicy { from, to, interface, table, priority })
}

/// One program, or several; each alone or with arguments.
fn notify(findings: &mut Findings<'_>, item: &Item<'_>) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for entry in several(findings, item, MOST_COMMANDS) {
        let is_list = entry.value.as_array().is_some();
        let command =
            if is_list { probe::command(findings, &entry) } else { probe::program(findings, &entry) };
        if !command.is_empty() {
            commands.push(command);
        }
    }
    commands
}
