//! The cluster file once it has been read and found right: names resolved, defaults filled in.
//!
//! Lists keep the order of the file. What is here is what an operator can wish for; nothing here was seen
//! in the world.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::name::{AddressName, GroupName, NetworkName, NodeName, SwitchName};

mod check;
mod dhcp;
mod files;
mod first;
mod gateway;
mod layer2;
mod operation;
mod path;
mod peers;
mod persistence;
mod pool;
mod rule;
mod service;
mod tls;
mod track;
mod vrrp;

pub use check::{Agent, Check, CheckKind, Expect, HttpCheck, Step};
pub use dhcp::{Dhcp, DhcpHost, DhcpOption, Dns, DnsListen, DnsRecord, DnsTarget, Mac};
pub use gateway::{Firewall, Gateway, GatewayWay};
pub use layer2::{
    Bond, BondMode, Bridge, Interface, InterfaceKind, MacvlanMode, Underlay, VxlanDevice, VxlanPeers, mtu_of,
    underlay_mtu, vxlan_overhead,
};
pub use operation::{AccessLog, LogFormat, LogTarget, Stats, User, Users};
pub use path::{Forward, Path};
pub use peers::{Bfd, Peers};
pub use persistence::{Affinity, AffinityKey, Cookie, CookieMode, SameSite};
pub use pool::{
    Balance, Hash, HashKey, HashMethod, Observe, OnError, OnMarkedDown, Pool, PoolTimeouts, ProxyVersion,
    Server,
};
pub use rule::{
    Action, BasicAuth, Condition, Deny, HeaderEdit, NameTest, PLACEHOLDERS, Pattern, RateKey, RateLimit,
    Redirect, Return, Rewrite, Rule, SourceNet,
};
pub use service::{
    Cache, Coding, Compression, ErrorPage, Limits, Listen, LogChoice, Mode, Protocol, Service, ServiceLog,
    Synproxy, Timeouts,
};
pub use tls::{Acme, Certificate, Challenge, ClientTls, ServerTls, TlsVersion, Verify};
pub use track::{
    Along, AtStart, LAST, MAIN_TABLE, MovingPolicy, MovingRoute, RouteInterface, Tracker, Watched,
};
pub use vrrp::{Announce, Family, Hmac, HmacMode, MacSource, Multicast, Scope, Unicast};

/// A whole cluster: everything that every node must agree on. The default one has nothing in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterFile {
    /// The cluster's name; the lab is called so too.
    pub name: String,
    /// Networks, in the file's order.
    pub networks: Vec<Network>,
    /// Machines, in the file's order.
    pub nodes: Vec<Node>,
    /// Groups of virtual addresses that move together, in the file's order.
    pub groups: Vec<Group>,
    /// Virtual addresses, in the file's order.
    pub addresses: Vec<Address>,
    /// Balanced services, in the file's order.
    pub services: Vec<Service>,
    /// Pools of servers: one for each service that has servers of its own, called like it, and those of `[pool.NAME]`.
    pub pools: Vec<Pool>,
    /// Lists of users with password hashes, `[users.NAME]`.
    pub users: Vec<Users>,
    /// Certificate authorities that speak ACME, `[acme.NAME]`.
    pub acme: Vec<Acme>,
    /// Addresses for machines on networks, `[dhcp.NETWORK]`.
    pub dhcp: Vec<Dhcp>,
    /// The names of the cluster, `[dns]`; `None`: nobody answers.
    pub dns: Option<Dns>,
    /// Where access logs go, `[log]`.
    pub log: AccessLog,
    /// The statistics page, `[stats]`; `None`: there is none.
    pub stats: Option<Stats>,
    /// The channel between the directors, `[peers]`; `None`: there is none.
    pub peers: Option<Peers>,
    /// Ways between networks through the active director, `[gateway]`.
    pub gateways: Vec<Gateway>,
    /// Packets that are kept out, `[firewall]`.
    pub firewall: Firewall,
    /// Interfaces for real nodes, `[interface.NAME]`, in the file's order.
    pub interfaces: Vec<Interface>,
    /// How to build the cluster out of namespaces; without `[lab]` in the file, a plain one made from the rest.
    pub lab: Lab,
}

