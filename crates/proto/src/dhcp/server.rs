//! The server: requests, leases that are stored and shared, answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::MessageType;
use relevo_model::Time;

use super::choice::{Choice, Offers};
use super::events::{Input, Output};
use super::lease::{Lease, LeaseState};
use super::message::{Kind, Request};
use super::probe::Probes;
use super::settings::{Settings, origin_of};
use super::share::Share;
use super::table::{Merged, Table};
use super::wire::{self, Word};

/// How long an offer holds, seconds.
pub(super) const OFFER_S: u64 = 60;
/// How long an address that somebody else uses is left alone, seconds.
const DECLINED_S: u64 = 600;
/// How long an answer waits for the other directors. The client asks again after some seconds.
const WAIT: Duration = Duration::from_secs(1);
/// Time between two tries to reach them.
const TRY: Duration = Duration::from_millis(100);
/// Most answers that wait, and most offers.
const MOST: usize = 4096;
/// Most acknowledgements that wait for the disk; who asked for more asks again.
const MOST_OWED: usize = 65_536;
/// Most datagrams with leases in answer to one hello.
const MOST_DATAGRAMS: usize = 16;

/// An answer that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    lease: Lease,
    request: Request,
    number: u64,
    stored: bool,
    missing: BTreeSet<u32>,
    begun: Time,
    again: Time,
}

/// DHCP on one network, on one director.
#[derive(Clone, Debug)]
pub struct Server {
    pub(super) settings: Settings,
    network: u32,
    table: Table,
    pub(super) offers: Offers,
    pub(super) probes: Probes,
    pub(super) waiting: BTreeMap<Ipv4Addr, Waiting>,
    /// Acknowledgements that wait for the disk: number, who asked, address, version.
    owed: VecDeque<(u64, u32, Ipv4Addr, u64)>,
    share: Share,
    active: bool,
    number: u64,
    cursor: usize,
    pub(super) outputs: VecDeque<Output>,
}

impl Server {
    /// With the leases that are on disk.
    pub fn new(settings: Settings, table: Table, now: Time) -> Self {
        let share = Share::new(now, settings.others.iter().copied());
        let network = origin_of(&settings.dhcp.network);
        Self {
            settings,
            network,
            table,
            offers: Offers::new(),
            probes: Probes::default(),
            waiting: BTreeMap::new(),
            owed: VecDeque::new(),
            share,
            active: false,
            number: 0,
            cursor: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Follows a cluster file that was changed.
    pub fn follow(&mut self, now: Time, settings: Settings) {
        self.share.keep(now, settings.others.iter().copied());
        self.settings = settings;
    }

    /// Takes leases that are on disk, and may be newer.
    pub fn restore<'a>(&mut self, leases: impl Iterator<Item = &'a Lease>) {
        for lease in leases {
            self.table.insert(lease.clone());
        }
    }

    /// All leases.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether clients are answered: the group is active here, and the other directors' leases are known.
    pub fn is_answering(&self, now: Time) -> bool {
        self.active && self.share.is_settled(now)
    }

    /// How many addresses there are for whoever asks.
    pub fn room(&self) -> usize {
        let Some((first, last)) = self.settings.dhcp.range else { return 0 };
        let taken = self.settings.reserved.range(first..=last).count();
        (last.to_bits() - first.to_bits() + 1) as usize - taken
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Take if !self.active => {
                self.active = true;
                self.share.compare(now);
            }
            Input::Take => {}
            Input::Leave => {
                self.active = false;
                self.waiting.clear();
                self.offers.clear();
                self.probes.clear();
            }
            Input::Packet(bytes) => {
                if let Ok(request) = Request::parse(bytes)
                    && self.is_answering(now)
                {
                    self.request(now, request);
                }
            }
            Input::Stored(number) => self.stored(number),
            Input::Used { ip, mac } => self.used(now, ip, mac),
            Input::Peer(bytes) => {
                if let Some((from, word)) = wire::decode(self.network, bytes)
                    && self.share.knows(from)
                {
                    self.peer(now, from, word);
                }
            }
        }
    }

