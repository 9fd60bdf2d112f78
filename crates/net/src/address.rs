//! IPv4 addresses of interfaces, with a lease: the kernel itself removes an address that nobody refreshes.
//!
//! The lease is the address's valid lifetime (`IFA_CACHEINFO`, rtnetlink(7); `valid_lft` of ip-address(8)). It counts whole
//! seconds; the kernel looks at most once a second, so an address is gone 1.0 to 2.0 s after its last refresh
//! with a lease of 1 s. See `docs/internals/leases.md`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope, CacheInfo};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::Error;
use crate::route::{Route, is_gone};

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub index: u32,
    /// The address.
    pub ip: Ipv4Addr,
    /// Its prefix length, 0 to 32.
    pub prefix: u8,
    /// What is left of its lease, whole seconds; `None`: it stays until somebody removes it.
    pub valid: Option<Duration>,
}

impl Route {
    /// All IPv4 addresses of this network namespace.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the kernel refuses the dump.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
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
        ip: Ipv4Addr,
        prefix: u8,
        valid: Option<Duration>,
    ) -> Result<(), Error> {
        let mut message = message(index, ip, prefix);
        if let Some(valid) = valid {
            let seconds = u32::try_from(valid.as_secs()).unwrap_or(FOREVER).clamp(1, FOREVER - 1);
            let mut lease = CacheInfo::default();
            lease.ifa_valid = seconds;
            lease.ifa_preferred = seconds;
            message.attributes.push(AddressAttribute::CacheInfo(lease));
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|source| Error::kernel(format!("put {ip}/{prefix} on interface {index}"), source))
    }

    /// Removes an address from an interface. Returns whether it was there.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`.
    pub fn release(&mut self, index: u32, ip: Ipv4Addr, prefix: u8) -> Result<bool, Error> {
        match self.request(RouteNetlinkMessage::DelAddress(message(index, ip, prefix)), 0) {
            Ok(()) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(Error::kernel(format!("remove {ip}/{prefix} from interface {index}"), error)),
        }
    }
}

fn message(index: u32, ip: Ipv4Addr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes =
        vec![AddressAttribute::Local(IpAddr::V4(ip)), AddressAttribute::Address(IpAddr::V4(ip))];
    message
}

impl Address {
    /// `None` for other families.
    pub(crate) fn from_message(message: &AddressMessage) -> Option<Self> {
        if message.header.family != AddressFamily::Inet {
            return None;
        }
        let mut local = None;
        let mut peer = None;
        let mut valid = None;
        for attribute in &message.attributes {
            if let AddressAttribute::Local(IpAddr::V4(ip)) = attribute {
                local = Some(*ip);
            } else if let AddressAttribute::Address(IpAddr::V4(ip)) = attribute {
                peer = Some(*ip);
            } else if let AddressAttribute::CacheInfo(lease) = attribute
                && lease.ifa_valid != FOREVER
            {
                valid = Some(Duration::from_secs(u64::from(lease.ifa_valid)));
            }
        }
        // IFA_ADDRESS is the other end's address on point-to-point links (if_addr.h).
        let ip = local.or(peer)?;
        Some(Self { index: message.header.index, ip, prefix: message.header.prefix_len, valid })
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
        let loopback = addresses.iter().find(|address| address.ip == Ipv4Addr::LOCALHOST);
        assert!(
            loopback.is_none_or(|address| address.prefix == 8 && address.valid.is_none()),
            "{addresses:?}"
        );
    }

    #[test]
    fn a_lease_survives_the_message() {
        let mut sent = message(7, Ipv4Addr::new(10, 0, 0, 9), 32);
        assert_eq!(
            Address::from_message(&sent),
            Some(Address { index: 7, ip: Ipv4Addr::new(10, 0, 0, 9), prefix: 32, valid: None })
        );
        let mut lease = CacheInfo::default();
        lease.ifa_valid = 1;
        sent.attributes.push(AddressAttribute::CacheInfo(lease));
        assert_eq!(Address::from_message(&sent).unwrap().valid, Some(Duration::from_secs(1)));
    }
}
