//! The cluster file while it is being put together: names that are shared, tables in the order of people.
//!
//! What several files speak of (networks, nodes, groups, virtual addresses) is typed here, so that one file's view completes
//! another's. All else is a [`Table`] with the text of its values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// A table of the cluster file: its header, and its keys with the text of their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// As between the brackets; with `[[...]]` for one of a list: `[service.web.rule]`.
    pub(crate) header: String,
    /// Comments above it, without `#`.
    pub(crate) comments: Vec<String>,
    /// In their order.
    pub(crate) keys: Vec<(String, String)>,
}

/// A network segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) name: String,
    /// One IPv4 subnet, at most one IPv6 subnet after it.
    pub(crate) subnets: Vec<IpNet>,
    pub(crate) mtu: Option<u32>,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) is_director: bool,
    pub(crate) is_server: bool,
    /// Its own addresses: network, address, interface.
    pub(crate) addresses: Vec<(String, IpAddr, Option<String>)>,
    /// Hardware addresses by network.
    pub(crate) macs: Vec<(String, String)>,
    pub(crate) comments: Vec<String>,
}

/// The cluster file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) networks: Vec<Network>,
    pub(crate) nodes: Vec<Node>,
    /// `group.NAME`.
    pub(crate) groups: Vec<Table>,
    /// Virtual addresses: the name, the address, and `address.NAME`.
    pub(crate) addresses: Vec<(String, IpAddr, Table)>,
    /// All else, in order.
    pub(crate) tables: Vec<Table>,
    pub(crate) names: BTreeSet<String>,
    /// Addresses that a file speaks of, whoever has them: none of them is made up for somebody else.
    pub(crate) spoken_of: BTreeSet<IpAddr>,
    /// Addresses of servers that a balancer's file calls by these names: directors may be among them.
    pub(crate) claims: BTreeMap<String, Ipv4Addr>,
    /// Names of machines that other files tell (DHCP, DNS), by address.
    pub(crate) hosts: BTreeMap<IpAddr, String>,
    /// The group of virtual addresses that no file declares.
    pub(crate) assumed_group: Option<String>,
}

impl Table {
    /// A table without keys.
    pub(crate) fn new(header: impl Into<String>) -> Self {
        Self { header: header.into(), ..Self::default() }
    }

    /// Adds a key with the text of its value, or replaces it.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        let value = value.into();
        match self.keys.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key.to_owned(), value)),
        }
    }

    /// The text of a key's value.
    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// A text as TOML has it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(control));
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

/// Values as a list.
pub(crate) fn list(values: impl IntoIterator<Item = String>) -> String {
    let values: Vec<String> = values.into_iter().collect();
    format!("[{}]", values.join(", "))
}

/// A key as TOML has it: bare where that is possible.
pub(crate) fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

impl Draft {
    /// The next free name of a kind (`node`, `service`, ...) like `wanted`: letters, digits and `-`, at most 40.
    pub(crate) fn fresh(&mut self, kind: &str, wanted: &str) -> String {
        let plain =
            |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
        let mut base: String = wanted.chars().map(plain).take(40).collect();
        while base.contains("--") {
            base = base.replace("--", "-");
        }
        let base = base.trim_matches('-');
        let base = if base.is_empty() { kind } else { base };
        let mut name = base.to_owned();
        let mut number = 2;
        while !self.names.insert(format!("{kind}/{name}")) {
            name = format!("{base}-{number}");
            number += 1;
        }
        name
    }

    /// The network that this address is of.
    pub(crate) fn network_of(&self, ip: IpAddr) -> Option<&Network> {
        self.networks.iter().find(|network| network.subnets.iter().any(|subnet| subnet.contains(&ip)))
    }

    /// The node of this name, made if it is not there.
    pub(crate) fn node(&mut self, name: &str) -> &mut Node {
        let at = self.nodes.iter().position(|node| node.name == name).unwrap_or_else(|| {
            self.nodes.push(Node { name: name.to_owned(), ..Node::default() });
            self.nodes.len() - 1
        });
        &mut self.nodes[at]
    }

    /// The name of the virtual address with this IP address.
    pub(crate) fn virtual_address(&self, ip: IpAddr) -> Option<&str> {
        self.addresses.iter().find(|(_, own, _)| *own == ip).map(|(name, _, _)| name.as_str())
    }

    /// The file's text.
    pub(crate) fn text(&self, head: &[String]) -> String {
        let mut out = String::new();
        for line in head {
            let _ = writeln!(out, "# {line}");
        }
        let _ = writeln!(out, "name = {}", quoted(&self.name));
        for network in &self.networks {
            let subnets = network.subnets.iter().map(|subnet| quoted(&subnet.to_string()));
            let mut table = Table::new(format!("network.{}", key(&network.name)));
            table.set("subnet", one_or_list(subnets.collect()));
            if let Some(mtu) = network.mtu {
                table.set("mtu", mtu.to_string());
            }
            table.write(&mut out);
        }
        for node in &self.nodes {
            node.table().write(&mut out);
        }
        for table in &self.groups {
            table.write(&mut out);
        }
        for (_, _, table) in &self.addresses {
            table.write(&mut out);
        }
        for table in &self.tables {
            table.write(&mut out);
        }
        out
    }
}

impl Node {
    fn table(&self) -> Table {
        let mut table = Table::new(format!("node.{}", key(&self.name)));
        table.comments.clone_from(&self.comments);
        let roles = [(self.is_director, "director"), (self.is_server || !self.is_director, "server")];
        table.set("roles", list(roles.iter().filter(|(is, _)| *is).map(|(_, role)| quoted(role))));
        let mut networks: Vec<&String> = Vec::new();
        for (network, _, _) in &self.addresses {
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        for network in networks {
            let own: Vec<_> = self.addresses.iter().filter(|(name, _, _)| name == network).collect();
            let ips = one_or_list(own.iter().map(|(_, ip, _)| quoted(&ip.to_string())).collect());
            let interface = own.iter().find_map(|(_, _, interface)| interface.as_ref());
            let value = match interface {
                Some(interface) => format!("{{ ip = {ips}, interface = {} }}", quoted(interface)),
                None => ips,
            };
            table.set(&format!("address.{}", key(network)), value);
        }
        for (network, mac) in &self.macs {
            table.set(&format!("mac.{}", key(network)), quoted(mac));
        }
        table
    }
}

impl Table {
    fn write(&self, out: &mut String) {
        out.push('\n');
        for comment in &self.comments {
            let plain: String =
                comment.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
            let _ = writeln!(out, "# {plain}");
        }
        let _ = writeln!(out, "[{}]", self.header);
        for (key, value) in &self.keys {
            let _ = writeln!(out, "{key} = {value}");
        }
    }
}

/// One value as it is, several as a list.
fn one_or_list(values: Vec<String>) -> String {
    match values.as_slice() {
        [one] => one.clone(),
        _ => list(values),
    }
}
