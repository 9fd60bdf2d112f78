//! The rules that lead flows to servers and their answers back, as a table of nftables.
//!
//! ```text
//!   prerouting ─ to a front ──► in ─ SYN ───► new ──► first server of the slot ──► go
//!       │                       ├─ a pin ───────────────────────────────────────► go
//!       │                       └─ neither ─► guess ► first server that has not reset it ► go
//!       └─ from a server ─────► reply ─ RST ─► rst: of its owner, or of the last server: on; else dropped and noted
//!                               └─ else: pin
//!   postrouting ─ from a server ► back: under the front's address
//! ```
//! Nothing depends on connection tracking; both directions go without it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::script::{Chain, Script, Set, SlotMaps, slot_maps};
use super::{Existing, Key, SEED, Slots, direct, errors, source};

/// The name of the table; its family is `inet`.
pub const TABLE: &str = "relevo_flows";

/// Most pins of a service. When there are more, new flows go by their slots alone.
pub(super) const PINS: u32 = 262_144;
/// Most resets of a service that are remembered. When there are more, resets are dropped and nothing is noted.
const TRIED: u32 = 16_384;
/// How long a reset is remembered, seconds.
const TRIED_FOR: u32 = 30;
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
    /// It gets nothing new: what is pinned goes on, all else goes to the userspace engine.
    pub closing: bool,
}

/// A table that carries the flows of services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    script: Script,
    direct: [Script; 2],
}

/// The words of an address family.
pub(super) struct Words {
    pub(super) ip: &'static str,
    pub(super) address: &'static str,
    pub(super) digit: char,
    none: &'static str,
}

impl Rules {
    /// The rules of these services. A service whose pool has no slots here is left out.
    pub fn new(fronts: &[Front], pools: &BTreeMap<String, Slots>) -> Self {
        let direct = direct::scripts(fronts, pools);
        let fronts: Vec<&Front> = fronts.iter().filter(|front| front.form != Form::Direct).collect();
        let mut script = Script::default();
        let families =
            [true, false].into_iter().filter(|v4| fronts.iter().any(|front| front.at.is_ipv4() == *v4));
        let mut before = vec!["iif \"lo\" accept".to_owned()];
        let mut after = Vec::new();
        for words in families.map(Words::of) {
            family(&mut script, &words, &mut before, &mut after);
        }
        if !fronts.is_empty() {
            script.chains.insert("prerouting".to_owned(), Chain { hook: BEFORE.to_owned(), rules: before });
            script.chains.insert("postrouting".to_owned(), Chain { hook: AFTER.to_owned(), rules: after });
            script.counters.insert("fragments".to_owned());
        }
        source::add(&mut script, &fronts);
        for front in &fronts {
            let Some(slots) = pools.get(&front.pool) else { continue };
            let v4 = front.at.is_ipv4();
            script.slots.insert(front.pool.clone(), SlotMaps { v4, slots: slots.clone() });
            service(&mut script, front, slots.len());
        }
        errors::add(&mut script, &fronts, pools);
        Self { script, direct }
    }

    /// The text for `nft -f -` that makes these rules out of what is there. Pins stay.
    pub fn install(&self, existing: &Existing) -> String {
        let mut text = self.script.install(existing);
        let none = Existing::default();
        for script in &self.direct {
            let existing = existing.others.get(script.family.word());
            if existing.is_some() || !script.chains.is_empty() {
                text.push_str(&script.install(existing.unwrap_or(&none)));
            }
        }
        text
    }

    /// The text that makes these rules out of former ones; empty: nothing has changed. Pins stay.
    pub fn follow(&self, former: &Self) -> String {
        let mut text = self.script.follow(&former.script);
        for (script, former) in self.direct.iter().zip(&former.direct) {
            if former.chains.is_empty() && !script.chains.is_empty() {
                let _ = writeln!(text, "add table {} {TABLE}", script.family.word());
            }
            text.push_str(&script.follow(former));
        }
        text
    }
}

