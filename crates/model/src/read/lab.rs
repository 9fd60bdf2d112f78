//! `[lab]`: switches, cables, clients and what servers run. What the file does not say gets a plain default.

use std::collections::BTreeMap;

use super::findings::{Findings, Span};
use super::groups::Groups;
use super::names::{Named, Names, named};
use super::networks::Networks;
use super::nodes::Nodes;
use super::plugs;
use super::topology;
use super::tree::{Fields, Item, entries};
use crate::cluster::{Client, HostLeg, Lab, Link, Plug, Role, Run, Switch, Vxlan};
use crate::name::{NetworkName, NodeName, SwitchName};

/// STP bridge priority when the file says none (IEEE 802.1D).
const DEFAULT_PRIORITY: u16 = 32_768;

/// Switches with all their names and places.
#[derive(Debug)]
pub(super) struct Switches {
    pub(super) list: Vec<Switch>,
    pub(super) names: Names,
}

/// Reads the lab, or makes one.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    root: &Fields<'a>,
    networks: &mut Networks,
    nodes: &Nodes,
    groups: &Groups,
) -> Lab {
    let keys = ["switch", "link", "plug", "client", "host", "run"];
    let item = root.find("lab");
    let fields =
        match item.and_then(|item| Some((item, item.table(findings, "{ run = { web1 = \"nginx\" } }")?))) {
            Some((item, table)) => Fields::open(findings, table, &item.span, "`lab`", &keys),
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
    let mut switches = switches(findings, fields, networks, nodes);
    let links = fields.find("link").map(|item| links(findings, item, &switches)).unwrap_or_default();
    topology::check(findings, &switches, &links);
    let links = links.into_iter().map(|(link, _)| link).collect();
    let mut lab = Lab { links, ..Lab::default() };
    clients(findings, fields, networks, nodes, &mut switches, &mut lab);
    let first = groups.addresses.first().map(|address| address.network.clone());
    if lab.clients.is_empty()
        && fields.find("client").is_none()
        && let Some(network) = &first
    {
        default_client(networks, nodes, &switches, network, &mut lab);
    }
    lab.host = match fields.find("host") {
        Some(item) if item.value.as_bool() == Some(false) => None,
        Some(item) => host(findings, item, networks, &switches),
        None => first.and_then(|network| {
            let switch = switches.of(&network).next()?.name.clone();
            let ip = networks.free(&network).nth(usize::from(fields.find("client").is_none()))?;
            Some(HostLeg { switch, network, ip })
        }),
    };
    let plugged = plugs::read(findings, fields.find("plug"), nodes, &switches, &lab.clients);
    lab.plugs.splice(0..0, plugged);
    lab.runs = runs(findings, fields.find("run"), nodes);
    lab.switches = switches.list;
    lab
}

impl Switches {
    /// The switches that carry a network.
    pub(super) fn of(&self, network: &str) -> impl Iterator<Item = &Switch> {
        self.list.iter().filter(move |switch| switch.network.as_str() == network)
    }

    /// The switch of this name.
    pub(super) fn find(&self, name: &str) -> Option<&Switch> {
        self.list.iter().find(|switch| switch.name.as_str() == name)
    }

    /// Where a switch is declared.
    pub(super) fn span(&self, name: &str) -> Span {
        self.names.span(name).cloned().unwrap_or_default()
    }
}

fn switches(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    networks: &mut Networks,
    nodes: &Nodes,
) -> Switches {
    let (tables, mut names) = named(findings, fields, "switch", "switch", 256);
    let mut list = Vec::new();
    for Named { name, span, header, table } in &tables {
        if nodes.names.contains(name) {
            let hint = "nodes, clients and switches share one set of names in the lab: rename one";
            findings.error(span, format!("`{name}` is the name of a node already"), hint);
        }
        let what = format!("switch `{name}`");
        let fields = Fields::open(findings, table, header, &what, &["network", "stp", "priority", "vxlan"]);
        let network =
            fields.require(findings, "network", "\"lan\"").and_then(|item| network(findings, item, networks));
        let stp = fields.find("stp").and_then(|item| item.boolean(findings)).unwrap_or(false);
        let priority = fields.find("priority").and_then(|item| priority(findings, item, stp));
        let Some(network) = network else { continue };
        let name = SwitchName::new(name);
        list.push(Switch { name, network, stp, priority: priority.unwrap_or(DEFAULT_PRIORITY), vxlan: None });
    }
    // A network for which the file names no switch gets one that is called like it.
    for network in &networks.list {
        let named = list.iter().any(|switch: &Switch| switch.network == network.name);
        if !named && !names.contains(&network.name) {
            names.add(&network.name, networks.names.span(&network.name).unwrap_or(&(0..0)));
            let (name, network) = (SwitchName::new(&network.name), network.name.clone());
            list.push(Switch { name, network, stp: false, priority: DEFAULT_PRIORITY, vxlan: None });
        }
    }
    let mut switches = Switches { list, names };
    for Named { name, table, .. } in &tables {
        let vxlan = entries(table).into_iter().find(|item| item.name == "vxlan");
        let Some(vxlan) = vxlan.and_then(|item| vxlan_of(findings, &item, name, &switches, networks)) else {
            continue;
        };
        if let Some(switch) = switches.list.iter_mut().find(|switch| switch.name.as_str() == *name) {
            switch.vxlan = Some(vxlan);
        }
    }
    switches
}

fn network(findings: &mut Findings<'_>, item: &Item<'_>, networks: &Networks) -> Option<NetworkName> {
    let name = item.text(findings, "\"lan\"")?;
    networks.names.resolve(findings, name, &item.span).then(|| NetworkName::new(name))
}

fn priority(findings: &mut Findings<'_>, item: &Item<'_>, stp: bool) -> Option<u16> {
    let priority = item.integer(findings, 0..=61_440, "4096")?;
    if !stp {
        findings.error(&item.key, "`priority` has no meaning without STP", "add stp = true, or remove it");
    }
    if priority % 4096 != 0 {
        let near = (priority + 2048) / 4096 * 4096;
        let message = format!("the STP priority {priority} is not a multiple of 4096");
        findings.value(&item.span, message, format!("write {near}"));
    }
    u16::try_from(priority).ok()
}

fn vxlan_of(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    switch: &str,
    switches: &Switches,
    networks: &mut Networks,
) -> Option<Vxlan> {
    let table = item.table(findings, "{ id = 100, over = \"SWITCH\", ip = \"10.0.0.1\" }")?;
    let what = format!("the vxlan of switch `{switch}`");
    let fields = Fields::open(findings, table, &item.span, &what, &["id", "over", "ip"]);
    let id = fields.require(findings, "id", "100");
    let id = id.and_then(|item| item.integer(findings, 1..=16_777_215, "100"));
    let over = fields.require(findings, "over", "\"SWITCH\"").and_then(|item| {
        let over = item.text(findings, "\"SWITCH\"")?;
        switches.names.resolve(findings, over, &item.span).then_some((over, item))
    });
    let ip =
        fields.require(findings, "ip", "\"10.0.0.1\"").and_then(|item| Some((item.ipv4(findings)?, item)));
    let (over, over_item) = over?;
    let own = switches.find(switch).map(|switch| &switch.network);
    let carrier = switches.find(over)?;
    if own == Some(&carrier.network) {
        let message =
            format!("switch `{over}` is on network `{}` too: the VXLAN would carry itself", carrier.network);
        findings.error(&over_item.span, message, "name a switch of another network");
    }
    let (ip, ip_item) = ip?;
    networks.claim(findings, &carrier.network, ip, &ip_item.span, &what);
    Some(Vxlan { id: u32::try_from(id?).ok()?, over: SwitchName::new(over), ip })
}

fn links(findings: &mut Findings<'_>, item: &Item<'_>, switches: &Switches) -> Vec<(Link, Span)> {
    let example = "[[lab.link]] and below it between = [\"switch1\", \"switch2\"]";
    let Some(list) = item.value.as_array() else {
        let message = format!("`link` must be a list of tables, not [lab.{}]", item.name);
        findings.value(&item.span, message, format!("write {example}"));
        return Vec::new();
    };
    let mut links = Vec::new();
    let mut seen: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    for value in list.iter().take(1024) {
        let entry = item.of_list(value);
        let Some(table) = entry.value.as_table() else {
            findings.value(&entry.span, "a link must be a table", format!("write {example}"));
            continue;
        };
        let fields = Fields::open(findings, table, &entry.span, "this link", &["between", "cost"]);
        let cost = fields.find("cost").and_then(|item| item.integer(findings, 1..=65_535, "10"));
        let Some(item) = fields.require(findings, "between", "[\"switch1\", \"switch2\"]") else { continue };
        let Some((a, b)) = ends(findings, item, switches) else { continue };
        if let Some(before) = seen.insert((a.min(b), a.max(b)), item.span.clone()) {
            let message = format!("`{a}` and `{b}` are linked already, line {}", findings.line_of(&before));
            findings.error(&item.span, message, "remove one of the two links");
            continue;
        }
        let (a, b) = (SwitchName::new(a), SwitchName::new(b));
        let cost = cost.and_then(|cost| u16::try_from(cost).ok());
        links.push((Link { a, b, cost }, item.span.clone()));
    }
    links
}

fn ends<'a>(findings: &mut Findings<'_>, item: &Item<'a>, switches: &Switches) -> Option<(&'a str, &'a str)> {
    let list: Vec<Item<'a>> = match item.value.as_array() {
        Some(list) => list.iter().map(|value| item.of_list(value)).collect(),
        None => Vec::new(),
    };
    let [a, b] = list.as_slice() else {
        findings.value(
            &item.span,
            "`between` must be two switches",
            "write between = [\"switch1\", \"switch2\"]",
        );
        return None;
    };
    let (first, second) = (a.text(findings, "\"switch1\""), b.text(findings, "\"switch2\""));
    let (first, second) = (first?, second?);
    let known = switches.names.resolve(findings, first, &a.span);
    if !(switches.names.resolve(findings, second, &b.span) && known) {
        return None;
    }
    if first == second {
        findings.error(
            &item.span,
            format!("switch `{first}` is linked to itself"),
            "name two different switches",
        );
        return None;
    }
    let (one, other) = (&switches.find(first)?.network, &switches.find(second)?.network);
    if one != other {
        let message = format!("`{first}` carries network `{one}`, `{second}` carries `{other}`");
        findings.error(&item.span, message, "link switches of one network only");
        return None;
    }
    Some((first, second))
}

