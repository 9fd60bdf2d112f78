//! The rules that lead flows to servers and their answers back, as tables of nftables, one for each family.
//!
//! ```text
//!   prerouting ─ to a front ──► in ─ SYN ───► new ──► first server of the slot ──► go
//!       │                       ├─ a pin, or begun ─────────────────────────────► go
//!       │                       └─ neither ─► guess ► the servers of the slot that have not reset it, a copy for each ► go
//!       └─ from a server ─────► reply ─ RST ─► rst: of its owner, or when all have reset it: on; else dropped and noted
//!                               └─ of the owner for certain: pin; the answer to a SYN: begun
//!   postrouting ─ from a server ► back: under the front's address
//! ```
//! Nothing depends on connection tracking; both directions go without it. Where the kernel makes no copies, servers are
//! asked one after the other, one more for each time that the client sends its packet again.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::finding::{ASKED, ASKED_FOR, TRIED, TRIED_FOR};
use super::listing::Names;
use super::script::{Chain, Script, Set, SlotMaps, TableFamily, slot_maps};
use super::{Existing, Key, SEED, Slots, Synproxy, datagrams, direct, errors, source, synproxy};

/// The name of the tables; their families are `ip` and `ip6`: only there the kernel makes copies of packets.
pub const TABLE: &str = "relevo_flows";

/// Most pins of a service. When there are more, new flows go by their slots alone.
pub(super) const PINS: u32 = 262_144;
/// Most flows of a service of which only the beginning was seen, and how long they are remembered, seconds. Of a flood of
/// those nothing else comes, and it shall not fill the pins. When there are more, they are guessed.
const BEGUN: u32 = 65_536;
const BEGUN_FOR: u64 = 30;
/// Most clients of a service that were told that their connection was cut, and how long that is remembered, seconds.
const TOLD: u32 = 65_536;
const TOLD_FOR: u32 = 60;
/// How long a flow of the userspace engine is remembered after its last packet, seconds.
pub(super) const LOCAL: u32 = 3600;
/// Before connection tracking (-200) and what users do before that (-300).
pub(super) const BEFORE: &str = "type filter hook prerouting priority -310; policy accept;";
/// After all address translation (100).
const AFTER: &str = "type filter hook postrouting priority 110; policy accept;";

/// How packets get to servers and answers to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Both are translated; servers answer through the director.
    #[default]
    Nat,
    /// The same, and servers see this address of the director's instead of the client's.
    Source(IpAddr),
    /// Packets stay as they are. Servers have the front's address too, and answer clients by themselves.
    Direct,
}

/// A service whose flows the kernel carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// The service's name, letters, digits and `-_.`.
    pub name: String,
    /// Whether it is of datagrams; else of TCP.
    pub udp: bool,
    /// Where clients ask.
    pub at: SocketAddr,
    /// The pool whose slots it has.
    pub pool: String,
    /// What of a client chooses its slot.
    pub key: Key,
    /// The networks that servers are on. Clients there are served by the userspace engine: answers to them would not come
    /// through the director.
    pub inside: Vec<IpNet>,
    /// How long a silent flow is remembered.
    pub idle: Duration,
    /// Whose answers are this service's: its servers, and those that it had until a while ago.
    pub servers: Vec<SocketAddr>,
    /// How packets get to servers.
    pub form: Form,
    /// Servers whose flows end: both sides get a reset when they send next. Not of forms but the usual one.
    pub cut: Vec<SocketAddr>,
    /// The director answers SYNs itself, and only who answers that gets to a server. Of TCP, and not direct.
    pub synproxy: Option<Synproxy>,
    /// It gets nothing new: what is pinned goes on, all else goes to the userspace engine.
    pub closing: bool,
}

/// Tables that carry the flows of services, of IPv4 and of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    tables: [Script; 2],
}

/// The words of an address family.
pub(super) struct Words {
    pub(super) ip: &'static str,
    pub(super) address: &'static str,
    pub(super) digit: char,
    pub(super) none: &'static str,
    /// Lengths in the IP header of segments without content: with all options, and with the usual ones.
    bare: [u8; 2],
}

impl Rules {
    /// The rules of these services. A service whose pool has no slots here is left out.
    pub fn new(fronts: &[Front], pools: &BTreeMap<String, Slots>) -> Self {
        Self { tables: FAMILIES.map(|family| table(family, fronts, pools, true)) }
    }