/// A network segment, `[network.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Its name.
    pub name: NetworkName,
    /// Its subnet, as in `192.168.1.0/24`.
    pub subnet: Ipv4Net,
    /// The MTU of all that is on it, bytes; `None`: the file does not tell.
    pub mtu: Option<u32>,
    /// Its IPv6 subnet, as in `2001:db8:1::/64`, if it has one.
    pub subnet6: Option<Ipv6Net>,
}

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Holds virtual addresses and balances.
    Director,
    /// Answers requests behind the directors.
    Server,
}

/// A machine, `[node.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name; in the lab its host name too.
    pub name: NodeName,
    /// What it is for; at least one.
    pub roles: Vec<Role>,
    /// Its own address on each network it is on, in the file's order.
    pub addresses: Vec<NodeAddress>,
    /// Hardware addresses of its interfaces, for DHCP.
    pub macs: BTreeMap<NetworkName, Mac>,
}

/// A node's own address on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeAddress {
    /// The network.
    pub network: NetworkName,
    /// The address.
    pub ip: Ipv4Addr,
    /// The IPv6 address, if it has one there.
    pub ip6: Option<Ipv6Addr>,
    /// The interface; `None`: the one that carries `ip`.
    pub interface: Option<String>,
}

impl NodeAddress {
    /// Whether this is one of the two.
    pub fn has(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.ip == ip,
            IpAddr::V6(ip) => self.ip6 == Some(ip),
        }
    }
}

/// The VRRP version on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum VrrpVersion {
    /// RFC 3768, whole seconds, IPv4 only.
    V2,
    /// RFC 9568, hundredths of a second.
    V3,
}

/// Virtual addresses that move together, `[group.NAME]`: one VRRP router on each of their networks, and for each family there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// The virtual router id, 1 to 255, on each network that the group has watched addresses on; for both families.
    pub vrids: BTreeMap<NetworkName, u8>,
    /// The directors that may hold the addresses with their priorities, 1 to 254 (255 is the address owner's, RFC 9568
    /// section 5.2.4), highest first.
    pub priorities: Vec<(NodeName, u8)>,
    /// Time between two adverts: 10 ms to 40.95 s in version 3, 1 to 255 whole seconds in version 2.
    pub advert: Duration,
    /// How many adverts must be missing before others take over, 1 to 100; the RFCs say 3.
    pub missed: u8,
    /// Whether a returning director of higher priority takes the addresses back.
    pub preempt: bool,
    /// The version spoken.
    pub version: VrrpVersion,
    /// Text password of version 2, at most 8 bytes, for old peers (RFC 2338 section 5.3.6.1). Not a protection.
    pub password: Option<String>,
    /// BFD between the directors; `None`: none.
    pub bfd: Option<Bfd>,
    /// Networks without addresses of the group that its directors watch each other on too.
    pub heartbeat: Vec<NetworkName>,
    /// How long a returning director waits before it takes the addresses back from a healthy one; zero: not at all.
    pub preempt_delay: Duration,
    /// How long a director that gives the group away on purpose goes on with the connections of the userspace engine; zero:
    /// not at all.
    pub drain: Duration,
    /// How long a director that starts does not take part; zero: it listens at once.
    pub startup_delay: Duration,
    /// How long a machine must have run before its director takes part; zero: it does not matter.
    pub boot_delay: Duration,
    /// Whether the services on the group's addresses are watched.
    pub track_services: bool,
    /// What the file says to watch; see [`ClusterFile::trackers_of`].
    pub trackers: Vec<Tracker>,
    /// What moves along, and who is told.
    pub along: Along,
    /// Adverts go to the other directors one by one; `None`: to the multicast group.
    pub unicast: Option<Unicast>,
    /// The multicast group.
    pub multicast: Multicast,
    /// Adverts are signed; `None`: they are not.
    pub hmac: Option<Hmac>,
    /// Which hardware address the virtual addresses have.
    pub mac: MacSource,
    /// Whether this node answers connections to the addresses, RFC 9568's Accept_Mode. `false`: it only forwards.
    pub accept: bool,
    /// How neighbours are told of a takeover.
    pub announce: Announce,
}