impl Front {
    /// The family of the table that it has a part in, in nft's words.
    pub fn family(&self) -> &'static str {
        match (self.form, self.at) {
            (Form::Nat | Form::Source(_), _) => "inet",
            (Form::Direct, SocketAddr::V4(_)) => "ip",
            (Form::Direct, SocketAddr::V6(_)) => "ip6",
        }
    }

    /// Whether connection tracking has a part in it.
    pub(super) const fn is_tracked(&self) -> bool {
        matches!(self.form, Form::Source(_))
    }

    const fn untracked(&self) -> &'static str {
        if self.is_tracked() { "" } else { "notrack " }
    }

    pub(super) const fn proto(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
    }

    /// What declares the map of its pins.
    pub(super) fn pins(&self) -> String {
        let Words { ip, address, .. } = Words::of(self.at.is_ipv4());
        let pinned = match self.at.is_ipv4() {
            true => format!("type {address} . inet_service : {address};"),
            false => format!("typeof numgen inc mod 65536 . {} sport : {ip} daddr;", self.proto()),
        };
        let idle = self.idle.as_secs().max(1);
        format!("{pinned} flags dynamic,timeout; size {PINS}; timeout {idle}s;")
    }
}

impl Words {
    pub(super) const fn of(v4: bool) -> Self {
        match v4 {
            true => Self { ip: "ip", address: "ipv4_addr", digit: '4', none: "0.0.0.0" },
            false => Self { ip: "ip6", address: "ipv6_addr", digit: '6', none: "::" },
        }
    }
}

