//! How a group speaks on the wire and puts its addresses on: what [`super::Group`] and [`super::Address`] can wish beyond
//! the plain case.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Address, Group, Network, NodeAddress};
use crate::name::{NetworkName, NodeName};

/// IPv4 or IPv6. A virtual router has one of them (RFC 9568 section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Adverts go to each of the group's other directors instead of the multicast group, `unicast`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Unicast {
    /// TTL (IPv6: hop limit) of what is sent.
    pub ttl: u8,
    /// Least TTL of what is believed: 255 means that no router was passed.
    pub min_ttl: u8,
    /// Whether only adverts from the group's directors are believed.
    pub check_source: bool,
}

/// Where adverts go that are for all routers of a network, `multicast`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Multicast {
    /// In IPv4.
    pub v4: Ipv4Addr,
    /// In IPv6.
    pub v6: Ipv6Addr,
}

impl Default for Multicast {
    /// RFC 9568 sections 5.1.1.2 and 5.1.2.2.
    fn default() -> Self {
        Self { v4: Ipv4Addr::new(224, 0, 0, 18), v6: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12) }
    }
}

impl Multicast {
    /// That of a family.
    pub const fn of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        }
    }
}

/// What adverts without a right signature are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HmacMode {
    /// Signs, and believes only what is signed.
    Enforce,
    /// Signs; believes what is not signed too, but nothing with a wrong signature. For the change of the last directors.
    Permissive,
    /// Does not sign; believes as `Permissive` does. For the first step of a change.
    ReceiveOnly,
}

/// Signed adverts, `hmac`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hmac {
    /// The file with the keys, absolute.
    pub keys: PathBuf,
    /// What is believed.
    pub mode: HmacMode,
}

/// The hardware address that virtual addresses answer with, `mac`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MacSource {
    /// The interface's own.
    #[default]
    Interface,
    /// 00-00-5E-00-01-VRID, IPv6: 00-00-5E-00-02-VRID (RFC 9568 section 7.3), on a macvlan.
    Virtual,
}

/// How neighbours are told of addresses that came here, `announce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Announce {
    /// How often after a takeover, 1 to 20.
    pub repeat: u8,
    /// When the last of them goes out; the first goes at once.
    pub delay: Duration,
    /// Time between those that follow while active; zero: none follow.
    pub refresh: Duration,
    /// Least time between the announcements of two addresses.
    pub interval: Duration,
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            repeat: 5,
            delay: Duration::from_millis(2500),
            refresh: Duration::from_secs(10),
            interval: Duration::ZERO,
        }
    }
}

/// How far an IPv4 address is valid (`scope` of ip-address(8)): which source address the kernel prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everywhere.
    #[default]
    Global,
    /// Within the site.
    Site,
    /// On this link only: never chosen as the source of what goes further.
    Link,
    /// On this machine only.
    Host,
}

impl Family {
    /// An address's family.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The longest prefix, bits.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl Network {
    /// Whether an address is of one of its subnets. Link-local IPv6 addresses are of every network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.subnet.contains(&ip),
            IpAddr::V6(ip) => self.subnet6.is_some_and(|subnet| subnet.contains(&ip)),
        }
    }

    /// The prefix length of its subnet of this family.
    pub fn prefix_len(&self, family: Family) -> Option<u8> {
        match family {
            Family::V4 => Some(self.subnet.prefix_len()),
            Family::V6 => self.subnet6.map(|subnet| subnet.prefix_len()),
        }
    }
}

impl NodeAddress {
    /// The node's address of this family.
    pub fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => Some(IpAddr::V4(self.ip)),
            Family::V6 => self.ip6.map(IpAddr::V6),
        }
    }

    /// All of them, IPv4 first.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [Some(IpAddr::V4(self.ip)), self.ip6.map(IpAddr::V6)].into_iter().flatten()
    }
}

impl Address {
    /// Its family.
    pub const fn family(&self) -> Family {
        Family::of(self.ip)
    }

    /// The IPv4 address, if it is one.
    pub const fn ip4(&self) -> Option<Ipv4Addr> {
        match self.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        }
    }

    /// The IPv6 address, if it is one.
    pub const fn ip6(&self) -> Option<Ipv6Addr> {
        match self.ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip),
        }
    }
}

impl Group {
    /// The virtual router id on a network.
    pub fn vrid_on(&self, network: &NetworkName) -> Option<u8> {
        self.vrids.get(network).copied()
    }

    /// Its directors but one, highest priority first.
    pub fn others<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a NodeName> {
        self.priorities.iter().map(|(name, _)| name).filter(move |name| name.as_str() != node)
    }
}
