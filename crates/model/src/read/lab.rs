//! `[lab]`: switches, cables, clients and what servers run. What the file does not say gets a plain default.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::findings::Findings;
use super::groups::Groups;
use super::links;
use super::names::{Named, named};
use super::networks::Networks;
use super::nodes::Nodes;
use super::plugs;
use super::switches::{self, Switches};
use super::topology;
use super::tree::{Item, entries};
use crate::cluster::{Client, HostLeg, Lab, Plug, Role, Run};
use crate::name::{NetworkName, NodeName, SwitchName};
use crate::reference;

/// Reads the lab, or makes one.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    root: &Fields<'a>,
    networks: &mut Networks,
    nodes: &Nodes,
    groups: &Groups,
) -> Lab {
    let item = root.find("lab");
    let fields =
        match item.and_then(|item| Some((item, item.table(findings, "{ run = { web1 = \"nginx\" } }")?))) {
            Some((item, table)) => {
                let mut fields = Fields::open(findings, table, &item.span, "`lab`", &[&reference::LAB]);
                fields.within = "lab.";
                fields
            }
            None => Fields::none("`lab`"),
        };
    read_fields(findings, &fields, networks, nodes, groups)
}

fn read_fields(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    networks: &mut Networks,
    nodes: &Nodes,
    groups: &Groups,
) -> Lab {
    let switches = switches::read(findings, fields, networks, nodes);
    let links = fields.find("link").map(|item| links::read(findings, item, &switches)).unwrap_or_default();
    topology::check(findings, &switches, &links);
    let links = links.into_iter().map(|(link, _)| link).collect();
    let mut lab = Lab { links, ..Lab::default() };
    clients(findings, fields, networks, nodes, &switches, &mut lab);
    let said = fields.find("host");
    let refused = said.is_some_and(|item| item.value.as_bool() == Some(false));
    lab.host = said.filter(|_| !refused).and_then(|item| host(findings, item, networks, &switches));
    if let Some(network) = groups.addresses.first().map(|address| &address.network) {
        if lab.clients.is_empty() {
            default_client(networks, nodes, &switches, network, &mut lab);
        }
        if said.is_none() {
            lab.host = default_host(networks, &switches, network);
        }
    }
    let plugged = plugs::read(findings, fields.find("plug"), nodes, &switches, &lab.clients);
    lab.plugs.splice(0..0, plugged);
    lab.runs = runs(findings, fields.find("run"), nodes);
    lab.switches = switches.list;
    lab
}

fn clients(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    networks: &mut Networks,
    nodes: &Nodes,
    switches: &Switches,
    lab: &mut Lab,
) {
    let (tables, _) = named(findings, fields, "client", "client", 256);
    for Named { name, span, header, table } in tables {
        if nodes.names.contains(name) || switches.names.contains(name) {
            let kind = if nodes.names.contains(name) { "node" } else { "switch" };
            let hint = "nodes, clients and switches share one set of names in the lab: rename one";
            findings.error(&span, format!("`{name}` is the name of a {kind} already"), hint);
        }
        let what = format!("client `{name}`");
        let fields = Fields::open(findings, table, &header, &what, &[&reference::CLIENT]);
        let Some((network, ip, switch)) = leg(findings, &fields, &what, networks, switches) else { continue };
        let name = NodeName::new(name);
        lab.plugs.push(Plug { node: name.clone(), network: network.clone(), switch });
        let ip6 = networks.take6(&network, &what);
        lab.clients.push(Client { name, network, ip, ip6 });
    }
}

/// A machine with one address on one network and one switch.
fn leg(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    what: &str,
    networks: &mut Networks,
    switches: &Switches,
) -> Option<(NetworkName, std::net::Ipv4Addr, SwitchName)> {
    let name = fields
        .require(findings, "network", "\"lan\"")
        .and_then(|item| switches::network(findings, item, networks));
    let ip = fields.require(findings, "ip", "\"192.168.1.100\"");
    let ip = ip.and_then(|item| Some((item.ipv4(findings)?, item.span.clone())));
    if let (Some(network), Some((ip, span))) = (&name, &ip) {
        networks.claim(findings, network, (*ip).into(), span, what);
    }
    let network = name?;
    let switch = match fields.find("switch") {
        Some(item) => {
            let text = item.text(findings, "\"SWITCH\"")?;
            plugs::on(findings, switches, text, &item.span, &network, what)?
        }
        None => plugs::only(findings, switches, &network, what, fields.span(), "switch = \"SWITCH\"")?,
    };
    Some((network, ip?.0, switch))
}

fn host(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    networks: &mut Networks,
    switches: &Switches,
) -> Option<HostLeg> {
    let table =
        item.table(findings, "{ network = \"lan\", ip = \"192.168.1.99\" }, or host = false for none")?;
    let fields = Fields::open(findings, table, &item.span, "`lab.host`", &[&reference::HOST]);
    let (network, ip, switch) = leg(findings, &fields, "the lab's host leg", networks, switches)?;
    let ip6 = networks.take6(&network, "the lab's host leg");
    Some(HostLeg { switch, network, ip, ip6 })
}

/// Clients are where the first virtual address is.
fn default_client(
    networks: &mut Networks,
    nodes: &Nodes,
    switches: &Switches,
    network: &NetworkName,
    lab: &mut Lab,
) {
    let Some(switch) = switches.of(network).next() else { return };
    let Some(ip) = networks.take(network, "the lab's client") else { return };
    let free = |name: &String| !nodes.names.contains(name) && !switches.names.contains(name);
    let numbered = (2..).map(|number: u32| format!("client{number}"));
    let Some(name) = std::iter::once("client".to_owned()).chain(numbered).find(free) else { return };
    let name = NodeName::new(&name);
    lab.plugs.push(Plug { node: name.clone(), network: network.clone(), switch: switch.name.clone() });
    let ip6 = networks.take6(network, "the lab's client");
    lab.clients.push(Client { name, network: network.clone(), ip, ip6 });
}

fn default_host(networks: &mut Networks, switches: &Switches, network: &NetworkName) -> Option<HostLeg> {
    let switch = switches.of(network).next()?.name.clone();
    let ip = networks.take(network, "the lab's host leg")?;
    let ip6 = networks.take6(network, "the lab's host leg");
    Some(HostLeg { switch, network: network.clone(), ip, ip6 })
}

/// What each server runs: the file's command, or the built-in origin.
fn runs(findings: &mut Findings<'_>, item: Option<&Item<'_>>, nodes: &Nodes) -> Vec<Run> {
    let mut commands: BTreeMap<&str, String> = BTreeMap::new();
    let table = item.and_then(|item| item.table(findings, "{ web1 = \"nginx\" }"));
    for entry in table.map(entries).unwrap_or_default() {
        if !nodes.names.resolve(findings, entry.name, &entry.key) {
            continue;
        }
        let node = nodes.find(entry.name);
        if node.is_some_and(|node| !node.roles.is_empty() && !node.is(Role::Server)) {
            let hint = "only servers run something in the lab: remove it, or add the role \"server\"";
            findings.error(&entry.key, format!("node `{}` is not a server", entry.name), hint);
        }
        let Some(command) = entry.text(findings, "\"nginx\"") else { continue };
        if command.trim().is_empty() || command.contains('\0') {
            findings.value(&entry.span, "the command is empty", "write a command for sh, or remove the line");
        }
        commands.insert(entry.name, command.to_owned());
    }
    let servers = nodes.list.iter().filter(|node| node.is(Role::Server));
    servers
        .map(|node| Run { node: node.name.clone(), command: commands.remove(node.name.as_str()) })
        .collect()
}
