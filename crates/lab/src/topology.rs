//! The plan of a lab: which namespaces, cables and bridges, and the `ip` commands that make them.
//!
//! Pure: it turns a cluster file into words and runs nothing. The process ids of the namespaces' holders come in when
//! the commands are written out.

mod mtu;
mod names;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ipnet::IpNet;
use relevo_model::ClusterFile;
use relevo_model::cluster::{Family, Role, Switch};

use crate::faults::Damage;
use crate::registry::KEEPER;
use crate::{LabError, Result};
use names::{Names, plain};
use routes::Route;

pub(crate) use names::INTERFACE_NAME_MAX;

/// The bridge of every switch, in the switch's own namespace.
pub(crate) const BRIDGE: &str = "bridge";
/// The second bridge of a switch that speaks STP: machines are plugged into it. It speaks no STP, so its ports pass
/// traffic as soon as a cable is in, as the edge ports of a real switch do. The kernel's own STP has no such ports,
/// and does not let anybody else set their state. No machine's name has a `~`, so no port is called like this.
pub(crate) const EDGE: &str = "edge~";
/// The cable between the two bridges of a switch: its port on the bridge that speaks STP ...
pub(crate) const TRUNK: &str = "trunk~";
/// ... and its port on the other one.
pub(crate) const TRUNK_AT_EDGE: &str = "trunk~edge";
/// The VXLAN device of a switch.
const TUNNEL: &str = "vxlan";
/// The interface under the VXLAN device.
const UPLINK: &str = "uplink";
/// STP cost of a port with a cable of 10 Gbit/s, which the kernel takes a veth for (IEEE 802.1D-1998, table 8-5).
const CABLE_COST: u16 = 2;

/// A bridge that speaks no STP: its ports pass traffic at once.
const PLAIN: &str = "stp_state 0 forward_delay 0";

/// What a namespace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpaceKind {
    /// A node of the cluster.
    Node,
    /// A client machine.
    Client,
    /// A switch: its own network and nothing else.
    Switch,
}

/// A namespace to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// Its name: the node's, client's or switch's.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: SpaceKind,
}

/// One end of a cable. Without a space it is in the keeper's own network: the host's, or the rootless lab's middle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The namespace's name.
    pub(crate) space: Option<String>,
    /// The interface.
    pub(crate) interface: String,
}

/// What a cable is for; a fault acts on it through this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CableUse {
    /// Joins two switches.
    Link,
    /// Plugs a machine into a switch; the switch is end `b`.
    Plug {
        /// The network.
        network: String,
    },
    /// Carries a switch's VXLAN (end `a`) over another switch (end `b`).
    Uplink,
    /// Plugs the host in; the switch is end `b`.
    Host,
}

/// A veth pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cable {
    /// What it is for.
    pub(crate) purpose: CableUse,
    /// One end.
    pub(crate) a: End,
    /// The other end; of a plug, the switch's.
    pub(crate) b: End,
    /// STP cost of its bridge ports.
    cost: Option<u16>,
    /// Its MTU, if not Ethernet's.
    mtu: Option<u32>,
}

/// The plan of a lab.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    /// The namespaces: nodes, clients, switches, each in the file's order.
    pub(crate) spaces: Vec<Space>,
    /// The cables.
    pub(crate) cables: Vec<Cable>,
    /// Addresses by namespace (`None`: the keeper's own) and interface.
    addresses: Vec<(Option<String>, String, IpNet)>,
    switches: Vec<Switch>,
    /// MTUs of networks, by name, where they are not Ethernet's.
    mtus: BTreeMap<String, u32>,
    routes: Vec<Route>,
}

