//! `[network.NAME]`: subnets, and which address may be used by whom.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::names::{Named, Names, named};
use super::tree::Item;
use crate::cluster::Network;
use crate::name::NetworkName;
use crate::reference;

/// The networks, and who has which address.
#[derive(Debug)]
pub(super) struct Networks {
    /// Those that are right.
    pub(super) list: Vec<Network>,
    /// All that are declared.
    pub(super) names: Names,
    owners: BTreeMap<Place, (String, Span)>,
}

/// An address and, if it is link-local, its network: such an address may be there on each.
type Place = (Option<NetworkName>, IpAddr);

/// Reads all networks.
pub(super) fn read<'a>(findings: &mut Findings<'_>, root: &Fields<'a>) -> Networks {
    let (tables, names) = named(findings, root, "network", "network", 64);
    if root.find("network").is_none() {
        let hint = "add [network.lan] and below it subnet = \"192.168.1.0/24\"";
        findings.error(root.span(), "the cluster has no network", hint);
    }
    let mut list: Vec<Network> = Vec::new();
    for Named { name, span, header, table } in tables {
        check_interface(findings, name, &span, &list);
        let what = format!("network `{name}`");
        let fields = Fields::open(findings, table, &header, &what, &[&reference::NETWORK]);
        let Some(item) = fields.require(findings, "subnet", "\"192.168.1.0/24\"") else { continue };
        let Some((subnet, subnet6)) = subnets(findings, item) else { continue };
        if let Some((other, theirs, ours)) = overlap(&list, subnet, subnet6) {
            let message = format!("{ours} overlaps with {theirs} of network `{}`", other.name);
            findings.error(&item.span, message, "give each network a subnet of its own");
            continue;
        }
        let mtu = fields.number(findings, "mtu");
        list.push(Network { name: NetworkName::new(name), subnet, subnet6, mtu });
    }
    Networks { list, names, owners: BTreeMap::new() }
}

/// In the lab a node's interface is called like the network, cut to 15 bytes.
fn check_interface(findings: &mut Findings<'_>, name: &str, span: &Span, others: &[Network]) {
    let cut = |name: &str| name.chars().take(15).collect::<String>();
    if ["lo", "all", "default"].contains(&name) {
        let hint = "the lab names interfaces after networks: take another name, as in `lan`";
        findings.error(span, format!("a network cannot be called `{name}`"), hint);
    }
    if let Some(other) =
        others.iter().find(|other| cut(&other.name) == cut(name) && other.name.as_str() != name)
    {
        let message = format!("`{name}` and `{}` begin with the same 15 characters", other.name);
        findings.error(
            span,
            message,
            "the lab names interfaces after the first 15 characters: make them differ",
        );
    }
}