/// What a family needs once.
fn family(script: &mut Script, words: &Words, before: &mut Vec<String>, after: &mut Vec<String>) {
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
fn service(script: &mut Script, front: &Front, slots: u32) {
    let words = Words::of(front.at.is_ipv4());
    let Words { address, digit, .. } = words;
    let Front { name, pool, .. } = front;
    let proto = front.proto();
    let flow = format!("{address} . inet_service");
    let idle = front.idle.as_secs().max(1);
    let mut declare = |name: String, kind: &'static str, declaration: String, elements| {
        script.sets.insert(name, Set { kind, declaration, elements });
    };
    declare(format!("pin_{name}"), "map", front.pins(), None);
    if !front.udp {
        declare(
            format!("tried_{name}"),
            "set",
            format!("type {flow} . {address}; flags dynamic,timeout; size {TRIED}; timeout {TRIED_FOR}s;"),
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

    let chains = Chains { front, words, proto, idle, slots, maps: slot_maps(pool) };
    let all = if front.udp { chains.udp() } else { chains.tcp() };
    let counted: &[&str] = if front.udp { &["guesses"] } else { &["guesses", "heals", "stale", "refused"] };
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
    pub(super) maps: [String; 3],
}

impl Chains<'_> {
    fn tcp(&self) -> Vec<(String, Vec<String>)> {
        let Self { front, words: Words { ip, .. }, .. } = self;
        let (name, at) = (&front.name, front.at.ip());
        let [first, second, third] = &self.maps;
        let (flow, hash) = (self.flow("saddr", "sport"), self.hash("saddr", "sport"));
        let pin = self.pin("saddr", "sport");
        let pinned = format!("{ip} daddr set {pin} map @pin_{name} goto go_{name}");
        let local = format!("update @pin_{name} {{ {pin} timeout {LOCAL}s : {ip} daddr }} accept");
        let mut into = self.inside("saddr");
        into.push(format!("tcp flags & (syn | ack) == syn goto new_{name}"));
        into.push(pinned);
        into.push(if front.closing { "accept".to_owned() } else { format!("goto guess_{name}") });
        let mut new = vec![format!("delete @pin_{name} {{ {pin} : {ip} daddr }}")];
        if !front.closing {
            new.push(format!("{ip} daddr set {hash} map @{first} goto go_{name}"));
        }
        new.extend([local.clone(), "accept".to_owned()]);
        let untried = format!("{flow} . {ip} daddr != @tried_{name} goto go_{name}");
        let guess = vec![
            format!("counter name guesses_{name}"),
            format!("{ip} daddr set {hash} map @{first} {untried}"),
            format!("{ip} daddr set {hash} map @{second} {untried}"),
            format!("{ip} daddr set {hash} map @{third} goto go_{name}"),
            // Nobody may have it now. The client asks again.
            format!("counter name refused_{name} drop"),
        ];
        let go = vec![
            format!("tcp dport set {ip} daddr map @port_{name} {}accept", front.untracked()),
            // A server that is gone.
            format!("{ip} daddr != {at} counter name refused_{name} drop"),
            local,
            "accept".to_owned(),
        ];
        let remember = format!(
            "update @pin_{name} {{ {} timeout {}s : {ip} saddr }}",
            self.pin("daddr", "dport"),
            self.idle
        );
        // More than the headers. A bare acknowledgement is no proof: a server that has just ended another connection of the
        // same client address and port (TIME_WAIT) sends one for whatever it gets.
        let content = if front.at.is_ipv4() { "ip length > 52" } else { "ip6 length > 32" };
        let mut reply = self.inside("daddr");
        reply.extend([
            format!("tcp flags & rst == rst goto rst_{name}"),
            "notrack".to_owned(),
            format!("tcp flags & syn == syn {remember}"),
            format!("{content} {remember}"),
        ]);
        let mut all = vec![("in", into), ("new", new), ("guess", guess), ("go", go), ("reply", reply)];
        all.push(("back", self.back()));
        let mut all: Vec<_> = all.into_iter().map(|(kind, rules)| (kind.to_owned(), rules)).collect();
        all.extend(self.resets());
        all
    }

    fn udp(&self) -> Vec<(String, Vec<String>)> {
        let Self { front, words: Words { ip, .. }, .. } = self;
        let name = &front.name;
        let (flow, hash) = (self.pin("saddr", "sport"), self.hash("saddr", "sport"));
        let mut into = self.inside("saddr");
        into.push(format!("{ip} daddr set {flow} map @pin_{name} goto go_{name}"));
        if !front.closing {
            let first = &self.maps[0];
            into.push(format!(
                "{ip} daddr set {hash} map @{first} counter name guesses_{name} goto go_{name}"
            ));
        }
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

    /// A reset of a server: of the flow's owner it is true; of one that was guessed it says that it is not the owner.
    fn resets(&self) -> Vec<(String, Vec<String>)> {
        let Self { front, words: Words { ip, none, .. }, .. } = self;
        let name = &front.name;
        let (flow, hash) = (self.flow("daddr", "dport"), self.hash("daddr", "dport"));
        let third = &self.maps[2];
        let servers: Vec<String> = front.servers.iter().map(|server| server.ip().to_string()).collect();
        let goes =
            servers.iter().enumerate().map(|(place, server)| format!("{server} : goto rst{place}_{name}"));
        let goes: Vec<String> = goes.collect();
        let mut all = Vec::new();
        let lead = match goes.is_empty() {
            true => Vec::new(),
            false => vec![format!("{ip} saddr vmap {{ {} }}", goes.join(", "))],
        };
        all.push(("rst".to_owned(), lead));
        for (place, server) in servers.iter().enumerate() {
            // nft compares no two looked up values: the packet's own address holds one of them for a moment.
            let rules = vec![
                format!("{ip} saddr set {none}"),
                format!("{ip} saddr set {} map @pin_{name}", self.pin("daddr", "dport")),
                format!("{ip} saddr {server} notrack accept"),
                format!("{ip} saddr != {none} counter name stale_{name} drop"),
                format!("{ip} saddr set {hash} map @{third}"),
                format!("{ip} saddr {server} notrack accept"),
                format!("{ip} saddr set {server}"),
                format!("counter name heals_{name}"),
                format!("update @tried_{name} {{ {flow} . {ip} saddr timeout {TRIED_FOR}s }}"),
                "drop".to_owned(),
            ];
            all.push((format!("rst{place}"), rules));
        }
        all
    }

    /// Answers leave under the front's address.
    fn back(&self) -> Vec<String> {
        let Self { front, words: Words { ip, .. }, proto, .. } = self;
        let mut rules = self.inside("daddr");
        rules.push(format!("{ip} saddr set {} {proto} sport set {}", front.at.ip(), front.at.port()));
        rules
    }

    /// Packets of machines beside the servers are not touched.
    fn inside(&self, field: &str) -> Vec<String> {
        if self.front.is_tracked() {
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