impl Topology {
    /// Plans a lab.
    ///
    /// # Errors
    /// `Wrong`: a machine and a switch have the same name, or something is plugged into a switch that does not exist.
    pub(crate) fn plan(cluster: &ClusterFile) -> Result<Self> {
        let mut names = Names::default();
        let mut plan = Self {
            spaces: spaces(cluster)?,
            cables: Vec::new(),
            addresses: Vec::new(),
            switches: cluster.lab.switches.clone(),
            mtus: BTreeMap::new(),
            routes: routes::routes(cluster),
        };
        for network in &cluster.networks {
            let mtu = mtu::of_network(cluster, &network.name);
            plan.mtus.extend(mtu.map(|mtu| (network.name.to_string(), mtu)));
        }
        plan.link_switches(cluster, &mut names);
        plan.plug_machines(cluster, &mut names)?;
        plan.stretch_tunnels(cluster, &mut names)?;
        plan.plug_host(cluster, &mut names);
        Ok(plan)
    }

    /// Commands for `ip -batch`, to be run in the keeper's network: every bridge and every cable, each made right
    /// where it belongs, so that nothing passes through the host.
    pub(crate) fn commands_outside(&self, pids: &BTreeMap<String, i32>) -> String {
        let mut text = String::new();
        let netns = |space: &Option<String>| match space.as_ref().and_then(|name| pids.get(name)) {
            Some(pid) => format!(" netns {pid}"),
            None => String::new(),
        };
        for switch in &self.switches {
            let place = netns(&Some(switch.name.to_string()));
            // Times in hundredths of a second: the shortest that 802.1D and the kernel allow. A switch forgets where machines
            // are within the forward delay when the tree changes. The kernel looks through
            // its table only when its usual time is over, 300 s: what it knew of a port that is blocked now would lead nowhere
            // until then. So its usual time is as short.
            let stp = match switch.stp {
                true => format!(
                    "stp_state 1 priority {} forward_delay 200 hello_time 100 max_age 600 \
                     ageing_time 200",
                    switch.priority
                ),
                false => PLAIN.to_owned(),
            };
            let _ = writeln!(text, "link add name {BRIDGE}{place} type bridge {stp} mcast_snooping 0");
            if switch.stp {
                let mtu = mtu_words(self.trunk_mtu(&switch.name));
                let _ = writeln!(text, "link add name {EDGE}{place} type bridge {PLAIN} mcast_snooping 0");
                let _ = writeln!(
                    text,
                    "link add name {TRUNK}{mtu}{place} type veth peer name {TRUNK_AT_EDGE}{mtu}{place}"
                );
            }
        }
        for cable in &self.cables {
            let mtu = mtu_words(cable.mtu);
            let (a, b) = (&cable.a, &cable.b);
            let (at_a, at_b) = (netns(&a.space), netns(&b.space));
            let _ = writeln!(
                text,
                "link add name {}{mtu}{at_a} type veth peer name {}{mtu}{at_b}",
                a.interface, b.interface
            );
        }
        text
    }

    /// Whether a machine has an IPv6 address.
    pub(crate) fn speaks_v6(&self) -> bool {
        self.addresses.iter().any(|(.., net)| matches!(net, IpNet::V6(_)))
    }

    /// Whether the host's end of the host leg has an IPv6 address.
    pub(crate) fn host_speaks_v6(&self) -> bool {
        self.addresses.iter().any(|(space, _, net)| space.is_none() && matches!(net, IpNet::V6(_)))
    }

    /// Takes the IPv6 address from the host's end of the host leg: the host knows no IPv6.
    pub(crate) fn without_v6_on_host(&mut self) {
        self.addresses.retain(|(space, _, net)| space.is_some() || matches!(net, IpNet::V4(_)));
    }

    /// Commands for `ip -batch` inside a namespace (`None`: the keeper's own): addresses, ports, everything up.
    pub(crate) fn commands_inside(&self, space: Option<&str>) -> String {
        let mut text = String::new();
        if let Some(name) = space {
            let _ = writeln!(text, "link set dev lo up");
            if let Some(switch) = self.switches.iter().find(|switch| switch.name.as_str() == name) {
                self.switch_commands(switch, &mut text);
                return text;
            }
        }
        for (_, interface, net) in self.addresses.iter().filter(|(at, ..)| at.as_deref() == space) {
            let _ = writeln!(text, "{}", address_add(net, interface));
            let _ = writeln!(text, "link set dev {interface} up");
        }
        for route in self.routes.iter().filter(|route| Some(route.space.as_str()) == space) {
            let _ = writeln!(text, "route add {}", route.words);
        }
        text
    }