/// One IPv4 subnet, alone or in a list with an IPv6 subnet.
fn subnets(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<(Ipv4Net, Option<Ipv6Net>)> {
    let items = match item.value.as_array() {
        Some(list) => list.iter().map(|value| item.of_list(value)).collect(),
        None => vec![item.clone()],
    };
    let (mut subnet4, mut subnet6) = (None, None);
    for item in &items {
        let text = item.text(findings, "\"192.168.1.0/24\"")?;
        let twice = if text.contains(':') {
            subnet6.replace(self::subnet6(findings, item, text)?).is_some()
        } else {
            subnet4.replace(subnet(findings, item, text)?).is_some()
        };
        if twice {
            let hint = "a network has one IPv4 subnet and at most one IPv6 subnet";
            findings.value(&item.span, "there is a subnet of this family already", hint);
        }
    }
    if subnet4.is_none() {
        let hint = "write subnet = [\"192.168.1.0/24\", \"2001:db8:1::/64\"]";
        findings.value(&item.span, "the network has no IPv4 subnet", hint);
    }
    Some((subnet4?, subnet6))
}

/// Says if a subnet is written with the address of a machine on it.
fn no_bits_after(findings: &mut Findings<'_>, item: &Item<'_>, subnet: IpNet) {
    if subnet.addr() != subnet.network() {
        let message = format!("{subnet} has bits set after its prefix");
        findings.value(&item.span, message, format!("write \"{}\"", subnet.trunc()));
    }
}

fn subnet6(findings: &mut Findings<'_>, item: &Item<'_>, text: &str) -> Option<Ipv6Net> {
    let Ok(subnet) = text.parse::<Ipv6Net>() else {
        let hint = if text.parse::<Ipv6Addr>().is_ok() {
            format!("add the prefix length, as in \"{text}/64\"")
        } else {
            "write an IPv6 subnet with its prefix length, as in \"2001:db8:1::/64\"".to_owned()
        };
        findings.value(&item.span, format!("`{text}` is not a subnet"), hint);
        return None;
    };
    no_bits_after(findings, item, subnet.into());
    let first = subnet.network();
    if first.is_loopback() || first.is_unspecified() || first.is_multicast() || first.is_unicast_link_local()
    {
        let hint = "use a global or a unique local subnet, as in \"2001:db8:1::/64\" or \"fd00:1::/64\"";
        findings.value(&item.span, format!("machines cannot have addresses of {}", subnet.trunc()), hint);
        return None;
    } else if !(16..=126).contains(&subnet.prefix_len()) {
        let message = format!("the prefix length {} is outside 16 to 126", subnet.prefix_len());
        let hint = "a subnet needs room for several machines, as in \"2001:db8:1::/64\"";
        findings.value(&item.span, message, hint);
        return None;
    }
    Some(subnet.trunc())
}

fn subnet(findings: &mut Findings<'_>, item: &Item<'_>, text: &str) -> Option<Ipv4Net> {
    let Ok(subnet) = text.parse::<Ipv4Net>() else {
        let hint = if text.parse::<Ipv4Addr>().is_ok() {
            format!("add the prefix length, as in \"{text}/24\"")
        } else {
            "write an IPv4 subnet with its prefix length, as in \"192.168.1.0/24\"".to_owned()
        };
        findings.value(&item.span, format!("`{text}` is not a subnet"), hint);
        return None;
    };
    no_bits_after(findings, item, subnet.into());
    let first = subnet.network();
    if first.is_loopback() || first.is_multicast() || first.octets()[0] == 0 || first.octets()[0] >= 240 {
        let hint = "use a private subnet, as in \"192.168.1.0/24\"";
        findings.value(&item.span, format!("machines cannot have addresses of {}", subnet.trunc()), hint);
        return None;
    } else if !(8..=30).contains(&subnet.prefix_len()) {
        let message = format!("the prefix length {} is outside 8 to 30", subnet.prefix_len());
        findings.value(
            &item.span,
            message,
            "a subnet needs room for several machines, as in \"192.168.1.0/24\"",
        );
        return None;
    }
    Some(subnet.trunc())
}

/// The network that shares addresses with these subnets, with its subnet and ours.
fn overlap(list: &[Network], subnet: Ipv4Net, subnet6: Option<Ipv6Net>) -> Option<(&Network, IpNet, IpNet)> {
    let shared = |a: IpNet, b: IpNet| a.contains(&b.network()) || b.contains(&a.network());
    let of = |subnet: Ipv4Net, subnet6: Option<Ipv6Net>| {
        [Some(IpNet::V4(subnet)), subnet6.map(IpNet::V6)].into_iter().flatten()
    };
    let ours: Vec<IpNet> = of(subnet, subnet6).collect();
    list.iter().find_map(|other| {
        let mut pairs =
            of(other.subnet, other.subnet6).flat_map(|theirs| ours.iter().map(move |ours| (theirs, *ours)));
        pairs.find(|(theirs, ours)| shared(*theirs, *ours)).map(|(theirs, ours)| (other, theirs, ours))
    })
}

impl Networks {
    /// The network of this name, if it is right.
    pub(super) fn find(&self, name: &str) -> Option<&Network> {
        self.list.iter().find(|network| network.name.as_str() == name)
    }

    /// The network whose subnet has this address.
    pub(super) fn of(&self, ip: IpAddr) -> Option<&Network> {
        self.list.iter().find(|network| network.contains(ip))
    }

    /// Who has this address.
    pub(super) fn owner(&self, ip: IpAddr) -> Option<&str> {
        self.owners.get(&(None, ip)).map(|(owner, _)| owner.as_str())
    }

    /// Gives an address on a network to `owner` and says if that cannot be.
    pub(super) fn claim(
        &mut self,
        findings: &mut Findings<'_>,
        network: &str,
        ip: IpAddr,
        span: &Span,
        owner: &str,
    ) {
        let local = is_link_local(ip);
        let found = self.find(network);
        match (ip, found.map(|network| (network.subnet, network.subnet6))) {
            (_, None) => {}
            (IpAddr::V4(ip), Some((subnet, _))) => self.fits(findings, network, ip, subnet, span),
            (IpAddr::V6(ip), Some((_, None))) => {
                let hint = match self.of(IpAddr::V6(ip)) {
                    Some(other) => format!("{ip} is on network `{}`", other.name),
                    None => "add one, as in subnet = [\"192.168.1.0/24\", \"2001:db8:1::/64\"]".to_owned(),
                };
                findings.error(span, format!("network `{network}` has no IPv6 subnet"), hint);
            }
            (IpAddr::V6(_), Some(_)) if local => {}
            (IpAddr::V6(ip), Some((_, Some(subnet)))) => self.fits6(findings, network, ip, subnet, span),
        }
        let place = (local.then(|| NetworkName::new(network)), ip);
        match self.owners.get(&place) {
            Some((other, at)) => {
                let message = format!("{ip} belongs to {other} already, line {}", findings.line_of(at));
                findings.error(span, message, format!("give {owner} an address of its own"));
            }
            None => {
                self.owners.insert(place, (owner.to_owned(), span.clone()));
            }
        }
    }

    fn fits(&self, findings: &mut Findings<'_>, network: &str, ip: Ipv4Addr, subnet: Ipv4Net, span: &Span) {
        if !subnet.contains(&ip) {
            self.outside(findings, network, ip.into(), subnet.into(), span);
        } else if ip == subnet.network() || ip == subnet.broadcast() {
            let which = if ip == subnet.network() { "network" } else { "broadcast" };
            let message = format!("{ip} is the {which} address of {subnet}");
            findings.error(span, message, format!("take one from {}", range(subnet.into())));
        }
    }

    fn fits6(&self, findings: &mut Findings<'_>, network: &str, ip: Ipv6Addr, subnet: Ipv6Net, span: &Span) {
        if !subnet.contains(&ip) {
            self.outside(findings, network, ip.into(), subnet.into(), span);
        } else if ip == subnet.network() {
            // RFC 4291 section 2.6.1.
            let message = format!("{ip} is the address of any router of {subnet}");
            findings.error(span, message, format!("take one from {}", range(subnet.into())));
        }
    }

    fn outside(&self, findings: &mut Findings<'_>, network: &str, ip: IpAddr, subnet: IpNet, span: &Span) {
        let hint = match self.of(ip) {
            Some(other) => format!("{ip} is on network `{}`; or take one from {}", other.name, range(subnet)),
            None => format!("take one from {}", range(subnet)),
        };
        findings.error(span, format!("{ip} is outside network `{network}`, {subnet}"), hint);
    }

    /// Gives the highest address of a network that nobody has.
    pub(super) fn take(&mut self, network: &str, owner: &str) -> Option<Ipv4Addr> {
        let subnet = self.find(network)?.subnet;
        let (first, last) = (subnet.network().to_bits(), subnet.broadcast().to_bits());
        let mut inside = (first + 1..last).rev().map(Ipv4Addr::from_bits);
        let ip = inside.find(|ip| !self.owners.contains_key(&(None, IpAddr::V4(*ip))))?;
        self.owners.insert((None, ip.into()), (owner.to_owned(), 0..0));
        Some(ip)
    }

    /// Gives the highest IPv6 address of a network that nobody has, if it has an IPv6 subnet.
    pub(super) fn take6(&mut self, network: &str, owner: &str) -> Option<Ipv6Addr> {
        let subnet = self.find(network)?.subnet6?;
        let (first, last) = (subnet.network().to_bits(), subnet.broadcast().to_bits());
        let mut inside = (first + 1..last).rev().map(Ipv6Addr::from_bits);
        let ip = inside.find(|ip| !self.owners.contains_key(&(None, IpAddr::V6(*ip))))?;
        self.owners.insert((None, ip.into()), (owner.to_owned(), 0..0));
        Some(ip)
    }
}

/// Whether an address has a meaning on its link only (RFC 4291 section 2.5.6).
pub(super) const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn range(subnet: IpNet) -> String {
    let (first, last): (IpAddr, IpAddr) = match subnet {
        IpNet::V4(net) => (
            Ipv4Addr::from_bits(net.network().to_bits().saturating_add(1)).into(),
            Ipv4Addr::from_bits(net.broadcast().to_bits().saturating_sub(1)).into(),
        ),
        IpNet::V6(net) => (
            Ipv6Addr::from_bits(net.network().to_bits().saturating_add(1)).into(),
            Ipv6Addr::from_bits(net.broadcast().to_bits().saturating_sub(1)).into(),
        ),
    };
    format!("{first} to {last}")
}