/// A virtual address, `[address.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// Its name.
    pub name: AddressName,
    /// The group that it moves with.
    pub group: GroupName,
    /// The network that it is on.
    pub network: NetworkName,
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length on the interface; 32 or 128 unless written.
    pub prefix: u8,
    /// The interface that it is put on; `None`: that of the node's own address on the network.
    pub interface: Option<String>,
    /// IPv4: the name that old tools show it under, as in `eth0:web`.
    pub label: Option<String>,
    /// IPv4: how far it is valid.
    pub scope: Scope,
    /// Whether it is in the adverts. `false`: it only moves along (keepalived's `virtual_ipaddress_excluded`).
    pub watched: bool,
}

/// How the cluster is built out of network namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lab {
    /// Switches: kernel bridges.
    pub switches: Vec<Switch>,
    /// Links between switches.
    pub links: Vec<Link>,
    /// Which switch each node or client is plugged into, one for each of its networks.
    pub plugs: Vec<Plug>,
    /// Client machines: where requests come from.
    pub clients: Vec<Client>,
    /// The leg for the machine that runs the lab.
    pub host: Option<HostLeg>,
    /// What runs on each server node.
    pub runs: Vec<Run>,
}

/// A switch of the lab, `[lab.switch.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Switch {
    /// Its name.
    pub name: SwitchName,
    /// The network that it carries.
    pub network: NetworkName,
    /// Whether it speaks STP.
    pub stp: bool,
    /// STP bridge priority, 0 to 61440 in steps of 4096; the lowest is root.
    pub priority: u16,
    /// A VXLAN that joins this switch with the others of the same `id`.
    pub vxlan: Option<Vxlan>,
}

/// A VXLAN endpoint of a switch: its uplink is a port of another switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vxlan {
    /// The VXLAN network identifier, 1 to 16777215.
    pub id: u32,
    /// The switch that carries the encapsulated traffic.
    pub over: SwitchName,
    /// The endpoint's own address there.
    pub ip: Ipv4Addr,
}

/// A cable between two switches, `[[lab.link]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// One end.
    pub a: SwitchName,
    /// The other end.
    pub b: SwitchName,
    /// STP cost of both ports; `None`: the kernel's default.
    pub cost: Option<u16>,
}

/// A machine's cable to a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plug {
    /// The node or client.
    pub node: NodeName,
    /// The network; the interface in the lab is called so too, cut to 15 bytes.
    pub network: NetworkName,
    /// The switch.
    pub switch: SwitchName,
}

/// A client machine of the lab, `[lab.client.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// Its name.
    pub name: NodeName,
    /// The network that it is on.
    pub network: NetworkName,
    /// Its address there.
    pub ip: Ipv4Addr,
    /// Its IPv6 address there, if the network has such a subnet.
    pub ip6: Option<Ipv6Addr>,
}

/// The leg of the machine that runs the lab, so that its browser opens the virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostLeg {
    /// The switch.
    pub switch: SwitchName,
    /// The network.
    pub network: NetworkName,
    /// The host's address there.
    pub ip: Ipv4Addr,
    /// Its IPv6 address there, if the network has such a subnet.
    pub ip6: Option<Ipv6Addr>,
}

/// What a server node runs in the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The node.
    pub node: NodeName,
    /// The command for `sh -c`; `None`: the built-in origin on every port that services send to.
    pub command: Option<String>,
}

impl ClusterFile {
    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name.as_str() == name)
    }

    /// The network of this name.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.name.as_str() == name)
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name.as_str() == name)
    }

    /// The pool that answers a service's requests unless a rule chooses another one.
    pub fn pool_of(&self, service: &Service) -> Option<&Pool> {
        self.pool(&service.pool)
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name.as_str() == name)
    }

    /// The addresses of a group, in the file's order.
    pub fn addresses_of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Address> {
        self.addresses.iter().filter(move |address| address.group.as_str() == group)
    }
}

impl Node {
    /// The node's own address on a network.
    pub fn address_on(&self, network: &str) -> Option<&NodeAddress> {
        self.addresses.iter().find(|address| address.network.as_str() == network)
    }

    /// Whether it has this role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Group {
    /// The priority of a node; `None` if it is not of this group.
    pub fn priority_of(&self, node: &str) -> Option<u8> {
        self.priorities.iter().find(|(name, _)| name.as_str() == node).map(|(_, priority)| *priority)
    }
}
