//! Interfaces: which there are, whether they can carry traffic, which one a node's address is on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::Error;
use crate::address::Address;
use crate::route::Route;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it; a re-created interface has another one.
    pub index: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Whether it is administratively up, has a carrier and is not dormant (`IFF_UP`, `IFF_LOWER_UP` and `IFF_RUNNING`,
    /// netdevice(7)): what is sent arrives at least at the other end of the cable.
    pub up: bool,
    /// Its hardware address: 6 bytes on Ethernet, empty where there is none.
    pub hardware: Vec<u8>,
}

/// Where a node's own address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface.
    pub link: Link,
    /// The node's own address on it.
    pub ip: Ipv4Addr,
}

impl Route {
    /// All interfaces of this network namespace.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the kernel refuses the dump.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let rows = self
            .dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .map_err(|source| Error::kernel("list the interfaces", source))?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                if let RouteNetlinkMessage::NewLink(message) = row {
                    Link::from_message(&message)
                } else {
                    None
                }
            })
            .collect())
    }

    /// The interface that carries `ip`, or the one called `name`, which must carry it too.
    ///
    /// # Errors
    /// [`Error::NoInterface`], [`Error::NoAddress`], [`Error::NotOnInterface`], each with the interfaces that exist; what the
    /// dumps answer.
    pub fn interface(&mut self, ip: Ipv4Addr, name: Option<&str>) -> Result<Interface, Error> {
        let links = self.links()?;
        let addresses = self.addresses()?;
        find(&links, &addresses, ip, name)
    }
}

impl Route {
    /// What an interface can send IPv6 from to its neighbours: its link-local address, if it has one that is in use.
    ///
    /// # Errors
    /// What the dump answers.
    pub fn link_local(&mut self, index: u32) -> Result<Option<Ipv6Addr>, Error> {
        let addresses = self.addresses()?;
        let mut own = addresses.iter().filter(|address| address.index == index && !address.tentative);
        Ok(own.find_map(|address| match address.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() && address.valid.is_none() => Some(ip),
            IpAddr::V6(_) | IpAddr::V4(_) => None,
        }))
    }
}

fn find(links: &[Link], addresses: &[Address], ip: Ipv4Addr, name: Option<&str>) -> Result<Interface, Error> {
    let carries = |link: &&Link| {
        addresses.iter().any(|address| address.index == link.index && address.ip == IpAddr::V4(ip))
    };
    let present = || inventory(links, addresses);
    let link = match name {
        Some(name) => {
            let link = links.iter().find(|link| link.name == name);
            let link =
                link.ok_or_else(|| Error::NoInterface { name: name.to_owned(), present: present() })?;
            Some(link).filter(carries).ok_or_else(|| Error::NotOnInterface {
                name: name.to_owned(),
                ip,
                present: present(),
            })?
        }
        None => links.iter().find(carries).ok_or_else(|| Error::NoAddress { ip, present: present() })?,
    };
    Ok(Interface { link: link.clone(), ip })
}

/// `eth0 (10.0.0.1, 10.0.0.9), lo (127.0.0.1)`: what an operator compares the cluster file with.
fn inventory(links: &[Link], addresses: &[Address]) -> String {
    let described = links.iter().map(|link| {
        // Link-local addresses are everywhere, and are in no cluster file.
        let is_told = |ip: IpAddr| match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_loopback(),
        };
        let of_link = addresses.iter().filter(|address| address.index == link.index && is_told(address.ip));
        let ips: Vec<String> = of_link.map(|address| address.ip.to_string()).collect();
        if ips.is_empty() {
            format!("{} (no address)", link.name)
        } else {
            format!("{} ({})", link.name, ips.join(", "))
        }
    });
    described.collect::<Vec<_>>().join(", ")
}

impl Link {
    /// `None` for messages of other families: a bridge reports its ports in the same words (`AF_BRIDGE`).
    pub(crate) fn from_message(message: &LinkMessage) -> Option<Self> {
        if message.header.interface_family != AddressFamily::Unspec {
            return None;
        }
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            up: message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running),
            hardware: Vec::new(),
        };
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(name) = attribute {
                link.name.clone_from(name);
            } else if let LinkAttribute::Address(bytes) = attribute {
                link.hardware.clone_from(bytes);
            }
        }
        Some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link { index, name: name.to_owned(), up: true, hardware: vec![2, 0, 0, 0, 0, 1] }
    }

    fn address(index: u32, ip: [u8; 4]) -> Address {
        Address { index, ip: ip.into(), prefix: 24, tentative: false, valid: None }
    }

    #[test]
    fn an_interface_is_found_by_address_or_name_or_the_error_shows_what_there_is() {
        let links = [link(1, "lo"), link(2, "public"), link(3, "spare")];
        let addresses = [address(1, [127, 0, 0, 1]), address(2, [10, 0, 0, 1]), address(2, [10, 0, 0, 9])];
        let ip = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(find(&links, &addresses, ip, None).unwrap().link.index, 2);
        assert_eq!(find(&links, &addresses, ip, Some("public")).unwrap().link.name, "public");

        let present = "there is: lo (127.0.0.1), public (10.0.0.1, 10.0.0.9), spare (no address)";
        let message = |name, ip| find(&links, &addresses, ip, name).unwrap_err().to_string();
        assert_eq!(message(Some("eth7"), ip), format!("there is no interface eth7; {present}"));
        assert_eq!(
            message(Some("spare"), ip),
            format!("the interface spare does not have the address 10.0.0.1; {present}")
        );
        let other = Ipv4Addr::new(10, 0, 0, 2);
        assert_eq!(message(None, other), format!("no interface has the address 10.0.0.2; {present}"));
    }

    #[test]
    fn the_loopback_interface_is_there() {
        let mut route = Route::open().unwrap();
        let names: Vec<String> = route.links().unwrap().into_iter().map(|link| link.name).collect();
        assert!(names.contains(&"lo".to_owned()), "{names:?}");
    }
}
