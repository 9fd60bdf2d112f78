//! What the cluster file says about names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use ipnet::IpNet;
use relevo_model::ClusterFile;
use relevo_model::cluster::{Dns, DnsTarget, Mode, Network, NodeAddress};

/// Most names that stand for one another in a row.
const MOST_ALIASES: usize = 8;

/// The names of DHCP clients.
pub trait Leases {
    /// The address of a name.
    fn address(&self, name: &str) -> Option<Ipv4Addr>;
    /// The name of an address.
    fn name(&self, ip: Ipv4Addr) -> Option<String>;
}

/// Nobody has a lease.
impl Leases for () {
    fn address(&self, _: &str) -> Option<Ipv4Addr> {
        None
    }

    fn name(&self, _: Ipv4Addr) -> Option<String> {
        None
    }
}

/// What is known about one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    ips: Vec<IpAddr>,
    /// Port, target.
    services: Vec<(u16, String)>,
    alias: Option<String>,
}

/// All names of a cluster. Names are in lower case, without a dot at their end.
#[derive(Clone, Debug)]
pub struct Zone {
    domain: String,
    ttl: u32,
    names: BTreeMap<String, Entry>,
    /// Names that have something below them.
    above: BTreeSet<String>,
    reverse: BTreeMap<IpAddr, String>,
    nets: Vec<IpNet>,
    /// The name of this server.
    server: String,
}

/// What the zone says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// These records; none: there is no such record, or (`exists` is false) no such name.
    Records { answers: Vec<Record>, exists: bool },
    /// The name stands for one that others know.
    Elsewhere { answers: Vec<Record>, target: Name },
    /// Others know.
    NotOurs,
}

impl Zone {
    /// What this file says; `None`: it has no `[dns]`.
    pub fn new(cluster: &ClusterFile) -> Option<Self> {
        let dns = cluster.dns.as_ref()?;
        let mut zone = Self {
            domain: dns.domain.clone(),
            ttl: u32::try_from(dns.ttl.as_secs()).unwrap_or(u32::MAX),
            names: BTreeMap::new(),
            above: BTreeSet::new(),
            reverse: BTreeMap::new(),
            nets: cluster.networks.iter().flat_map(nets_of).collect(),
            server: dns.domain.clone(),
        };
        zone.records(dns);
        zone.machines(cluster);
        zone.services(cluster);
        if let Some(listen) = dns.listen.first() {
            zone.server = zone.below(&listen.address);
        }
        let names: Vec<String> = zone.names.keys().cloned().collect();
        for name in names {
            let mut rest = name.as_str();
            while let Some((_, above)) = rest.split_once('.') {
                zone.above.insert(above.to_owned());
                rest = above;
            }
        }
        Some(zone)
    }

    fn below(&self, name: &str) -> String {
        format!("{}.{}", name.to_ascii_lowercase(), self.domain)
    }

    fn records(&mut self, dns: &Dns) {
        for record in &dns.records {
            let name = if record.name == "@" { self.domain.clone() } else { self.below(&record.name) };
            let entry = self.names.entry(name).or_default();
            match &record.target {
                DnsTarget::Addresses(ips) => entry.ips.clone_from(ips),
                DnsTarget::Alias(target) => entry.alias = Some(target.clone()),
            }
        }
    }

    /// A name that is there already stays as it is.
    fn put(&mut self, name: String, ips: Vec<IpAddr>) {
        for ip in &ips {
            self.reverse.entry(*ip).or_insert_with(|| name.clone());
        }
        if self.names.get(&name).is_none_or(|entry| *entry == Entry::default()) {
            self.names.entry(name).or_default().ips = ips;
        }
    }

    fn machines(&mut self, cluster: &ClusterFile) {
        for node in &cluster.nodes {
            let ips: Vec<IpAddr> = node.addresses.iter().flat_map(NodeAddress::all).collect();
            self.put(self.below(&node.name), ips);
            for network in &cluster.networks {
                let there = node.addresses.iter().filter(|address| address.network == network.name);
                let ips: Vec<IpAddr> = there.flat_map(NodeAddress::all).collect();
                if !ips.is_empty() {
                    self.put(self.below(&format!("{}.{}", node.name, network.name)), ips);
                }
            }
        }
        for address in &cluster.addresses {
            self.put(self.below(&address.name), vec![address.ip]);
        }
        for host in cluster.dhcp.iter().flat_map(|dhcp| &dhcp.hosts) {
            self.put(self.below(&host.name), vec![host.ip.into()]);
        }
    }