    /// The same for a kernel that makes no copies of packets.
    pub fn without_copies(fronts: &[Front], pools: &BTreeMap<String, Slots>) -> Self {
        Self { tables: FAMILIES.map(|family| table(family, fronts, pools, false)) }
    }

    /// A text that a kernel refuses that makes no copies of packets; it is for looking alone, not for leaving there.
    pub fn with_copies_alone() -> String {
        let table = |(family, to): (TableFamily, &str)| {
            let family = family.word();
            format!(
                "add table {family} {TABLE}_look\nadd chain {family} {TABLE}_look look {{ {BEFORE} }}\nadd rule {family} {TABLE}_look look dup to {to}\n"
            )
        };
        FAMILIES.into_iter().zip(["127.0.0.1", "::1"]).map(table).collect()
    }

    /// The text for `nft -f -` that makes these rules out of what is there. Pins stay.
    pub fn install(&self, existing: &Existing) -> String {
        let none = Names::default();
        let of = |script: &Script| script.install(existing.of(script.family.word()).unwrap_or(&none));
        self.tables.iter().map(of).collect()
    }

    /// The text that makes these rules out of former ones; empty: nothing has changed. Pins stay.
    pub fn follow(&self, former: &Self) -> String {
        self.tables.iter().zip(&former.tables).map(|(script, former)| script.follow(former)).collect()
    }
}

/// The families of the tables.
const FAMILIES: [TableFamily; 2] = [TableFamily::Ip, TableFamily::Ip6];

/// The table of a family.
fn table(family: TableFamily, fronts: &[Front], pools: &BTreeMap<String, Slots>, copies: bool) -> Script {
    let v4 = family == TableFamily::Ip;
    let own: Vec<&Front> = fronts.iter().filter(|front| front.at.is_ipv4() == v4).collect();
    let (direct, own): (Vec<&Front>, Vec<&Front>) =
        own.into_iter().partition(|front| front.form == Form::Direct);
    let mut script = Script { family, ..Script::default() };
    if !own.is_empty() {
        let mut before = vec!["iif \"lo\" accept".to_owned()];
        let mut after = Vec::new();
        common(&mut script, &Words::of(v4), &mut before, &mut after);
        script.chains.insert("prerouting".to_owned(), Chain { hook: BEFORE.to_owned(), rules: before });
        script.chains.insert("postrouting".to_owned(), Chain { hook: AFTER.to_owned(), rules: after });
        script.counters.insert("fragments".to_owned());
        source::add(&mut script, &own);
        synproxy::add(&mut script, &own);
        for front in &own {
            let Some(slots) = pools.get(&front.pool) else { continue };
            script.slots.insert(front.pool.clone(), SlotMaps { v4, slots: slots.clone() });
            datagrams::add(&mut script, front, slots);
            service(&mut script, front, slots.modulus(), copies && !front.is_tracked());
        }
        errors::add(&mut script, &own, pools);
    }
    script.merge(direct::script(family, &direct, pools));
    script
}

impl Front {
    /// The family of the table that it has a part in, in nft's words.
    pub const fn family(&self) -> &'static str {
        if self.at.is_ipv4() { TableFamily::Ip.word() } else { TableFamily::Ip6.word() }
    }

    /// Whether connection tracking has a part in it.
    pub(super) const fn is_tracked(&self) -> bool {
        self.has_source() || self.synproxy.is_some()
    }

    /// Whether servers see an address of the director's.
    pub(super) const fn has_source(&self) -> bool {
        matches!(self.form, Form::Source(_))
    }

    /// Servers whose connections are cut; connection tracking would hold resets for strangers.
    pub(super) fn cut(&self) -> &[SocketAddr] {
        if self.is_tracked() { &[] } else { &self.cut }
    }

    /// Whether servers are asked for flows that are not known here.
    const fn is_asked_for(&self) -> bool {
        !self.udp && self.synproxy.is_none()
    }

    const fn untracked(&self) -> &'static str {
        if self.is_tracked() { "" } else { "notrack " }
    }

    pub(super) const fn proto(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
    }

    /// What declares the map of its pins.
    pub(super) fn pins(&self) -> String {
        self.remembered(PINS, self.idle.as_secs().max(1))
    }

    /// What declares the map of its flows that have begun.
    pub(super) fn begun(&self) -> String {
        self.remembered(BEGUN, self.begun_for())
    }

    /// How long one is remembered, seconds.
    pub(super) fn begun_for(&self) -> u64 {
        self.idle.as_secs().clamp(1, BEGUN_FOR)
    }

    fn remembered(&self, most: u32, seconds: u64) -> String {
        let Words { ip, address, .. } = Words::of(self.at.is_ipv4());
        let pinned = match self.at.is_ipv4() {
            true => format!("type {address} . inet_service : {address};"),
            false => format!("typeof numgen inc mod 65536 . {} sport : {ip} daddr;", self.proto()),
        };
        format!("{pinned} flags dynamic,timeout; size {most}; timeout {seconds}s;")
    }
}

