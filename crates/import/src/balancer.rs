//! Where services listen and where servers are: names of the cluster file in place of bare addresses.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::draft::{Draft, Table, key, quoted};

/// A place, and what was assumed to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// `NAME:PORT` or `IP:PORT`.
    pub(crate) place: String,
    /// What no file says.
    pub(crate) assumed: Option<String>,
}

impl Found {
    fn sure(place: String) -> Self {
        Self { place, assumed: None }
    }
}

impl Draft {
    /// Where a service listens.
    pub(crate) fn listen_place(&mut self, ip: IpAddr, port: u16) -> Result<Found, String> {
        self.claim(ip);
        if ip.is_unspecified() {
            let assumed = ip.is_ipv6().then(|| "0.0.0.0: IPv4 only".to_owned());
            return Ok(Found { place: format!("0.0.0.0:{port}"), assumed });
        }
        if ip.is_loopback() {
            return if ip.is_ipv4() {
                Ok(Found::sure(format!("127.0.0.1:{port}")))
            } else {
                Err("only 127.0.0.1 is offered beside the cluster's addresses".to_owned())
            };
        }
        if let Some(name) = self.virtual_address(ip) {
            return Ok(Found::sure(format!("{name}:{port}")));
        }
        let own = |node: &&crate::draft::Node| {
            node.is_director && node.addresses.iter().any(|(_, own, _)| *own == ip)
        };
        if self.nodes.iter().find(own).is_some() {
            return Ok(Found::sure(format!("{ip}:{port}")));
        }
        let (name, how) = self.assume_virtual(ip)?;
        Ok(Found { place: format!("{name}:{port}"), assumed: Some(how) })
    }

    /// An address that belongs to a server called as a director is: it is the director's own.
    fn claim(&mut self, ip: IpAddr) {
        let is_it = |node: &&crate::draft::Node| {
            node.is_director && self.claims.get(&node.name).is_some_and(|own| IpAddr::V4(*own) == ip)
        };
        let Some(name) = self.nodes.iter().find(is_it).map(|node| node.name.clone()) else { return };
        if !self.is_taken(ip)
            && let Some((network, _)) = self.ensure_network(ip)
        {
            self.put(&name, &network, ip, None);
        }
    }

    /// A virtual address that no file declares, only uses: what Pacemaker or hands put on a director.
    fn assume_virtual(&mut self, ip: IpAddr) -> Result<(String, String), String> {
        if self.is_taken(ip) {
            return Err(format!("{ip} is a server's own address"));
        }
        let (network, guessed) = self.ensure_network(ip).ok_or("it is on no network that could be told")?;
        let group = self.group_on(&network);
        let is_v4 = ip.is_ipv4();
        let first =
            !self.addresses.iter().any(|(_, _, table)| table.find("network") == Some(&quoted(&network)));
        let wanted = if first { format!("{network}-vip") } else { format!("{network}-{ip}") };
        let name = self.fresh("address", &wanted);
        let mut table = Table::new(format!("address.{}", key(&name)));
        table.comments.push("No file says who holds it: assumed to be virtual, and to move.".to_owned());
        table.set("network", quoted(&network));
        let prefix =
            self.networks.iter().find(|one| one.name == network).and_then(|one| {
                one.subnets.iter().find(|subnet| subnet.contains(&ip)).map(IpNet::prefix_len)
            });
        let text = match prefix {
            Some(prefix) if is_v4 => format!("{ip}/{prefix}"),
            _ => ip.to_string(),
        };
        table.set("ip", quoted(&text));
        table.set("group", quoted(&group));
        self.addresses.push((name.clone(), ip, table));
        let mut how = format!("{ip} was assumed to be a virtual address of the group `{group}`");
        if let Some(guessed) = guessed {
            how.push_str("; ");
            how.push_str(&guessed);
        }
        Ok((name, how))
    }

    /// The group for addresses on a network; made if there is none.
    fn group_on(&mut self, network: &str) -> String {
        let of = |table: &Table| table.find("group").map(|text| text.trim_matches('"').to_owned());
        let on = self.addresses.iter().find(|(_, _, table)| table.find("network") == Some(&quoted(network)));
        if let Some(group) = on.and_then(|(_, _, table)| of(table)) {
            return group;
        }
        if let Some(group) = self.addresses.first().and_then(|(_, _, table)| of(table)) {
            let header = format!("group.{}", key(&group));
            if self.assumed_group.as_deref() != Some(&group) {
                self.give_vrid(&header, network);
            }
            return group;
        }
        let name = self.fresh("group", "main");
        let mut table = Table::new(format!("group.{}", key(&name)));
        table.comments.push(
            "No file says who holds the virtual addresses: all directors, in the order of the files."
                .to_owned(),
        );
        table
            .comments
            .push("The virtual router ids are free to choose; none may be in use on its network.".to_owned());
        table.set("vrid", "{}");
        table.set("priority", "{}");
        self.groups.push(table);
        self.assumed_group = Some(name.clone());
        name
    }

