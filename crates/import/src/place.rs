//! Networks and nodes' own addresses: who is where, and what must be made up because no file says it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::draft::{Draft, Network};

impl Draft {
    /// The network that a node's interface is on.
    pub(crate) fn interface_network(&self, node: &str, interface: &str) -> Option<String> {
        let node = self.nodes.iter().find(|one| one.name == node)?;
        let on = node.addresses.iter().find(|(_, _, own)| own.as_deref() == Some(interface));
        on.map(|(network, _, _)| network.clone())
    }

    /// The name of the network with this subnet, made if it is not there; `hint` names it.
    pub(crate) fn new_network(&mut self, subnet: IpNet, hint: &str) -> String {
        if let Some(network) = self.networks.iter().find(|network| network.subnets.contains(&subnet)) {
            return network.name.clone();
        }
        let name = self.fresh("network", hint);
        self.networks.push(Network { name: name.clone(), subnets: vec![subnet], mtu: None });
        name
    }

    /// Whether a node has an own IPv4 address on a network.
    pub(crate) fn is_on(&self, node: &str, network: &str) -> bool {
        let node = self.nodes.iter().find(|one| one.name == node);
        node.is_some_and(|node| node.addresses.iter().any(|(own, ip, _)| own == network && ip.is_ipv4()))
    }

    /// Whether somebody has this address.
    pub(crate) fn is_taken(&self, ip: IpAddr) -> bool {
        let nodes = self.nodes.iter().flat_map(|node| &node.addresses);
        nodes.into_iter().any(|(_, own, _)| *own == ip) || self.virtual_address(ip).is_some()
    }

    /// An address of a network's IPv4 subnet that nobody has, from the top.
    pub(crate) fn free_address(&self, network: &str) -> Option<Ipv4Addr> {
        let network = self.networks.iter().find(|one| one.name == network)?;
        let subnet = network.subnets.iter().find_map(|subnet| match subnet {
            IpNet::V4(subnet) => Some(*subnet),
            IpNet::V6(_) => None,
        })?;
        let (first, last) = (subnet.network().to_bits(), subnet.broadcast().to_bits());
        let mut free = (first.saturating_add(1)..last).rev().map(Ipv4Addr::from_bits);
        free.find(|ip| !self.is_taken(IpAddr::V4(*ip)) && !self.spoken_of.contains(&IpAddr::V4(*ip)))
    }

    /// The same in IPv6.
    fn free_address6(&self, network: &str) -> Option<Ipv6Addr> {
        let network = self.networks.iter().find(|one| one.name == network)?;
        let subnet = network.subnets.iter().find_map(|subnet| match subnet {
            IpNet::V4(_) => None,
            IpNet::V6(subnet) => Some(*subnet),
        })?;
        let first = subnet.network().to_bits();
        let most = if subnet.prefix_len() > 112 { (1 << (128 - subnet.prefix_len())) - 1 } else { 0xffff };
        let mut free = (1..most).rev().map(|last| Ipv6Addr::from_bits(first | last));
        free.find(|ip| !self.is_taken(IpAddr::V6(*ip)) && !self.spoken_of.contains(&IpAddr::V6(*ip)))
    }

    /// Says where a node is on a network, if that is not known yet.
    pub(crate) fn put(&mut self, node: &str, network: &str, ip: IpAddr, interface: Option<&str>) {
        let node = self.node(node);
        if !node.addresses.iter().any(|(_, own, _)| *own == ip) {
            node.addresses.push((network.to_owned(), ip, interface.map(str::to_owned)));
        }
    }

    /// Makes up an own IPv6 address for a node on a network that has them, unless it has one.
    pub(crate) fn make_up6(&mut self, node: &str, network: &str) {
        let own = self.nodes.iter().find(|one| one.name == node);
        let has =
            own.is_some_and(|node| node.addresses.iter().any(|(on, ip, _)| on == network && ip.is_ipv6()));
        let Some(ip) = self.free_address6(network).filter(|_| !has) else { return };
        self.put(node, network, IpAddr::V6(ip), None);
        let comment =
            format!("Made up, no file says it: its own address on {network}, {ip}. Put the right one.");
        self.node(node).comments.push(comment);
    }

    /// An own address for a node on a network: one that a balancer's file has under the node's name, and how that is known;
    /// else made up, with a comment that says so.
    pub(crate) fn make_up(
        &mut self,
        node: &str,
        network: &str,
        interface: Option<&str>,
    ) -> Option<(Ipv4Addr, Option<String>)> {
        let claimed = self.claims.get(node).copied();
        let here = self.networks.iter().find(|one| one.name == network);
        let fits = |ip: &Ipv4Addr| {
            here.is_some_and(|one| one.subnets.iter().any(|subnet| subnet.contains(&IpAddr::V4(*ip))))
                && !self.is_taken(IpAddr::V4(*ip))
        };
        if let Some(ip) = claimed.filter(fits) {
            self.put(node, network, IpAddr::V4(ip), interface);
            return Some((ip, Some(format!("a server called {node} has it"))));
        }
        let ip = self.free_address(network)?;
        self.put(node, network, IpAddr::V4(ip), interface);
        let comment =
            format!("Made up, no file says it: its own address on {network}, {ip}. Put the right one.");
        self.node(node).comments.push(comment);
        Some((ip, None))
    }
}

/// A subnet for documentation that no network has.
pub(crate) fn unused_subnet(draft: &Draft) -> IpNet {
    let taken = |subnet: &Ipv4Net| draft.networks.iter().any(|one| one.subnets.contains(&IpNet::V4(*subnet)));
    let mut free = (0..=255).filter_map(|third| Ipv4Net::new(Ipv4Addr::new(198, 18, third, 0), 24).ok());
    free.find(|subnet| !taken(subnet))
        .map_or_else(|| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(198, 19, 0, 0), 16)), IpNet::V4)
}

/// All that looks like an address, with a prefix length or without.
pub(crate) fn addresses_in(text: &str) -> impl Iterator<Item = IpAddr> {
    let words = text.split(|letter: char| !letter.is_ascii_hexdigit() && letter != '.' && letter != ':');
    words.filter(|word| word.contains(['.', ':'])).filter_map(|word| word.parse().ok())
}

/// The servers of haproxy.cfg that have names and IPv4 addresses.
pub(crate) fn servers_in(text: &str) -> impl Iterator<Item = (String, Ipv4Addr)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (Some("server"), Some(name), Some(place)) = (words.next(), words.next(), words.next()) else {
            return None;
        };
        let ip = place.split(':').next().and_then(|ip| ip.parse().ok())?;
        Some((name.to_owned(), ip))
    })
}
