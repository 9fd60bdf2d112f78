//! Addresses of interfaces, with a lease: the kernel itself removes an address that nobody refreshes.
//!
//! The lease is the address's valid lifetime (`IFA_CACHEINFO`, rtnetlink(7); `valid_lft` of ip-address(8)). It counts whole
//! seconds; the kernel looks at most once a second, so an address is gone 1.0 to 2.0 s after its last refresh
//! with a lease of 1 s. See `docs/internals/leases.md`.

use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use relevo_model::cluster::Scope;

use crate::Error;
use crate::route::{Route, is_gone};

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length, 0 to 32, IPv6 to 128.
    pub prefix: u8,
    /// IPv6: whether it cannot be used, yet or at all, because somebody else may have it (RFC 4862 section 5.4).
    pub tentative: bool,
    /// What is left of its lease, whole seconds; `None`: it stays until somebody removes it.
    pub valid: Option<Duration>,
}

/// An address as it shall be on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish<'a> {
    /// The interface's index.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length. IPv6 with 128 is never chosen as the source of what this machine sends by itself.
    pub prefix: u8,
    /// IPv4: how far it is valid.
    pub scope: Scope,
    /// IPv4: its label, at most 15 bytes.
    pub label: Option<&'a str>,
}

impl Route {
    /// All addresses of this network namespace.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the kernel refuses the dump.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Unspec;
        let rows = self
            .dump(&RouteNetlinkMessage::GetAddress(message))
            .map_err(|source| Error::kernel("list the addresses", source))?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                if let RouteNetlinkMessage::NewAddress(message) = row {
                    Address::from_message(&message)
                } else {
                    None
                }
            })
            .collect())
    }

    /// Puts an address on an interface, or refreshes it if it is there: the kernel removes it `valid` from now (whole seconds,
    /// rounded down, at least one). `None`: no lease.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`; [`Error::Kernel`] with `ENODEV` when the interface is gone.
    pub fn hold(
        &mut self,
        index: u32,
        ip: impl Into<IpAddr>,
        prefix: u8,
        valid: Option<Duration>,
    ) -> Result<(), Error> {
        self.place(&Wish { index, ip: ip.into(), prefix, scope: Scope::Global, label: None }, valid)
    }

    /// As [`Route::hold`], with all that can be wished. IPv6 addresses are usable at once, without a search for duplicates:
    /// the one before may still answer it.
    ///
    /// # Errors
    /// As [`Route::hold`].
    pub fn place(&mut self, wish: &Wish<'_>, valid: Option<Duration>) -> Result<(), Error> {
        let Wish { index, ip, prefix, .. } = *wish;
        let mut message = message(index, ip, prefix);
        if ip.is_ipv4() {
            message.header.scope = scope(wish.scope);
            message.attributes.extend(wish.label.map(|label| AddressAttribute::Label(label.to_owned())));
        } else {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let aside = ip.is_ipv6() && prefix == 128;
        if valid.is_some() || aside {
            let seconds = valid.map_or(FOREVER, |valid| {
                u32::try_from(valid.as_secs()).unwrap_or(FOREVER).clamp(1, FOREVER - 1)
            });
            let mut lease = CacheInfo::default();
            lease.ifa_valid = seconds;
            // RFC 6724 rule 3: a deprecated address is avoided as source; it is answered all the same.
            lease.ifa_preferred = if aside { 0 } else { seconds };
            message.attributes.push(AddressAttribute::CacheInfo(lease));
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|source| Error::kernel(format!("put {ip}/{prefix} on interface {index}"), source))
    }

    /// Removes an address from an interface. Returns whether it was there.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`.
    pub fn release(&mut self, index: u32, ip: impl Into<IpAddr>, prefix: u8) -> Result<bool, Error> {
        let ip = ip.into();
        match self.request(RouteNetlinkMessage::DelAddress(message(index, ip, prefix)), 0) {
            Ok(()) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(Error::kernel(format!("remove {ip}/{prefix} from interface {index}"), error)),
        }
    }
}

const fn scope(scope: Scope) -> AddressScope {
    match scope {
        Scope::Global => AddressScope::Universe,
        Scope::Site => AddressScope::Site,
        Scope::Link => AddressScope::Link,
        Scope::Host => AddressScope::Host,
    }
}

fn message(index: u32, ip: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = prefix;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
    message
}

impl Address {
    /// `None` for other families.
    pub(crate) fn from_message(message: &AddressMessage) -> Option<Self> {
        if !matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6) {
            return None;
        }
        let tentative = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
        let mut local = None;
        let mut peer = None;
        let mut valid = None;
        for attribute in &message.attributes {
            if let AddressAttribute::Local(ip) = attribute {
                local = Some(*ip);
            } else if let AddressAttribute::Address(ip) = attribute {
                peer = Some(*ip);
            } else if let AddressAttribute::CacheInfo(lease) = attribute
                && lease.ifa_valid != FOREVER
            {
                valid = Some(Duration::from_secs(u64::from(lease.ifa_valid)));
            }
        }
        // IFA_ADDRESS is the other end's address on point-to-point links (if_addr.h).
        let ip = local.or(peer)?;
        Some(Self {
            index: message.header.index,
            ip,
            prefix: message.header.prefix_len,
            tentative: message.header.flags.intersects(tentative),
            valid,
        })
    }
}

/// `INFINITY_LIFE_TIME` of the kernel.
const FOREVER: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_there_without_a_lease() {
        let mut route = Route::open().unwrap();
        let addresses = route.addresses().unwrap();
        let loopback = addresses.iter().find(|address| address.ip.is_loopback() && address.ip.is_ipv4());
        assert!(
            loopback.is_none_or(|address| address.prefix == 8 && address.valid.is_none()),
            "{addresses:?}"
        );
    }

    #[test]
    fn a_lease_survives_the_message() {
        let mut sent = message(7, IpAddr::from([10, 0, 0, 9]), 32);
        assert_eq!(
            Address::from_message(&sent),
            Some(Address {
                index: 7,
                ip: IpAddr::from([10, 0, 0, 9]),
                prefix: 32,
                tentative: false,
                valid: None
            })
        );
        let mut lease = CacheInfo::default();
        lease.ifa_valid = 1;
        sent.attributes.push(AddressAttribute::CacheInfo(lease));
        assert_eq!(Address::from_message(&sent).unwrap().valid, Some(Duration::from_secs(1)));
    }
}