    /// A free virtual router id for one more network of a group.
    fn give_vrid(&mut self, header: &str, network: &str) {
        let Some(table) = self.groups.iter_mut().find(|table| table.header == *header) else { return };
        let Some(old) = table.find("vrid").map(str::to_owned) else { return };
        if old.contains(&format!("{} =", key(network))) {
            return;
        }
        let used: Vec<u8> =
            old.split(|letter: char| !letter.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        let free = (51..=255).find(|id| !used.contains(id)).unwrap_or(255);
        let inner = old.trim_matches(['{', '}', ' ']).to_owned();
        let comma = if inner.is_empty() { "" } else { ", " };
        table.set("vrid", format!("{{ {inner}{comma}{} = {free} }}", key(network)));
    }

    /// Fills in what the group of assumed addresses needs, when all directors and addresses are known.
    pub(crate) fn finish_assumed_group(&mut self) {
        let Some(name) = self.assumed_group.clone() else { return };
        let mut networks: Vec<String> = Vec::new();
        for (_, _, table) in &self.addresses {
            if table.find("group") == Some(&quoted(&name))
                && let Some(network) = table.find("network").map(|text| text.trim_matches('"').to_owned())
                && !networks.contains(&network)
            {
                networks.push(network);
            }
        }
        let vrids: Vec<String> =
            networks.iter().zip(51u8..=250).map(|(network, id)| format!("{} = {id}", key(network))).collect();
        let directors = self.nodes.iter().filter(|node| node.is_director);
        let priorities: Vec<String> = directors
            .zip(std::iter::once(150u8).chain((1..=100).rev()))
            .map(|(node, priority)| format!("{} = {priority}", key(&node.name)))
            .collect();
        let header = format!("group.{}", key(&name));
        if let Some(table) = self.groups.iter_mut().find(|table| table.header == header) {
            table.set("vrid", format!("{{ {} }}", vrids.join(", ")));
            table.set("priority", format!("{{ {} }}", priorities.join(", ")));
        }
    }

    /// The network of an address; made up as /24 if none is known. The second: that it was.
    pub(crate) fn ensure_network(&mut self, ip: IpAddr) -> Option<(String, Option<String>)> {
        if let Some(network) = self.network_of(ip) {
            return Some((network.name.clone(), None));
        }
        let IpAddr::V4(v4) = ip else { return None };
        let subnet = Ipv4Net::new(v4, 24).ok()?.trunc();
        let overlaps = |one: &IpNet| match one {
            IpNet::V4(other) => subnet.contains(other) || other.contains(&subnet),
            IpNet::V6(_) => false,
        };
        if self.networks.iter().any(|network| network.subnets.iter().any(overlaps)) || v4.octets()[0] == 0 {
            return None;
        }
        let has = |name: &str| self.networks.iter().any(|network| network.name == name);
        let hint = if has("external") { "internal" } else { "external" };
        let name = self.new_network(IpNet::V4(subnet), hint);
        Some((name, Some(format!("the subnet {subnet} was assumed"))))
    }

    /// Where a server is: its node's name if it is on a known network, which is made if it is not there.
    ///
    /// A node may be reached by its IPv4 address; an IPv6 address stays as it is.
    pub(crate) fn server_place(&mut self, ip: IpAddr, port: u16, hint: &str) -> String {
        self.claim(ip);
        let IpAddr::V4(ip) = ip else { return format!("[{ip}]:{port}") };
        let known = self
            .nodes
            .iter()
            .position(|node| node.addresses.iter().any(|(_, own, _)| *own == IpAddr::V4(ip)));
        if let Some(index) = known {
            let node = &mut self.nodes[index];
            if node.is_director {
                return format!("{ip}:{port}");
            }
            node.is_server = true;
            return format!("{}:{port}", node.name);
        }
        let network = self.network_of(IpAddr::V4(ip)).map(|network| network.name.clone());
        let usable = self.network_of(IpAddr::V4(ip)).is_some_and(|network| {
            network.subnets.iter().any(|subnet| match subnet {
                IpNet::V4(subnet) => subnet.network() != ip && subnet.broadcast() != ip,
                IpNet::V6(_) => false,
            })
        });
        let Some(network) = network.filter(|_| usable && self.virtual_address(IpAddr::V4(ip)).is_none())
        else {
            return format!("{ip}:{port}");
        };
        let wanted = match self.hosts.get(&IpAddr::V4(ip)) {
            Some(name) => name.clone(),
            None if hint.is_empty() => format!("server-{ip}"),
            None => hint.to_owned(),
        };
        let name = self.fresh_node(&wanted);
        self.put(&name, &network, IpAddr::V4(ip), None);
        self.node(&name).is_server = true;
        format!("{name}:{port}")
    }

    /// A free node's name.
    pub(crate) fn fresh_node(&mut self, wanted: &str) -> String {
        for node in &self.nodes {
            self.names.insert(format!("node/{}", node.name));
        }
        self.fresh("node", wanted)
    }
}

/// `ADDRESS:PORT`, `*:PORT`, `:PORT`, `[v6]:PORT`, `ipv4@...`. The port may be missing.
pub(crate) fn endpoint(text: &str) -> Option<(IpAddr, Option<&str>)> {
    let text = text.strip_prefix("ipv4@").or_else(|| text.strip_prefix("ipv6@")).unwrap_or(text);
    if let Ok(ip) = text.parse() {
        return Some((ip, None));
    }
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let host = host.trim_matches(['[', ']']);
    let ip = match host {
        "" | "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        host => host.parse().ok()?,
    };
    Some((ip, port))
}

/// Milliseconds as the cluster file has them, from 1 ms to 1 d.
pub(crate) fn duration(millis: u64) -> String {
    let millis = millis.clamp(1, 86_400_000);
    let text =
        if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") };
    quoted(&text)
}

/// A hash that fits no password.
pub(crate) const NOBODY: &str =
    "$6$example$no.password.fits.this.hash/print.your.own.with/openssl.passwd.minus.6.................";