    /// Commands for `bridge -batch` inside a switch: where its VXLAN sends what it does not know, and ports' costs.
    pub(crate) fn bridge_commands(&self, name: &str) -> String {
        let mut text = String::new();
        let Some(switch) = self.switches.iter().find(|switch| switch.name.as_str() == name) else {
            return text;
        };
        for (cable, own) in self.ports(name) {
            if let Some(cost) = cable.cost.filter(|_| switch.stp) {
                let _ = writeln!(text, "link set dev {} cost {cost}", own.interface);
            }
        }
        if let Some(tunnel) = &switch.vxlan {
            let others = self.switches.iter().filter(|other| other.name != switch.name);
            for far in others.filter_map(|other| other.vxlan.as_ref()).filter(|far| far.id == tunnel.id) {
                let _ =
                    writeln!(text, "fdb append 00:00:00:00:00:00 dev {TUNNEL} dst {} self permanent", far.ip);
            }
        }
        text
    }

    /// Which of a switch's interfaces shall be up, given the damage done.
    pub(crate) fn switch_interfaces(&self, name: &str, damage: &Damage) -> Vec<(String, bool)> {
        let on = !damage.switches_off.contains(name);
        let mut interfaces = vec![(BRIDGE.to_owned(), on)];
        if self.has_edge(name) {
            interfaces.extend([EDGE, TRUNK, TRUNK_AT_EDGE].map(|interface| (interface.to_owned(), on)));
        }
        for cable in &self.cables {
            for (own, far) in [(&cable.a, &cable.b), (&cable.b, &cable.a)] {
                if own.space.as_deref() != Some(name) {
                    continue;
                }
                let far_space = far.space.clone().unwrap_or_default();
                let whole = match &cable.purpose {
                    CableUse::Link => !damage.is_cut(name, &far_space),
                    CableUse::Plug { network } => !damage.unplugged.contains(&(far_space, network.clone())),
                    CableUse::Uplink | CableUse::Host => true,
                };
                interfaces.push((own.interface.clone(), on && whole));
            }
        }
        if self.switches.iter().any(|switch| switch.name.as_str() == name && switch.vxlan.is_some()) {
            interfaces.push((TUNNEL.to_owned(), on && !damage.vxlans_cut.contains(name)));
        }
        interfaces
    }

    /// Commands for `bridge -batch` that give the ports of a link between two switches, at the first one, a cost;
    /// `None`: the cluster file's, or what the kernel gives a cable.
    pub(crate) fn cost_commands(&self, name: &str, other: &str, cost: Option<u16>) -> String {
        let mut text = String::new();
        for (cable, own) in self.ports(name).filter(|(cable, _)| cable.purpose == CableUse::Link) {
            let far = if cable.a == *own { &cable.b } else { &cable.a };
            if far.space.as_deref() == Some(other) {
                let cost = cost.or(cable.cost).unwrap_or(CABLE_COST);
                let _ = writeln!(text, "link set dev {} cost {cost}", own.interface);
            }
        }
        text
    }

    /// The host's end of the host leg.
    pub(crate) fn host_interface(&self) -> Option<&str> {
        let host = self.cables.iter().find(|cable| cable.purpose == CableUse::Host)?;
        Some(&host.a.interface)
    }

