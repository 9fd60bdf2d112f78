//! What DHCP clients call themselves, for DNS.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{PoisonError, RwLock};

use relevo_proto::dhcp::Lease;

/// The names and addresses of all who have a lease.
#[derive(Debug, Default)]
pub(crate) struct Names(RwLock<Content>);

#[derive(Debug, Default)]
struct Content {
    /// Name, and when the lease ends, seconds since 1970.
    by_ip: BTreeMap<Ipv4Addr, (String, u64)>,
    by_name: BTreeMap<String, Vec<Ipv4Addr>>,
}

impl Names {
    /// Takes a lease as it is now.
    pub(crate) fn note(&self, lease: &Lease) {
        let mut content = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, _)) = content.by_ip.remove(&lease.ip)
            && let Some(ips) = content.by_name.get_mut(&before)
        {
            ips.retain(|ip| *ip != lease.ip);
            if ips.is_empty() {
                content.by_name.remove(&before);
            }
        }
        if lease.is_bound(0) && !lease.name.is_empty() {
            content.by_ip.insert(lease.ip, (lease.name.clone(), lease.until));
            content.by_name.entry(lease.name.clone()).or_default().push(lease.ip);
        }
    }

    /// The address of a name: of several who call themselves so, the one who has the lease longest has it.
    pub(crate) fn address(&self, name: &str, now_s: u64) -> Option<Ipv4Addr> {
        let content = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let ips = content.by_name.get(name)?;
        ips.iter().find(|ip| content.by_ip.get(ip).is_some_and(|(_, until)| *until > now_s)).copied()
    }

    /// The name of an address.
    pub(crate) fn name(&self, ip: Ipv4Addr, now_s: u64) -> Option<String> {
        let content = self.0.read().unwrap_or_else(PoisonError::into_inner);
        content.by_ip.get(&ip).filter(|(_, until)| *until > now_s).map(|(name, _)| name.clone())
    }
}