impl Words {
    pub(super) const fn of(v4: bool) -> Self {
        match v4 {
            true => Self { ip: "ip", address: "ipv4_addr", digit: '4', none: "0.0.0.0", bare: [80, 52] },
            false => Self { ip: "ip6", address: "ipv6_addr", digit: '6', none: "::", bare: [60, 32] },
        }
    }
}

/// What a family needs once.
fn common(script: &mut Script, words: &Words, before: &mut Vec<String>, after: &mut Vec<String>) {
    let Words { ip, address, digit, .. } = words;
    let place = format!("{address} . inet_proto . inet_service");
    for (name, kind, declaration) in [
        (format!("in{digit}"), "map", format!("type {place} : verdict; counter;")),
        (format!("out{digit}"), "map", format!("type {place} : verdict; counter;")),
        (format!("back{digit}"), "map", format!("type {place} : verdict;")),
        (format!("ends{digit}"), "set", format!("type {place};")),
    ] {
        script.sets.insert(name, Set { kind, declaration, elements: Some(BTreeMap::new()) });
    }
    // Only the first piece of a packet has ports: what is not put together before does not get through.
    before.push(match digit {
        '4' => "ip frag-off & 0x3fff != 0 goto fragments4".to_owned(),
        _ => "exthdr frag exists goto fragments6".to_owned(),
    });
    let fragments = [
        format!("{ip} daddr . meta l4proto . th dport @ends{digit} counter name fragments drop"),
        format!("{ip} saddr . meta l4proto . th sport @ends{digit} counter name fragments drop"),
    ];
    script.chains.insert(format!("fragments{digit}"), Chain { rules: fragments.into(), ..Chain::default() });
    before.push(format!("{ip} daddr . meta l4proto . th dport vmap @in{digit}"));
    before.push(format!("{ip} saddr . meta l4proto . th sport vmap @out{digit}"));
    after.push(format!("{ip} saddr . meta l4proto . th sport vmap @back{digit}"));
}

/// The chains, maps and counters of a service.
fn service(script: &mut Script, front: &Front, slots: u32, copies: bool) {
    let words = Words::of(front.at.is_ipv4());
    let Words { ip, address, digit, .. } = words;
    let Front { name, pool, .. } = front;
    let proto = front.proto();
    let flow = format!("{address} . inet_service");
    let idle = front.idle.as_secs().max(1);
    let mut declare = |name: String, kind: &'static str, declaration: String, elements| {
        script.sets.insert(name, Set { kind, declaration, elements });
    };
    declare(format!("pin_{name}"), "map", front.pins(), None);
    if !front.udp {
        declare(format!("begun_{name}"), "map", front.begun(), None);
    }
    if front.synproxy.is_some() {
        declare(format!("lost_{name}"), "set", front.lost(), None);
    }
    if front.is_asked_for() {
        declare(
            format!("tried_{name}"),
            "set",
            format!("type {flow} . {address}; flags dynamic,timeout; size {TRIED}; timeout {TRIED_FOR}s;"),
            None,
        );
        declare(
            format!("asked_{name}"),
            "set",
            format!(
                "typeof {ip} saddr . tcp sport . tcp ackseq; flags dynamic,timeout; size {ASKED}; timeout {ASKED_FOR}s;"
            ),
            None,
        );
    }
    if !front.udp && !front.cut().is_empty() {
        declare(
            format!("told_{name}"),
            "set",
            format!("type {flow}; flags dynamic,timeout; size {TOLD}; timeout {TOLD_FOR}s;"),
            None,
        );
    }
    let ports = front.servers.iter().map(|server| (server.ip().to_string(), server.port().to_string()));
    let declaration = format!("type {address} : inet_service; counter;");
    declare(format!("port_{name}"), "map", declaration, Some(ports.collect()));

    let place = |at: SocketAddr| format!("{} . {proto} . {}", at.ip(), at.port());
    let mut enter = |set: String, key: String, value: String| {
        if let Some(elements) = script.sets.get_mut(&set).and_then(|set| set.elements.as_mut()) {
            elements.insert(key, value);
        }
    };
    enter(format!("in{digit}"), place(front.at), format!("goto in_{name}"));
    enter(format!("ends{digit}"), place(front.at), String::new());
    for server in &front.servers {
        let out = if front.is_tracked() { "late" } else { "out" };
        enter(format!("{out}{digit}"), place(*server), format!("goto reply_{name}"));
        enter(format!("back{digit}"), place(*server), format!("goto back_{name}"));
        enter(format!("ends{digit}"), place(*server), String::new());
    }

    let chains = Chains { front, words, proto, idle, slots, copies, maps: slot_maps(pool) };
    let (all, counted): (_, &[&str]) = match front.synproxy {
        _ if front.udp => (chains.udp(), &["guesses"]),
        Some(synproxy) => (chains.proxied(synproxy), &synproxy::COUNTED),
        None => (chains.tcp(), &["guesses", "copies", "heals", "stale", "refused"]),
    };
    script.counters.extend(counted.iter().map(|what| format!("{what}_{name}")));
    for (kind, rules) in all {
        script.chains.insert(format!("{kind}_{name}"), Chain { rules, ..Chain::default() });
    }
}