    fn switch_commands(&self, switch: &Switch, text: &mut String) {
        let name = switch.name.as_str();
        if let Some(tunnel) = &switch.vxlan {
            let _ = writeln!(
                text,
                "link add name {TUNNEL}{} type vxlan id {} local {} dstport 4789",
                mtu_words(self.mtus.get(switch.network.as_str()).copied()),
                tunnel.id,
                tunnel.ip
            );
            let _ = writeln!(text, "link set dev {TUNNEL} master {BRIDGE}");
            for (_, interface, net) in self.addresses.iter().filter(|(at, ..)| at.as_deref() == Some(name)) {
                let _ = writeln!(text, "{}", address_add(net, interface));
            }
        }
        if switch.stp {
            let _ = writeln!(text, "link set dev {TRUNK} master {BRIDGE}");
            let _ = writeln!(text, "link set dev {TRUNK_AT_EDGE} master {EDGE}");
        }
        for (cable, own) in self.ports(name) {
            let bridge = if switch.stp && cable.purpose != CableUse::Link { EDGE } else { BRIDGE };
            let _ = writeln!(text, "link set dev {} master {bridge}", own.interface);
        }
        for (interface, _) in self.switch_interfaces(name, &Damage::default()) {
            let _ = writeln!(text, "link set dev {interface} up");
        }
    }

    /// The cables in the bridge ports of a switch, each with the switch's end; the VXLAN and what is under it apart.
    fn ports<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Cable, &'a End)> {
        self.cables.iter().flat_map(move |cable| {
            let under_tunnel = cable.purpose == CableUse::Uplink;
            [(&cable.a, under_tunnel), (&cable.b, false)]
                .into_iter()
                .filter(move |(end, under)| end.space.as_deref() == Some(name) && !under)
                .map(move |(end, _)| (cable, end))
        })
    }

    /// Whether this switch has a bridge of its own for machines.
    fn has_edge(&self, name: &str) -> bool {
        self.switches.iter().any(|switch| switch.name.as_str() == name && switch.stp)
    }

    /// The MTU between the two bridges of a switch: that of its ports.
    fn trunk_mtu(&self, name: &str) -> Option<u32> {
        self.ports(name).find_map(|(cable, _)| cable.mtu)
    }

    fn link_switches(&mut self, cluster: &ClusterFile, names: &mut Names) {
        for link in &cluster.lab.links {
            let mtu = mtu::of_network(cluster, &network_of(cluster, &link.a));
            self.cables.push(Cable {
                purpose: CableUse::Link,
                a: names.end(Some(&link.a), &link.b),
                b: names.end(Some(&link.b), &link.a),
                cost: link.cost,
                mtu,
            });
        }
    }

    fn plug_machines(&mut self, cluster: &ClusterFile, names: &mut Names) -> Result<()> {
        for plug in &cluster.lab.plugs {
            let (machine, network) = (plug.node.as_str(), plug.network.as_str());
            if !cluster.lab.switches.iter().any(|switch| switch.name == plug.switch) {
                return Err(LabError::wrong(format!(
                    "{machine} is plugged into {}: no such switch",
                    plug.switch
                )));
            }
            let (ips, wanted) = match (
                cluster.node(machine).and_then(|node| node.address_on(network)),
                cluster.lab.clients.iter().find(|client| client.name == plug.node),
            ) {
                (Some(address), _) => {
                    (address.all().collect::<Vec<_>>(), address.interface.as_deref().unwrap_or(network))
                }
                (None, Some(client)) => {
                    let own = [Some(client.ip.into()), client.ip6.map(std::net::IpAddr::V6)];
                    (own.into_iter().flatten().collect(), network)
                }
                (None, None) => {
                    return Err(LabError::wrong(format!(
                        "{machine} has a cable but no address on {network}"
                    )));
                }
            };
            let a = names.end(Some(machine), plain(wanted)?);
            for ip in ips {
                self.addresses.push((a.space.clone(), a.interface.clone(), within(cluster, network, ip)));
            }
            self.cables.push(Cable {
                purpose: CableUse::Plug { network: network.to_owned() },
                a,
                b: names.end(Some(&plug.switch), machine),
                cost: None,
                mtu: mtu::of_network(cluster, network),
            });
        }
        Ok(())
    }

    fn stretch_tunnels(&mut self, cluster: &ClusterFile, names: &mut Names) -> Result<()> {
        for switch in &cluster.lab.switches {
            let Some(tunnel) = &switch.vxlan else { continue };
            let Some(over) = cluster.lab.switches.iter().find(|other| other.name == tunnel.over) else {
                return Err(LabError::wrong(format!(
                    "{} goes over {}: no such switch",
                    switch.name, tunnel.over
                )));
            };
            let a = names.end(Some(&switch.name), UPLINK);
            let net = within(cluster, &over.network, tunnel.ip.into());
            self.addresses.push((a.space.clone(), a.interface.clone(), net));
            self.cables.push(Cable {
                purpose: CableUse::Uplink,
                a,
                b: names.end(Some(&over.name), &switch.name),
                cost: None,
                mtu: mtu::of_network(cluster, &over.network),
            });
        }
        Ok(())
    }

    fn plug_host(&mut self, cluster: &ClusterFile, names: &mut Names) {
        let Some(host) = &cluster.lab.host else { return };
        let a = names.end(None, &format!("relevo-{}", cluster.name));
        for ip in [Some(host.ip.into()), host.ip6.map(std::net::IpAddr::V6)].into_iter().flatten() {
            self.addresses.push((None, a.interface.clone(), within(cluster, &host.network, ip)));
        }
        self.cables.push(Cable {
            purpose: CableUse::Host,
            a,
            b: names.end(Some(&host.switch), "host"),
            cost: None,
            mtu: mtu::of_network(cluster, &host.network),
        });
    }
}

