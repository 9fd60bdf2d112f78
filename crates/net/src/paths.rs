//! Routes and rules of policy routing that are ours: added, removed, listed (ip-route(8), ip-rule(8)).
//!
//! All carry the protocol number [`PROTOCOL`], so that what a killed process left behind is known again. The kernel has no
//! lease for them: they stay until somebody removes them, or their interface goes.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::libc;

use crate::Error;
use crate::route::{Route, ip_of, route_address};

/// `rtm_protocol` of what is ours: VRRP's IP protocol number, which no routing daemon has.
pub const PROTOCOL: u8 = 112;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Where it leads to.
    pub to: IpNet,
    /// The next router.
    pub via: Option<IpAddr>,
    /// The interface's index.
    pub index: Option<u32>,
    /// The table; 254 is `main`.
    pub table: u32,
    /// The metric.
    pub metric: u32,
    /// The source of our own packets.
    pub source: Option<IpAddr>,
}

/// A rule of policy routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether it is about IPv4 packets, or IPv6.
    pub is_ipv4: bool,
    /// Packets from here.
    pub from: Option<IpNet>,
    /// Packets to here.
    pub to: Option<IpNet>,
    /// Packets that came in on this interface.
    pub interface: Option<String>,
    /// The table that they use.
    pub table: u32,
    /// Its place among the rules.
    pub priority: u32,
}

impl Route {
    /// Adds a route. Returns whether it was not there: one to the same destination with the same metric, whoever put it
    /// there, stays as it is.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`; [`Error::Kernel`] with `ENETUNREACH` when nobody knows the way to the
    /// next router, `ENODEV` when the interface is gone.
    pub fn add_path(&mut self, path: &Path) -> Result<bool, Error> {
        let message = RouteNetlinkMessage::NewRoute(route_message(path));
        added(self.request(message, NLM_F_CREATE | NLM_F_EXCL))
            .map_err(|source| Error::kernel(format!("add the route to {}", path.to), source))
    }

    /// Removes a route of ours. Returns whether it was there.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`.
    pub fn remove_path(&mut self, path: &Path) -> Result<bool, Error> {
        let message = RouteNetlinkMessage::DelRoute(route_message(path));
        removed(self.request(message, 0))
            .map_err(|source| Error::kernel(format!("remove the route to {}", path.to), source))
    }

    /// Adds a rule. Returns whether it was not there.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`.
    pub fn add_policy(&mut self, policy: &Policy) -> Result<bool, Error> {
        let message = RouteNetlinkMessage::NewRule(rule_message(policy));
        added(self.request(message, NLM_F_CREATE | NLM_F_EXCL))
            .map_err(|source| Error::kernel(format!("add the rule {}", policy.priority), source))
    }

    /// Removes a rule of ours. Returns whether it was there.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`.
    pub fn remove_policy(&mut self, policy: &Policy) -> Result<bool, Error> {
        let message = RouteNetlinkMessage::DelRule(rule_message(policy));
        removed(self.request(message, 0))
            .map_err(|source| Error::kernel(format!("remove the rule {}", policy.priority), source))
    }

    /// All routes of a table, or those of ours in all tables.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the kernel refuses the dump.
    pub fn paths(&mut self, is_ipv4: bool, of: Of) -> Result<Vec<Path>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(is_ipv4);
        let rows = self
            .dump(&RouteNetlinkMessage::GetRoute(message))
            .map_err(|source| Error::kernel("list the routes", source))?;
        let path = |row| {
            if let RouteNetlinkMessage::NewRoute(message) = row { path(&message, of) } else { None }
        };
        Ok(rows.into_iter().filter_map(path).collect())
    }

    /// All rules of ours.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the kernel refuses the dump.
    pub fn policies(&mut self, is_ipv4: bool) -> Result<Vec<Policy>, Error> {
        let mut message = RuleMessage::default();
        message.header.family = family(is_ipv4);
        let rows = self
            .dump(&RouteNetlinkMessage::GetRule(message))
            .map_err(|source| Error::kernel("list the rules", source))?;
        let rule = |row| {
            if let RouteNetlinkMessage::NewRule(message) = row { policy(&message) } else { None }
        };
        Ok(rows.into_iter().filter_map(rule).collect())
    }
}

/// Which routes are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Those of a table, whoever made them.
    Table(u32),
    /// Those of ours.
    Ours,
}

fn added(answer: Result<(), io::Error>) -> Result<bool, io::Error> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

fn removed(answer: Result<(), io::Error>) -> Result<bool, io::Error> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT | libc::ENODEV)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

