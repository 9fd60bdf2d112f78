//! Which address a client gets. Every director that has the same table chooses the same one.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::net::Ipv4Addr;

use relevo_model::cluster::DhcpHost;
use twox_hash::XxHash64;

use super::lease::{Client, LeaseState};
use super::message::Request;
use super::settings::Settings;
use super::table::Table;

/// How long an address rests after its lease: the clocks of directors and clients differ, seconds.
const GRACE_S: u64 = 60;

/// Addresses that were offered: to whom, and until when (seconds since 1970).
pub(super) type Offers = BTreeMap<Ipv4Addr, (Client, u64)>;

/// Everything that a choice depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    pub(super) settings: &'a Settings,
    pub(super) table: &'a Table,
    pub(super) offers: &'a Offers,
    pub(super) now_s: u64,
}

impl<'a> Choice<'a> {
    /// The fixed lease of who asks.
    pub(super) fn host(&self, request: &Request) -> Option<&'a DhcpHost> {
        self.settings.dhcp.host(request.mac)
    }

    /// The address to offer; `None`: all are taken.
    pub(super) fn offer(&self, request: &Request) -> Option<Ipv4Addr> {
        if let Some(host) = self.host(request)
            && self.may_have(request, host.ip)
        {
            return Some(host.ip);
        }
        let had = self.table.of(&request.client).into_iter().map(|lease| lease.ip);
        let mut first = had.chain(request.requested);
        if let Some(ip) = first.find(|ip| self.may_have(request, *ip)) {
            return Some(ip);
        }
        let (first, last) = self.settings.dhcp.range?;
        let count = u64::from(last.to_bits() - first.to_bits()) + 1;
        let mut hasher = XxHash64::with_seed(u64::from(first.to_bits()));
        hasher.write(request.client.as_bytes());
        let begin = hasher.finish() % count;
        // Whoever had an address before gets it again if there is room: never used ones come first.
        let ips = || {
            let places = (begin..count).chain(0..begin);
            places
                .filter_map(|place| u32::try_from(place).ok())
                .map(|place| Ipv4Addr::from_bits(first.to_bits() + place))
        };
        let unused = ips().find(|ip| self.table.get(*ip).is_none() && self.may_have(request, *ip));
        unused.or_else(|| ips().find(|ip| self.may_have(request, *ip)))
    }

    /// Whether a client may have an address: it is its own, or of the pool and nobody's.
    pub(super) fn may_have(&self, request: &Request, ip: Ipv4Addr) -> bool {
        let fixed = self.host(request).is_some_and(|host| host.ip == ip);
        let pooled = self.settings.dhcp.range.is_some_and(|(first, last)| first <= ip && ip <= last)
            && !self.settings.reserved.contains(&ip);
        if !fixed && !pooled {
            return false;
        }
        let offered = self
            .offers
            .get(&ip)
            .is_some_and(|(client, until)| *until > self.now_s && *client != request.client);
        let taken = self.table.get(ip).is_some_and(|lease| {
            // Somebody who was found using it is known by the hardware address alone.
            let own = lease.client == request.client
                || lease.client == Client::of_mac(request.mac)
                || (fixed && lease.mac == request.mac);
            match lease.state {
                LeaseState::Bound => !own && lease.until.saturating_add(GRACE_S) > self.now_s,
                LeaseState::Declined => lease.until > self.now_s,
                LeaseState::Free => false,
            }
        });
        !(taken || (offered && !fixed))
    }
}
