//! DHCP and DNS for the networks behind the directors: who gets which address, and which names there are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::name::{AddressName, GroupName, NetworkName, NodeName};

/// Addresses that the active director gives to machines on a network, `[dhcp.NETWORK]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dhcp {
    /// The network.
    pub network: NetworkName,
    /// The group whose active director answers.
    pub group: GroupName,
    /// The virtual address that clients know the server by (option 54), on this network.
    pub server: Ipv4Addr,
    /// First address that may be given to anybody; `None`: only fixed leases are given.
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// How long a lease lasts, whole seconds.
    pub lease: Duration,
    /// The router that clients are told (option 3).
    pub router: Option<Ipv4Addr>,
    /// The name servers that clients are told (option 6).
    pub dns: Vec<Ipv4Addr>,
    /// The domain that clients are told (option 15).
    pub domain: Option<String>,
    /// Other options, by code; what is sent as it is.
    pub options: Vec<DhcpOption>,
    /// Fixed leases: nodes with `mac.NETWORK`, then `[dhcp.NETWORK.host.NAME]`, in the file's order.
    pub hosts: Vec<DhcpHost>,
}

/// An option that clients are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DhcpOption {
    /// Its code (RFC 2132), 2 to 254.
    pub code: u8,
    /// Its bytes on the wire, at most 255.
    pub value: Vec<u8>,
}

/// A machine that always gets the same address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DhcpHost {
    /// Its name: the client is told (option 12), and DNS answers for it.
    pub name: NodeName,
    /// The hardware address of its interface.
    pub mac: Mac,
    /// Its address.
    pub ip: Ipv4Addr,
}

/// The hardware address of an Ethernet interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// The names of the cluster for those who ask, `[dns]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Virtual addresses where questions are answered, port 53, UDP and TCP.
    pub listen: Vec<DnsListen>,
    /// The domain of the cluster's names, in lower case, without a dot at its end.
    pub domain: String,
    /// Name servers that are asked about all other names; empty: those are refused.
    pub forward: Vec<SocketAddr>,
    /// How long others may remember an answer about the cluster, whole seconds.
    pub ttl: Duration,
    /// Who may ask.
    pub allow: Vec<IpNet>,
    /// Further names, in the file's order.
    pub records: Vec<DnsRecord>,
}

/// A place where questions are answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsListen {
    /// The virtual address's name.
    pub address: AddressName,
    /// The address.
    pub ip: IpAddr,
}

/// A name of the operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsRecord {
    /// The name below the domain, in lower case; `@`: the domain itself. `*.NAME` stands for everything below it.
    pub name: String,
    /// What it stands for.
    pub target: DnsTarget,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum DnsTarget {
    /// Addresses, A and AAAA.
    Addresses(Vec<IpAddr>),
    /// Another name, CNAME, whole and in lower case, without a dot at its end.
    Alias(String),
}

impl FromStr for Mac {
    type Err = ();

    /// Reads `52:54:00:12:34:56`, also with `-`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().ok_or(())?;
            let fits = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            *byte = u8::from_str_radix(if fits { part } else { "" }, 16).map_err(drop)?;
        }
        if parts.next().is_none() { Ok(Self(bytes)) } else { Err(()) }
    }
}

impl Mac {
    /// Whether it is one that all or many interfaces take: no interface has it as its own.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Dhcp {
    /// The fixed lease of a hardware address.
    pub fn host(&self, mac: Mac) -> Option<&DhcpHost> {
        self.hosts.iter().find(|host| host.mac == mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        let mac = Mac([0x52, 0x54, 0, 0xab, 1, 0xff]);
        assert_eq!("52:54:00:ab:01:ff".parse(), Ok(mac));
        assert_eq!("52-54-0-AB-1-FF".parse(), Ok(mac));
        assert_eq!(mac.to_string(), "52:54:00:ab:01:ff");
        for wrong in [
            "",
            "52:54:00:ab:01",
            "52:54:00:ab:01:ff:00",
            "52:54:00:ab:01:fg",
            "+2:54:00:ab:01:ff",
            "525400ab01ff",
        ] {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }
}
