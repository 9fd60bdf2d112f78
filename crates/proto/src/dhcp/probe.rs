//! Whether somebody uses an address that is to be given: asked on the link before an offer (RFC 2131 sections 2.2 and 4.3.1).
//!
//! The table of leases alone cannot know all: a director that comes back while the only one dies that knew a lease has never heard
//! of it. The machine that has it answers for it. Asked is before an offer, and before a client that was offered
//! nothing here is told to go on with an address that it had. Not asked is for a client that says it uses the address now (it would
//! answer itself), nor for a fixed lease, which is the operator's word, nor behind a relay, where ARP does not reach.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::Mac;

use super::events::Output;
use super::lease::{Client, Lease, LeaseState};
use super::message::{Kind, Request};
use super::server::Server;

/// How long an answer is waited for. On a link of its own it takes some milliseconds.
pub const PROBE: Duration = Duration::from_millis(300);
/// How long an address that somebody uses without a lease is his, seconds.
const FOUND_S: u64 = 600;
/// Most questions at a time; who asked for more asks again.
const MOST: usize = 1024;

/// Addresses that were asked for, with the clients that wait for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Probes {
    waiting: BTreeMap<Ipv4Addr, (Request, Time)>,
}

impl Probes {
    /// When the next question counts as unanswered.
    pub(super) fn due(&self) -> Option<Time> {
        self.waiting.values().map(|(_, until)| *until).min()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether an address is being asked for.
    pub(super) fn is_open(&self, ip: Ipv4Addr) -> bool {
        self.waiting.contains_key(&ip)
    }

    fn silent(&mut self, now: Time) -> Vec<(Ipv4Addr, Request)> {
        let due: Vec<Ipv4Addr> =
            self.waiting.iter().filter(|(_, (_, until))| *until <= now).map(|(ip, _)| *ip).collect();
        due.into_iter().filter_map(|ip| Some((ip, self.waiting.remove(&ip)?.0))).collect()
    }
}

impl Server {
    /// Asks who has an address before a client gets it. Whether it was asked, or is being asked already.
    pub(super) fn ask(&mut self, now: Time, ip: Ipv4Addr, request: &Request) -> bool {
        let is_fixed = self.choice(now).host(request).is_some_and(|host| host.ip == ip);
        if is_fixed || !request.giaddr.is_unspecified() {
            return false;
        }
        if let Some((waiting, _)) = self.probes.waiting.get_mut(&ip) {
            // The same client once more: it waits for an answer to its last words.
            if waiting.client == request.client {
                *waiting = request.clone();
            }
            return true;
        }
        if self.probes.waiting.len() < MOST {
            self.probes.waiting.insert(ip, (request.clone(), now + PROBE));
            self.outputs.push_back(Output::Probe(ip));
        }
        true
    }

    /// Nobody answered for these.
    pub(super) fn silent(&mut self, now: Time) {
        for (ip, request) in self.probes.silent(now) {
            // Another director may have given it meanwhile.
            if self.choice(now).may_have(&request, ip) {
                if request.kind == Kind::Discover {
                    self.propose(now, ip, &request);
                } else {
                    self.commit(now, ip, request);
                }
            }
        }
    }

    /// Somebody uses an address that was asked for.
    pub(super) fn used(&mut self, now: Time, ip: Ipv4Addr, mac: Mac) {
        let Some((request, _)) = self.probes.waiting.get(&ip) else { return };
        if request.mac == mac {
            // The client itself, which has it from before.
            return;
        }
        let Some((request, _)) = self.probes.waiting.remove(&ip) else { return };
        self.offers.remove(&ip);
        let lease = Lease {
            ip,
            version: self.next_version(now, ip),
            origin: self.settings.origin,
            state: LeaseState::Bound,
            until: now.as_nanos() / 1_000_000_000 + FOUND_S,
            client: Client::of_mac(mac),
            mac,
            name: String::new(),
        };
        self.store(lease.clone());
        self.tell_others(lease);
        if request.kind == Kind::Discover {
            self.discover(now, &request);
        } else {
            self.refuse(&request);
        }
    }
}