    /// When to call [`Server::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        let hello = (!self.share.is_alone()).then_some(self.share.next_hello);
        self.waiting.values().map(|waiting| waiting.again).chain(hello).chain(self.probes.due()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.silent(now);
        self.waiting.retain(|_, waiting| now.since(waiting.begun) < WAIT);
        let due: Vec<Ipv4Addr> =
            self.waiting.iter().filter(|(_, waiting)| waiting.again <= now).map(|(ip, _)| *ip).collect();
        let live: BTreeSet<u32> = self.share.live(now).collect();
        for ip in due {
            let Some(waiting) = self.waiting.get_mut(&ip) else { continue };
            waiting.again = now + TRY;
            waiting.missing.retain(|origin| live.contains(origin));
            for origin in &waiting.missing {
                self.share.owes(now, *origin);
            }
            if !waiting.missing.is_empty() {
                let word = Word::Leases { ask: true, leases: vec![waiting.lease.clone()] };
                self.outputs.push_back(Output::Publish(wire::encode(
                    self.network,
                    self.settings.origin,
                    &word,
                )));
            }
            self.answer_if_ready(ip);
        }
        if !self.share.is_alone() && self.share.next_hello <= now {
            self.hello(now);
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn choice(&self, now: Time) -> Choice<'_> {
        Choice { settings: &self.settings, table: &self.table, offers: &self.offers, now_s: seconds(now) }
    }

    fn request(&mut self, now: Time, request: Request) {
        let through = request.giaddr;
        if !through.is_unspecified() && !self.settings.subnet.contains(&through) {
            return;
        }
        match request.kind {
            Kind::Discover => self.discover(now, &request),
            Kind::Request => self.requested(now, request),
            Kind::Decline | Kind::Release => self.give_back(now, &request),
            Kind::Inform => {
                let bytes = request.inform(&self.settings, self.choice(now).host(&request));
                self.outputs.push_back(Output::Send { to: request.way_back(true), bytes });
            }
        }
    }

    pub(super) fn discover(&mut self, now: Time, request: &Request) {
        let free = self.choice(now).offer(request);
        let Some(ip) = free.or_else(|| self.unclaimed(now, request)) else { return };
        self.reserve(now, ip, request);
        if !self.ask(now, ip, request) {
            self.propose(now, ip, request);
        }
    }

    /// Sends an offer.
    pub(super) fn propose(&mut self, now: Time, ip: Ipv4Addr, request: &Request) {
        let bytes = request.grant(&self.settings, MessageType::Offer, ip, self.choice(now).host(request));
        self.reserve(now, ip, request);
        self.outputs.push_back(Output::Send { to: request.way_back(false), bytes });
    }

    /// Nobody else is offered an address for a while.
    fn reserve(&mut self, now: Time, ip: Ipv4Addr, request: &Request) {
        let now_s = seconds(now);
        if self.offers.len() >= MOST {
            self.offers.retain(|_, (_, until)| *until > now_s);
        }
        if self.offers.len() < MOST {
            self.offers.insert(ip, (request.client.clone(), now_s + OFFER_S));
        }
    }

    /// RFC 2131 section 4.3.2: the client chose an offer, checks the address that it had, or goes on with the one it has.
    fn requested(&mut self, now: Time, request: Request) {
        let chosen = request.server.is_some();
        if request.server.is_some_and(|server| server != self.settings.dhcp.server) {
            self.offers.retain(|_, (client, _)| *client != request.client);
            return;
        }
        let ip = match request.requested {
            Some(ip) if request.ciaddr.is_unspecified() => ip,
            Some(_) | None => request.ciaddr,
        };
        let choice = self.choice(now);
        let inside = self.settings.subnet.contains(&ip);
        // A client with a fixed lease goes to that one.
        let right =
            choice.host(&request).is_none_or(|host| host.ip == ip || !choice.may_have(&request, host.ip));
        if inside && right && choice.may_have(&request, ip) {
            let now_s = seconds(now);
            let offered = self
                .offers
                .get(&ip)
                .is_some_and(|(client, until)| *client == request.client && *until > now_s)
                && !self.probes.is_open(ip);
            // Who was offered it here, or uses it, needs no question; and a repeated request has had its own.
            let known = offered || !request.ciaddr.is_unspecified() || self.waiting.contains_key(&ip);
            if known || !self.ask(now, ip, &request) {
                self.commit(now, ip, request);
            }
        } else if chosen || !ip.is_unspecified() {
            self.refuse(&request);
        }
    }

    /// Tells a client to begin anew.
    pub(super) fn refuse(&mut self, request: &Request) {
        let bytes = request.refuse(&self.settings);
        let to = if request.giaddr.is_unspecified() {
            (Ipv4Addr::BROADCAST, super::CLIENT_PORT)
        } else {
            request.way_back(false)
        };
        self.outputs.push_back(Output::Send { to, bytes });
    }

    pub(super) fn commit(&mut self, now: Time, ip: Ipv4Addr, request: Request) {
        if self.waiting.get(&ip).is_some_and(|waiting| waiting.request.xid == request.xid)
            || self.waiting.len() >= MOST
        {
            return;
        }
        let fixed = self.choice(now).host(&request).map(|host| host.name.to_string());
        let lease = Lease {
            ip,
            version: self.next_version(now, ip),
            origin: self.settings.origin,
            state: LeaseState::Bound,
            until: seconds(now) + self.settings.dhcp.lease.as_secs(),
            client: request.client.clone(),
            mac: request.mac,
            name: fixed.as_deref().and_then(super::lease::host_name).unwrap_or_else(|| request.name.clone()),
        };
        let number = self.store(lease.clone());
        let missing = self.share.live(now).collect();
        let word = Word::Leases { ask: true, leases: vec![lease.clone()] };
        if !self.share.is_alone() {
            self.outputs.push_back(Output::Publish(wire::encode(self.network, self.settings.origin, &word)));
        }
        let waiting =
            Waiting { lease, request, number, stored: false, missing, begun: now, again: now + TRY };
        self.waiting.insert(ip, waiting);
    }

    fn give_back(&mut self, now: Time, request: &Request) {
        let declined = request.kind == Kind::Decline;
        if request.server.is_some_and(|server| server != self.settings.dhcp.server) {
            return;
        }
        let ip = if declined { request.requested.unwrap_or(request.ciaddr) } else { request.ciaddr };
        // Only its own: of an address that was offered but never leased there is nothing to give back.
        let Some(lease) = self.table.get(ip).filter(|lease| lease.client == request.client) else { return };
        let (state, until) = match declined {
            true => (LeaseState::Declined, seconds(now) + DECLINED_S),
            false => (LeaseState::Free, seconds(now)),
        };
        let version = self.next_version(now, ip);
        let lease = Lease { version, origin: self.settings.origin, state, until, ..lease.clone() };
        self.waiting.remove(&ip);
        self.offers.remove(&ip);
        self.store(lease.clone());
        self.tell_others(lease);
    }

    /// Tells the other directors of a lease, and waits for nobody.
    pub(super) fn tell_others(&mut self, lease: Lease) {
        if !self.share.is_alone() {
            let word = Word::Leases { ask: false, leases: vec![lease] };
            self.outputs.push_back(Output::Publish(wire::encode(self.network, self.settings.origin, &word)));
        }
    }

    /// Later changes are newer, also than those of a director that died with changes that nobody else has heard of.
    pub(super) fn next_version(&self, now: Time, ip: Ipv4Addr) -> u64 {
        self.table.get(ip).map_or(0, |lease| lease.version.saturating_add(1)).max(now.as_millis())
    }

    pub(super) fn store(&mut self, lease: Lease) -> u64 {
        self.number += 1;
        if self.table.insert(lease.clone()) {
            self.outputs.push_back(Output::Store { number: self.number, lease });
        }
        self.number
    }

    fn stored(&mut self, number: u64) {
        let ready: Vec<Ipv4Addr> = self
            .waiting
            .iter()
            .filter(|(_, one)| !one.stored && one.number <= number)
            .map(|(ip, _)| *ip)
            .collect();
        for ip in ready {
            if let Some(waiting) = self.waiting.get_mut(&ip) {
                waiting.stored = true;
            }
            self.answer_if_ready(ip);
        }
        let mut acks: BTreeMap<u32, Vec<(Ipv4Addr, u64, bool)>> = BTreeMap::new();
        while self.owed.front().is_some_and(|(owed, ..)| *owed <= number)
            && let Some((_, to, ip, version)) = self.owed.pop_front()
        {
            acks.entry(to).or_default().push((ip, version, true));
        }
        for (to, acks) in acks {
            self.acknowledge(to, acks);
        }
    }

    fn acknowledge(&mut self, to: u32, acks: Vec<(Ipv4Addr, u64, bool)>) {
        for acks in acks.chunks(80) {
            let word = Word::Acks { to, acks: acks.to_vec() };
            self.outputs.push_back(Output::Publish(wire::encode(self.network, self.settings.origin, &word)));
        }
    }

    fn answer_if_ready(&mut self, ip: Ipv4Addr) {
        let Some(waiting) = self.waiting.get(&ip) else { return };
        if !waiting.stored || !waiting.missing.is_empty() {
            return;
        }
        let Some(waiting) = self.waiting.remove(&ip) else { return };
        // Somebody else's newer lease came between: the client asks again.
        if self.table.get(ip).is_none_or(|lease| lease.age() != waiting.lease.age()) {
            return;
        }
        self.offers.remove(&ip);
        let host = self.settings.dhcp.host(waiting.request.mac);
        let bytes = waiting.request.grant(&self.settings, MessageType::Ack, ip, host);
        self.outputs.push_back(Output::Send { to: waiting.request.way_back(true), bytes });
    }

    fn hello(&mut self, now: Time) {
        let word = Word::Hello {
            nonce: self.share.nonce,
            heard: self.share.nonces(),
            digests: self.table.digests().collect(),
        };
        self.outputs.push_back(Output::Publish(wire::encode(self.network, self.settings.origin, &word)));
        let hurry = self.active && !self.share.is_settled(now);
        self.share.rearm(now, hurry);
    }

    fn peer(&mut self, now: Time, from: u32, word: Word) {
        self.share.heard(now, from);
        match word {
            Word::Hello { nonce, heard, digests } => {
                let differ: Vec<usize> = self
                    .table
                    .digests()
                    .zip(&digests)
                    .enumerate()
                    .filter(|(_, (a, b))| a != *b)
                    .map(|(at, _)| at)
                    .collect();
                let of_us =
                    heard.iter().find(|(origin, _)| *origin == self.settings.origin).map(|(_, nonce)| *nonce);
                let waits = self.share.hello(from, nonce, of_us, differ.is_empty());
                self.tell(&differ);
                if waits {
                    self.share.next_hello = now;
                }
            }
            Word::Leases { ask, leases } => self.learn(from, ask, leases),
            Word::Acks { to, acks } if to == self.settings.origin => {
                self.share.paid(from);
                for (ip, version, holds) in acks {
                    let Some(waiting) = self.waiting.get_mut(&ip) else { continue };
                    if waiting.lease.version != version {
                        continue;
                    }
                    if holds {
                        waiting.missing.remove(&from);
                        self.answer_if_ready(ip);
                    } else {
                        self.waiting.remove(&ip);
                    }
                }
            }
            Word::Acks { .. } => {}
        }
    }

    /// Tells the leases of parts that differ, beginning somewhere else each time.
    fn tell(&mut self, parts: &[usize]) {
        if parts.is_empty() {
            return;
        }
        self.cursor = self.cursor.wrapping_add(1) % parts.len();
        let order = parts.iter().cycle().skip(self.cursor).take(parts.len());
        let leases = order.flat_map(|part| self.table.part(*part));
        let list = wire::packed(self.network, self.settings.origin, false, leases, MOST_DATAGRAMS);
        self.outputs.extend(list.into_iter().map(Output::Publish));
    }

    fn learn(&mut self, from: u32, ask: bool, leases: Vec<Lease>) {
        let mut acks = Vec::new();
        let mut newer = Vec::new();
        for lease in leases.into_iter().filter(|lease| self.settings.subnet.contains(&lease.ip)) {
            let (ip, version) = (lease.ip, lease.version);
            match self.table.merge(lease.clone()) {
                Merged::Newer => {
                    self.number += 1;
                    self.outputs.push_back(Output::Store { number: self.number, lease });
                    self.waiting.remove(&ip);
                    if ask && self.owed.len() < MOST_OWED {
                        self.owed.push_back((self.number, from, ip, version));
                    }
                }
                // It may still be on its way to the disk.
                Merged::Same if ask => match self.owed.iter().any(|owed| owed.1 == from && owed.2 == ip) {
                    true => {}
                    false => acks.push((ip, version, true)),
                },
                Merged::Older => {
                    newer.extend(self.table.get(ip).cloned());
                    acks.push((ip, version, false));
                }
                Merged::Same | Merged::Full => {}
            }
        }
        if ask && !acks.is_empty() {
            self.acknowledge(from, acks);
        }
        let list = wire::packed(self.network, self.settings.origin, false, newer.iter(), MOST_DATAGRAMS);
        self.outputs.extend(list.into_iter().map(Output::Publish));
    }
}

fn seconds(now: Time) -> u64 {
    now.as_nanos() / 1_000_000_000
}