/// What the chains of a service are written from.
pub(super) struct Chains<'a> {
    pub(super) front: &'a Front,
    pub(super) words: Words,
    pub(super) proto: &'static str,
    pub(super) idle: u64,
    pub(super) slots: u32,
    pub(super) copies: bool,
    pub(super) maps: [String; 3],
}

impl Chains<'_> {
    fn tcp(&self) -> Vec<(String, Vec<String>)> {
        let Self { front, words: Words { ip, .. }, .. } = self;
        let (name, at) = (&front.name, front.at.ip());
        let first = &self.maps[0];
        let hash = self.hash("saddr", "sport");
        let pin = self.pin("saddr", "sport");
        let local = format!("update @pin_{name} {{ {pin} timeout {LOCAL}s : {ip} daddr }} accept");
        let mut into = self.inside("saddr");
        into.push(format!("tcp flags & (syn | ack) == syn goto new_{name}"));
        into.extend(self.known());
        into.push(if front.closing { "accept".to_owned() } else { format!("goto guess_{name}") });
        let mut new = self.forgets();
        if !front.closing {
            new.push(format!("{ip} daddr set {hash} map @{first} goto go_{name}"));
        }
        new.extend([local.clone(), "accept".to_owned()]);
        let ends = |side: &str, how: &str| -> Vec<String> {
            self.front.cut().iter().map(|server| format!("{ip} {side} {} {how}", server.ip())).collect()
        };
        let mut go = ends("daddr", &format!("goto cut_{name}"));
        go.push(format!("tcp dport set {ip} daddr map @port_{name} {}accept", front.untracked()));
        // A server that is gone: when the client sends again, others are asked, and it is told that nobody has it.
        go.extend(self.forgets().into_iter().map(|forget| format!("{ip} daddr != {at} {forget}")));
        go.extend([
            format!("{ip} daddr != {at} counter name refused_{name} drop"),
            local,
            "accept".to_owned(),
        ]);
        let [begun, remember] = self.remembers();
        let [long, usual] = self.words.bare;
        let length = if front.at.is_ipv4() { "ip length" } else { "ip6 length" };
        let mut reply = self.inside("daddr");
        reply.extend([format!("tcp flags & rst == rst goto rst_{name}")]);
        // The client first: what the server says goes on to it, and its answer is what resets it.
        reply.extend(ends("saddr", &format!("{ip} daddr . tcp dport @told_{name} reject with tcp reset")));
        reply.extend([
            "notrack".to_owned(),
            format!("tcp flags & syn == syn {begun} accept"),
            // More than the headers. A bare acknowledgement alone is no proof: a server that has just ended another
            // connection of the same client address and port (TIME_WAIT) sends one for whatever it gets.
            format!("tcp doff <= 8 {length} > {usual} {remember} accept"),
            format!("{length} > {long} {remember} accept"),
            // One that goes on where the client is: no other server could know that number.
            format!("{ip} daddr . tcp dport . tcp sequence @asked_{name} {remember}"),
        ]);
        let mut all = vec![("in", into), ("new", new), ("go", go), ("reply", reply)];
        all.push(("back", self.back()));
        let mut all: Vec<_> = all.into_iter().map(|(kind, rules)| (kind.to_owned(), rules)).collect();
        if !self.front.cut().is_empty() {
            let mut rules = self.forgets();
            rules.extend([
                format!("update @told_{name} {{ {ip} saddr . tcp sport }}"),
                format!("tcp dport set {ip} daddr map @port_{name}"),
                // It leaves by the way of answers, under the front's address.
                "reject with tcp reset".to_owned(),
            ]);
            all.push(("cut".to_owned(), rules));
        }
        all.extend(self.guesses());
        all.extend(self.resets());
        all
    }

    fn udp(&self) -> Vec<(String, Vec<String>)> {
        let Self { front, words: Words { ip, .. }, .. } = self;
        let name = &front.name;
        let (flow, hash) = (self.pin("saddr", "sport"), self.hash("saddr", "sport"));
        let mut into = self.inside("saddr");
        into.push(datagrams::pinned(front, &flow));
        if !front.closing {
            let first = &self.maps[0];
            into.push(format!(
                "{ip} daddr set {hash} map @{first} counter name guesses_{name} goto go_{name}"
            ));
        }
        into.extend(datagrams::restored(front));
        into.push("accept".to_owned());
        let pin = |flow: &str, server: &str| {
            format!("update @pin_{name} {{ {flow} timeout {}s : {ip} {server} }}", self.idle)
        };
        let go = vec![
            pin(&flow, "daddr"),
            format!("udp dport set {ip} daddr map @port_{name} {}accept", front.untracked()),
            "drop".to_owned(),
        ];
        let mut reply = self.inside("daddr");
        reply.extend(["notrack".to_owned(), pin(&self.pin("daddr", "dport"), "saddr")]);
        let all = [("in", into), ("go", go), ("reply", reply), ("back", self.back())];
        all.into_iter().map(|(kind, rules)| (kind.to_owned(), rules)).collect()
    }

    /// Where a client's flow is known to be led.
    pub(super) fn known(&self) -> [String; 2] {
        let (ip, name, pin) = (self.words.ip, &self.front.name, self.pin("saddr", "sport"));
        ["pin", "begun"].map(|map| format!("{ip} daddr set {pin} map @{map}_{name} goto go_{name}"))
    }

    /// A client begins anew.
    pub(super) fn forgets(&self) -> Vec<String> {
        let (ip, name, pin) = (self.words.ip, &self.front.name, self.pin("saddr", "sport"));
        ["pin", "begun"].map(|map| format!("delete @{map}_{name} {{ {pin} : {ip} daddr }}")).into()
    }

    /// A server has answered a SYN, or more than that.
    pub(super) fn remembers(&self) -> [String; 2] {
        let (ip, name, pin) = (self.words.ip, &self.front.name, self.pin("daddr", "dport"));
        [("begun", self.front.begun_for()), ("pin", self.idle)]
            .map(|(map, seconds)| format!("update @{map}_{name} {{ {pin} timeout {seconds}s : {ip} saddr }}"))
    }

    /// Answers leave under the front's address.
    pub(super) fn back(&self) -> Vec<String> {
        let Self { front, words: Words { ip, .. }, proto, .. } = self;
        let mut rules = self.inside("daddr");
        rules.push(format!("{ip} saddr set {} {proto} sport set {}", front.at.ip(), front.at.port()));
        rules
    }

    /// Packets of machines beside the servers are not touched.
    pub(super) fn inside(&self, field: &str) -> Vec<String> {
        if self.front.has_source() {
            // They see an address of the director's, and answer it.
            return Vec::new();
        }
        let ip = self.words.ip;
        self.front.inside.iter().map(|net| format!("{ip} {field} {net} accept")).collect()
    }

    pub(super) fn flow(&self, address: &str, port: &str) -> String {
        format!("{} {address} . {} {port}", self.words.ip, self.proto)
    }

    /// What a pin is found by. nft 1.0.6 crashes on updates of maps whose keys have more than 16 bytes: of an IPv6
    /// address there is a hash, which two clients with the same port share by one chance in four thousand millions.
    pub(super) fn pin(&self, address: &str, port: &str) -> String {
        match self.front.at.is_ipv4() {
            true => self.flow(address, port),
            false => format!("jhash ip6 {address} mod 4294967295 seed {SEED:#x} . {} {port}", self.proto),
        }
    }

    /// The slot of the client.
    pub(super) fn hash(&self, address: &str, port: &str) -> String {
        let what = match self.front.key {
            Key::Connection => self.flow(address, port),
            Key::Source => format!("{} {address}", self.words.ip),
        };
        format!("jhash {what} mod {} seed {SEED:#x}", self.slots)
    }
}
