//! Offers that nobody takes, when there is no other address.

use std::net::Ipv4Addr;

use relevo_model::Time;

use super::message::Request;
use super::server::{OFFER_S, Server};

/// How long, if somebody else wants it and no other one is free. Clients answer within a second.
const CLAIM_S: u64 = 5;

impl Server {
    /// When all are given or offered: the address whose offer has been unanswered for longest, if that is long. So many that ask
    /// and never take what they are offered keep nobody out.
    pub(super) fn unclaimed(&mut self, now: Time, request: &Request) -> Option<Ipv4Addr> {
        let (first, last) = self.settings.dhcp.range?;
        let old = now.as_nanos() / 1_000_000_000 + OFFER_S - CLAIM_S;
        let is_unclaimed = |ip: &Ipv4Addr, until: u64| {
            until <= old
                && (first..=last).contains(ip)
                && !self.waiting.contains_key(ip)
                && !self.probes.is_open(*ip)
                && self.settings.dhcp.hosts.iter().all(|host| host.ip != *ip)
        };
        let unclaimed = self.offers.iter().filter(|(ip, (_, until))| is_unclaimed(ip, *until));
        let ip = unclaimed.min_by_key(|(_, (_, until))| *until).map(|(ip, _)| *ip)?;
        let offer = self.offers.remove(&ip)?;
        if self.choice(now).may_have(request, ip) {
            return Some(ip);
        }
        self.offers.insert(ip, offer);
        None
    }
}