fn spaces(cluster: &ClusterFile) -> Result<Vec<Space>> {
    let nodes = cluster.nodes.iter().map(|node| (node.name.as_str(), SpaceKind::Node));
    let clients = cluster.lab.clients.iter().map(|client| (client.name.as_str(), SpaceKind::Client));
    let switches = cluster.lab.switches.iter().map(|switch| (switch.name.as_str(), SpaceKind::Switch));
    let mut seen = BTreeSet::new();
    let mut spaces = Vec::new();
    for (name, kind) in nodes.chain(clients).chain(switches) {
        if name == KEEPER {
            return Err(LabError::wrong(format!("{KEEPER} is the lab itself: take another name")));
        }
        if !seen.insert(name) {
            return Err(LabError::wrong(format!(
                "two things are called {name}: nodes, clients and switches of a lab need different names"
            )));
        }
        spaces.push(Space { name: name.to_owned(), kind });
    }
    Ok(spaces)
}

fn network_of(cluster: &ClusterFile, switch: &str) -> String {
    let found = cluster.lab.switches.iter().find(|other| other.name.as_str() == switch);
    found.map(|switch| switch.network.to_string()).unwrap_or_default()
}

fn mtu_words(mtu: Option<u32>) -> String {
    mtu.map(|mtu| format!(" mtu {mtu}")).unwrap_or_default()
}

fn address_add(net: &IpNet, interface: &str) -> String {
    match net {
        IpNet::V4(_) => format!("address add {net} broadcast + dev {interface}"),
        // Usable at once: nobody else of the lab has it.
        IpNet::V6(_) => format!("address add {net} dev {interface} nodad"),
    }
}

fn within(cluster: &ClusterFile, network: &str, ip: std::net::IpAddr) -> IpNet {
    let prefix = cluster.network(network).and_then(|network| network.prefix_len(Family::of(ip)));
    prefix.and_then(|prefix| IpNet::new(ip, prefix).ok()).unwrap_or_else(|| IpNet::from(ip))
}

/// Whether a node runs `relevo node run`.
pub(crate) fn is_director(cluster: &ClusterFile, name: &str) -> bool {
    cluster.node(name).is_some_and(|node| node.is(Role::Director))
}

#[cfg(test)]
mod tests;