const fn family(is_ipv4: bool) -> AddressFamily {
    if is_ipv4 { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// A table beyond 255 stands in an attribute alone (`RTA_TABLE`, rtnetlink(7)).
fn short_table(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(0)
}

fn route_message(path: &Path) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(path.to.addr().is_ipv4());
    message.header.destination_prefix_length = path.to.prefix_len();
    message.header.table = short_table(path.table);
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    // Without a next router the destination is on the link.
    let on_link = path.via.is_none() && path.to.addr().is_ipv4();
    message.header.scope = if on_link { RouteScope::Link } else { RouteScope::Universe };
    message.header.kind = RouteType::Unicast;
    let attributes = &mut message.attributes;
    if path.to.prefix_len() > 0 {
        attributes.push(RouteAttribute::Destination(route_address(path.to.addr())));
    }
    attributes.push(RouteAttribute::Table(path.table));
    attributes.extend(path.via.map(|via| RouteAttribute::Gateway(route_address(via))));
    attributes.extend(path.index.map(RouteAttribute::Oif));
    attributes.extend(path.source.map(|source| RouteAttribute::PrefSource(route_address(source))));
    if path.metric > 0 {
        attributes.push(RouteAttribute::Priority(path.metric));
    }
    message
}

fn rule_message(policy: &Policy) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(policy.is_ipv4);
    message.header.table = short_table(policy.table);
    message.header.action = RuleAction::ToTable;
    message.header.src_len = policy.from.map_or(0, |net| net.prefix_len());
    message.header.dst_len = policy.to.map_or(0, |net| net.prefix_len());
    let attributes = &mut message.attributes;
    attributes.extend(policy.from.map(|net| RuleAttribute::Source(net.addr())));
    attributes.extend(policy.to.map(|net| RuleAttribute::Destination(net.addr())));
    attributes.extend(policy.interface.clone().map(RuleAttribute::Iifname));
    attributes.push(RuleAttribute::Table(policy.table));
    attributes.push(RuleAttribute::Priority(policy.priority));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)));
    message
}

fn path(message: &RouteMessage, of: Of) -> Option<Path> {
    let is_ipv4 = message.header.address_family == AddressFamily::Inet;
    let mut to: IpAddr = if is_ipv4 { [0; 4].into() } else { [0; 16].into() };
    let mut path = Path {
        to: IpNet::from(to),
        via: None,
        index: None,
        table: u32::from(message.header.table),
        metric: 0,
        source: None,
    };
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(address) = attribute {
            to = ip_of(address)?;
        } else if let RouteAttribute::Gateway(address) = attribute {
            path.via = ip_of(address);
        } else if let RouteAttribute::PrefSource(address) = attribute {
            path.source = ip_of(address);
        } else if let RouteAttribute::Oif(index) = attribute {
            path.index = Some(*index);
        } else if let RouteAttribute::Table(table) = attribute {
            path.table = *table;
        } else if let RouteAttribute::Priority(metric) = attribute {
            path.metric = *metric;
        }
    }
    path.to = IpNet::new(to, message.header.destination_prefix_length).ok()?;
    let fits = match of {
        // What can be used to send: no table of blackholes or of broadcasts.
        Of::Table(table) => path.table == table && message.header.kind == RouteType::Unicast,
        Of::Ours => u8::from(message.header.protocol) == PROTOCOL,
    };
    fits.then_some(path)
}

fn policy(message: &RuleMessage) -> Option<Policy> {
    let mut policy = Policy {
        is_ipv4: message.header.family == AddressFamily::Inet,
        from: None,
        to: None,
        interface: None,
        table: u32::from(message.header.table),
        priority: 0,
    };
    let mut is_ours = false;
    for attribute in &message.attributes {
        if let RuleAttribute::Source(ip) = attribute {
            policy.from = IpNet::new(*ip, message.header.src_len).ok();
        } else if let RuleAttribute::Destination(ip) = attribute {
            policy.to = IpNet::new(*ip, message.header.dst_len).ok();
        } else if let RuleAttribute::Iifname(name) = attribute {
            policy.interface = Some(name.clone());
        } else if let RuleAttribute::Table(table) = attribute {
            policy.table = *table;
        } else if let RuleAttribute::Priority(priority) = attribute {
            policy.priority = *priority;
        } else if let RuleAttribute::Protocol(protocol) = attribute {
            is_ours = u8::from(*protocol) == PROTOCOL;
        }
    }
    is_ours.then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_its_message() {
        for (to, via, table, metric) in [
            ("0.0.0.0/0", Some("10.0.0.1"), 254, 0),
            ("10.9.0.0/16", None, 1000, 7),
            ("::/0", Some("2001:db8::1"), 254, 0),
            ("2001:db8:9::/48", None, 70_000, 1),
        ] {
            let path = Path {
                to: to.parse().unwrap(),
                via: via.map(|via| via.parse().unwrap()),
                index: Some(3),
                table,
                metric,
                source: None,
            };
            let message = route_message(&path);
            assert_eq!(super::path(&message, Of::Ours), Some(path.clone()));
            assert_eq!(super::path(&message, Of::Table(table)), Some(path));
            assert_eq!(super::path(&message, Of::Table(253)), None);
        }
    }

    #[test]
    fn a_policy_survives_its_message() {
        for (is_ipv4, from, to, table) in [
            (true, Some("10.9.0.0/16"), None, 100),
            (false, None, Some("2001:db8::/32"), 70_000),
            (true, Some("10.0.0.0/8"), Some("10.1.0.1/32"), 254),
            (false, None, None, 7),
        ] {
            let policy = Policy {
                is_ipv4,
                from: from.map(|net| net.parse().unwrap()),
                to: to.map(|net| net.parse().unwrap()),
                interface: Some("eth0".to_owned()),
                table,
                priority: 1000,
            };
            assert_eq!(super::policy(&rule_message(&policy)), Some(policy));
        }
    }
}