fn clients(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    networks: &mut Networks,
    nodes: &Nodes,
    switches: &mut Switches,
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
        let fields = Fields::open(findings, table, &header, &what, &["network", "ip", "switch"]);
        let Some((network, ip, switch)) = leg(findings, &fields, &what, networks, switches) else { continue };
        let name = NodeName::new(name);
        lab.plugs.push(Plug { node: name.clone(), network: network.clone(), switch });
        lab.clients.push(Client { name, network, ip });
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
    let name =
        fields.require(findings, "network", "\"lan\"").and_then(|item| network(findings, item, networks));
    let ip = fields.require(findings, "ip", "\"192.168.1.100\"");
    let ip = ip.and_then(|item| Some((item.ipv4(findings)?, item.span.clone())));
    if let (Some(network), Some((ip, span))) = (&name, &ip) {
        networks.claim(findings, network, *ip, span, what);
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
    let fields = Fields::open(findings, table, &item.span, "`lab.host`", &["network", "ip", "switch"]);
    let (network, ip, switch) = leg(findings, &fields, "the lab's host leg", networks, switches)?;
    Some(HostLeg { switch, network, ip })
}

fn default_client(
    networks: &Networks,
    nodes: &Nodes,
    switches: &Switches,
    network: &NetworkName,
    lab: &mut Lab,
) {
    let Some(ip) = networks.free(network).next() else { return };
    let Some(switch) = switches.of(network).next() else { return };
    let free = |name: &String| !nodes.names.contains(name) && !switches.names.contains(name);
    let numbered = (2..).map(|number: u32| format!("client{number}"));
    let Some(name) = std::iter::once("client".to_owned()).chain(numbered).find(free) else { return };
    let name = NodeName::new(&name);
    lab.plugs.push(Plug { node: name.clone(), network: network.clone(), switch: switch.name.clone() });
    lab.clients.push(Client { name, network: network.clone(), ip });
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
