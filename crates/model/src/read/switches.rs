//! `[lab.switch.NAME]`: kernel bridges, what they carry, and their tunnels.

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::names::{Named, Names, named};
use super::networks::Networks;
use super::nodes::Nodes;
use super::tree::{Item, entries};
use crate::cluster::{Switch, Vxlan};
use crate::name::{NetworkName, SwitchName};
use crate::reference;

/// STP bridge priority when the file says none (IEEE 802.1D).
const DEFAULT_PRIORITY: u16 = 32_768;

/// Switches with all their names and places.
#[derive(Debug)]
pub(super) struct Switches {
    pub(super) list: Vec<Switch>,
    pub(super) names: Names,
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

/// Reads all switches.
pub(super) fn read(
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
        let fields = Fields::open(findings, table, header, &what, &[&reference::SWITCH]);
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
        if list.iter().any(|switch: &Switch| switch.network == network.name) {
            continue;
        }
        let taken = |name: &str| names.contains(name) || nodes.names.contains(name);
        let plain = [network.name.to_string(), format!("{}-switch", network.name)];
        let numbered = (2..).map(|number: u32| format!("{}-switch{number}", network.name));
        let Some(name) = plain.into_iter().chain(numbered).find(|name| !taken(name)) else { continue };
        names.add(&name, networks.names.span(&network.name).unwrap_or(&(0..0)));
        let (name, network) = (SwitchName::new(&name), network.name.clone());
        list.push(Switch { name, network, stp: false, priority: DEFAULT_PRIORITY, vxlan: None });
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

/// The network that a key names.
pub(super) fn network(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    networks: &Networks,
) -> Option<NetworkName> {
    let name = item.text(findings, "\"lan\"")?;
    networks.names.resolve(findings, name, &item.span).then(|| NetworkName::new(name))
}

fn priority(findings: &mut Findings<'_>, item: &Item<'_>, stp: bool) -> Option<u16> {
    let priority = stp_priority(findings, item)?;
    if !stp {
        findings.error(&item.key, "`priority` has no meaning without STP", "add stp = true, or remove it");
    }
    Some(priority)
}

/// An STP bridge priority.
pub(super) fn stp_priority(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<u16> {
    let priority = item.integer(findings, 0..=61_440, "4096")?;
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
    let fields = Fields::open(findings, table, &item.span, &what, &[&reference::VXLAN]);
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
    networks.claim(findings, &carrier.network, ip.into(), &ip_item.span, &what);
    Some(Vxlan { id: u32::try_from(id?).ok()?, over: SwitchName::new(over), ip })
}