    fn services(&mut self, cluster: &ClusterFile) {
        for service in &cluster.services {
            let own = self.below(&service.name);
            let ips: Vec<IpAddr> = service.listen.iter().map(|listen| listen.at.ip()).collect();
            let ips: Vec<IpAddr> =
                ips.into_iter().filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).collect();
            if !ips.is_empty() && self.names.get(&own).is_none_or(|entry| entry.ips.is_empty()) {
                self.names.entry(own.clone()).or_default().ips = ips;
            }
            for listen in &service.listen {
                let kind = match (service.mode, listen.tls) {
                    (Mode::Http, true) => "https",
                    (Mode::Http, false) => "http",
                    (Mode::Tcp | Mode::Udp, _) => &service.name,
                };
                let way = if service.mode == Mode::Udp { "udp" } else { "tcp" };
                let target =
                    listen.address.as_ref().map_or_else(|| own.clone(), |address| self.below(address));
                let name = format!("_{kind}._{way}.{own}").to_ascii_lowercase();
                self.names.entry(name).or_default().services.push((listen.at.port(), target));
            }
        }
        for pool in &cluster.pools {
            let name = format!("_servers._tcp.{}", self.below(&pool.name));
            for server in &pool.servers {
                let ip = server.at.ip();
                let Some(target) = self.reverse.get(&ip).cloned() else { continue };
                self.names.entry(name.clone()).or_default().services.push((server.at.port(), target));
            }
        }
    }

    /// What there is to say to a question of somebody at `source`.
    pub(super) fn say(&self, name: &Name, kind: RecordType, source: IpAddr, leases: &dyn Leases) -> Said {
        let asked = plain(name);
        if let Some(ip) = address_of(&asked) {
            return self.say_reverse(name, ip, kind, leases);
        }
        let mut current = if asked.is_empty() || asked.contains('.') { asked } else { self.below(&asked) };
        if !self.is_ours(&current) {
            return Said::NotOurs;
        }
        let (mut owner, mut answers) = (name.clone(), Vec::new());
        for _ in 0..MOST_ALIASES {
            let leased;
            let entry = match self.entry(&current) {
                Some(entry) => entry,
                None => match self.leased(&current, leases) {
                    Some(entry) => {
                        leased = entry;
                        &leased
                    }
                    None => {
                        let exists = self.above.contains(&current) || current == self.domain;
                        if current == self.domain {
                            answers.extend(self.apex(&owner, kind));
                        }
                        return Said::Records { exists: exists || !answers.is_empty(), answers };
                    }
                },
            };
            let Some(target) = &entry.alias else {
                if current == self.domain {
                    answers.extend(self.apex(&owner, kind));
                }
                answers.extend(self.records_of(&owner, entry, kind, source));
                return Said::Records { answers, exists: true };
            };
            let Some(target_name) = full(target) else { return Said::Records { answers, exists: true } };
            answers.push(Record::from_rdata(owner, self.ttl, RData::CNAME(CNAME(target_name.clone()))));
            if kind == RecordType::CNAME {
                return Said::Records { answers, exists: true };
            }
            if !self.is_ours(target) {
                return Said::Elsewhere { answers, target: target_name };
            }
            (owner, current) = (target_name, target.clone());
        }
        Said::Records { answers, exists: true }
    }

    fn is_ours(&self, name: &str) -> bool {
        name == self.domain || name.strip_suffix(&self.domain).is_some_and(|rest| rest.ends_with('.'))
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        if let Some(entry) = self.names.get(name) {
            return Some(entry);
        }
        if self.above.contains(name) {
            return None;
        }
        // RFC 4592: the closest name above that is there decides.
        let mut rest = name;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(entry) = self.names.get(&format!("*.{above}")) {
                return Some(entry);
            }
            if above == self.domain || self.names.contains_key(above) {
                return None;
            }
            rest = above;
        }
        None
    }

    fn leased(&self, name: &str, leases: &dyn Leases) -> Option<Entry> {
        let label = name.strip_suffix(&self.domain)?.strip_suffix('.')?;
        if label.contains('.') {
            return None;
        }
        let ip = leases.address(label)?;
        Some(Entry { ips: vec![ip.into()], ..Entry::default() })
    }

    fn records_of(&self, owner: &Name, entry: &Entry, kind: RecordType, source: IpAddr) -> Vec<Record> {
        let any = kind == RecordType::ANY;
        // A machine with several addresses is reached at the one on the asker's own network.
        let near = self.nets.iter().find(|net| net.contains(&source));
        let is_near = |ip: &IpAddr| near.is_some_and(|net| net.contains(ip));
        let mut list = Vec::new();
        for ip in &entry.ips {
            let alike = || entry.ips.iter().filter(|other| other.is_ipv4() == ip.is_ipv4());
            if !is_near(ip) && alike().any(is_near) {
                continue;
            }
            match ip {
                IpAddr::V4(ip) if any || kind == RecordType::A => {
                    list.push(self.record(owner, RData::A(A(*ip))))
                }
                IpAddr::V6(ip) if any || kind == RecordType::AAAA => {
                    list.push(self.record(owner, RData::AAAA(AAAA(*ip))))
                }
                IpAddr::V4(_) | IpAddr::V6(_) => {}
            }
        }
        if any || kind == RecordType::SRV {
            for (port, target) in &entry.services {
                let Some(target) = full(target) else { continue };
                list.push(self.record(owner, RData::SRV(SRV::new(0, 0, *port, target))));
            }
        }
        list
    }

    /// Records of the addresses that these records name, for who asked for a service.
    pub(super) fn further(&self, answers: &[Record], source: IpAddr) -> Vec<Record> {
        let mut list: Vec<Record> = Vec::new();
        for record in answers {
            let RData::SRV(service) = &record.data else { continue };
            if list.iter().any(|record| record.name == service.target) {
                continue;
            }
            let Some(entry) = self.names.get(&plain(&service.target)) else { continue };
            for kind in [RecordType::A, RecordType::AAAA] {
                list.extend(self.records_of(&service.target, entry, kind, source));
            }
        }
        list
    }

    fn say_reverse(&self, name: &Name, ip: IpAddr, kind: RecordType, leases: &dyn Leases) -> Said {
        if !self.nets.iter().any(|net| net.contains(&ip)) {
            return Said::NotOurs;
        }
        let leased = || match ip {
            IpAddr::V4(ip) => leases.name(ip).map(|name| self.below(&name)),
            IpAddr::V6(_) => None,
        };
        let found = self.reverse.get(&ip).cloned().or_else(leased).and_then(|target| full(&target));
        let wanted = [RecordType::PTR, RecordType::ANY].contains(&kind);
        let answers = match &found {
            Some(target) if wanted => vec![self.record(name, RData::PTR(PTR(target.clone())))],
            Some(_) | None => Vec::new(),
        };
        Said::Records { answers, exists: found.is_some() }
    }

    fn apex(&self, owner: &Name, kind: RecordType) -> Vec<Record> {
        let any = kind == RecordType::ANY;
        let mut list = Vec::new();
        if any || kind == RecordType::SOA {
            list.extend(self.authority());
        }
        if let Some(server) = full(&self.server).filter(|_| any || kind == RecordType::NS) {
            list.push(self.record(owner, RData::NS(NS(server))));
        }
        list
    }

    /// The record that says who answers for the domain, and how long a `no` may be remembered (RFC 2308).
    pub(super) fn authority(&self) -> Option<Record> {
        let (domain, server) = (full(&self.domain)?, full(&self.server)?);
        let mail = full(&self.below("hostmaster"))?;
        let soa = SOA::new(server, mail, 1, 3600, 600, 86_400, self.ttl);
        Some(self.record(&domain, RData::SOA(soa)))
    }

    fn record(&self, owner: &Name, data: RData) -> Record {
        Record::from_rdata(owner.clone(), self.ttl, data)
    }
}

/// The subnets of a network.
fn nets_of(network: &Network) -> impl Iterator<Item = IpNet> + use<> {
    std::iter::once(network.subnet.into()).chain(network.subnet6.map(IpNet::from))
}

/// A name in lower case without a dot at its end.
pub(super) fn plain(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

fn full(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{name}.")).ok()
}

/// The address that a reverse name stands for, if it is a whole one.
fn address_of(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes = [0; 4];
        let mut parts = digits.split('.');
        for byte in bytes.iter_mut().rev() {
            *byte = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| Ipv4Addr::from(bytes).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut value = 0_u128;
    let mut count = 0;
    for digit in digits.rsplit('.') {
        let nibble = u128::from(u8::from_str_radix(digit, 16).ok().filter(|_| digit.len() == 1)?);
        value = value.checked_mul(16)?.checked_add(nibble)?;
        count += 1;
    }
    (count == 32).then(|| std::net::Ipv6Addr::from_bits(value).into())
}
