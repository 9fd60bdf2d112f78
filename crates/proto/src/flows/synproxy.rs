//! SYN-flood protection: the director answers SYNs itself, with a cookie instead of memory, and a server hears only of clients
//! that have answered (nft's `synproxy`).
//!
//! ```text
//!   prerouting -310    SYN, or what has no pin: to the slot's first server, as in the usual form, but tracked
//!   forward, after filters    new ──► syn ─ SYN ─► answered with a cookie, and gone
//!                                         └─ ACK ─► cookie right ─► the kernel itself sends a SYN to the server
//!   output             what the kernel sends to the server then: to the front's address, led as above
//!   prerouting -90     answers: reply; of flows that connection tracking does not know: dropped
//! ```
//! Each side has other sequence numbers, and the difference is in the connection tracking of this director alone. So nobody
//! else can go on with such a flow, and nothing is guessed here: what is not known is reset when it comes again.

use std::collections::BTreeMap;

use super::rules::{Chains, Front, LOCAL, Words};
use super::script::{Chain, Script, Set};
use super::source::LATE;

/// Where on the hook `forward`, from `filter` on, clients are taken: after other people's filters, which see new clients. A gateway
/// must not drop before that what servers open.
pub const CLAIMED: i32 = 6;
/// It looks for the way again when the address has become another.
const OUTPUT: &str = "type route hook output priority -310; policy accept;";
/// Most clients of a service whose packets nobody knew, and how long that is remembered, seconds.
const LOST: u32 = 65_536;
const LOST_FOR: u32 = 30;

/// What it counts: SYNs, other packets without a flow, resets for those that came again; strays are common.
pub(super) const COUNTED: [&str; 4] = ["syns", "acks", "lost", "refused"];

/// What a director says when it answers a SYN in the name of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synproxy {
    /// Largest segment, bytes; at most what servers take.
    pub mss: u16,
    /// Window scale, 0 to 14: that of servers, or less.
    pub wscale: u8,
}

/// Adds what these services need in common.
pub(super) fn add(script: &mut Script, fronts: &[&Front]) {
    let own: Vec<&Front> =
        fronts.iter().copied().filter(|front| front.synproxy.is_some() && !front.udp).collect();
    let Some(first) = own.first() else { return };
    let Words { ip, address, digit, .. } = Words::of(first.at.is_ipv4());
    let place = format!("{address} . inet_proto . inet_service");
    let (mut syns, mut sends, mut servers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for front in own {
        sends.insert(
            format!("{} . tcp . {}", front.at.ip(), front.at.port()),
            format!("goto send_{}", front.name),
        );
        for server in &front.servers {
            let key = format!("{} . tcp . {}", server.ip(), server.port());
            syns.insert(key.clone(), format!("goto syn_{}", front.name));
            servers.insert(key, String::new());
        }
    }
    let map = |elements| Set {
        kind: "map",
        declaration: format!("type {place} : verdict;"),
        elements: Some(elements),
    };
    script.sets.insert(format!("syn{digit}"), map(syns));
    script.sets.insert(format!("send{digit}"), map(sends));
    let proxied = Set { kind: "set", declaration: format!("type {place};"), elements: Some(servers) };
    script.sets.insert(format!("proxied{digit}"), proxied);
    let answers = Set {
        kind: "map",
        declaration: format!("type {place} : verdict; counter;"),
        elements: Some(BTreeMap::new()),
    };
    script.sets.entry(format!("late{digit}")).or_insert(answers);
    script.counters.insert("strays".to_owned());

    let from = format!("{ip} saddr . meta l4proto . th sport");
    let to = format!("{ip} daddr . meta l4proto . th dport");
    let late = script.chains.entry("late".to_owned()).or_insert_with(|| Chain {
        hook: LATE.to_owned(),
        rules: vec![format!("fib daddr type != local {from} vmap @late{digit}")],
    });
    // Its client's numbers are not known here. Connection tracking would take it for the beginning of something.
    let stray = format!(
        "fib daddr type != local {from} @proxied{digit} ct state != established counter name strays drop"
    );
    late.rules.insert(0, stray);
    let forward = format!("ct state {{ new, invalid, untracked }} {to} vmap @syn{digit}");
    let output = format!("fib saddr type != local {to} vmap @send{digit}");
    let claim = format!("type filter hook forward priority filter + {CLAIMED}; policy accept;");
    for (name, hook, rule) in [("syns", claim.as_str(), forward), ("sends", OUTPUT, output)] {
        script.chains.insert(name.to_owned(), Chain { hook: hook.to_owned(), rules: vec![rule] });
    }
}

impl Chains<'_> {
    /// The chains of such a service.
    pub(super) fn proxied(&self, synproxy: Synproxy) -> Vec<(String, Vec<String>)> {
        let Self { front, words: Words { ip, .. }, .. } = self;
        let (name, at) = (&front.name, front.at.ip());
        let (pin, hash) = (self.pin("saddr", "sport"), self.hash("saddr", "sport"));
        let candidates =
            || self.maps.iter().map(|map| format!("{ip} daddr set {hash} map @{map} goto go_{name}"));
        let local = format!("update @pin_{name} {{ {pin} timeout {LOCAL}s : {ip} daddr }} accept");
        let mut into = self.inside("saddr");
        into.push(format!("tcp flags & (syn | ack) == syn goto new_{name}"));
        into.extend(self.known());
        if !front.closing {
            into.extend(candidates());
        }
        into.push("accept".to_owned());
        let mut new = self.forgets();
        if !front.closing {
            new.extend(candidates().take(1));
        }
        // Nobody takes it: the userspace engine does.
        new.extend([local.clone(), "accept".to_owned()]);
        let lead = format!("tcp dport set {ip} daddr map @port_{name} accept");
        let go = vec![
            lead.clone(),
            // A server that is gone.
            format!("{ip} daddr != {at} counter name refused_{name} drop"),
            local,
            "accept".to_owned(),
        ];
        let [begun, remember] = self.remembers();
        let mut reply = self.inside("daddr");
        reply.extend([
            "tcp flags & rst == rst accept".to_owned(),
            format!("tcp flags & syn == syn {begun} accept"),
            format!("{remember} accept"),
        ]);
        let lost = format!("@lost_{name} {{ {ip} saddr . tcp sport");
        let Synproxy { mss, wscale } = synproxy;
        let answer = format!("synproxy mss {mss} wscale {wscale} timestamp sack-perm");
        let syn = vec![
            format!("tcp flags & (syn | ack | rst | fin) == syn counter name syns_{name} delete {lost} }}"),
            format!("tcp flags & (syn | ack | rst | fin) == syn {answer}"),
            // Without a cookie nobody knows it.
            "tcp flags & (syn | ack | rst) != ack drop".to_owned(),
            format!("{ip} saddr . tcp sport @lost_{name} counter name lost_{name} reject with tcp reset"),
            format!("update {lost} timeout {LOST_FOR}s }}"),
            format!("counter name acks_{name} {answer}"),
        ];
        // The kernel translates the time that this echoes once too often, and servers of Linux 6.15 and later take no
        // connection whose echo is none of theirs; without one they do.
        let lead = lead.replace(" accept", " reset tcp option timestamp accept");
        let mut send: Vec<String> =
            ["pin", "begun"].map(|map| format!("{ip} daddr set {pin} map @{map}_{name} {lead}")).into();
        send.extend(self.maps.iter().map(|map| format!("{ip} daddr set {hash} map @{map} {lead}")));
        let all = [
            ("in", into),
            ("new", new),
            ("go", go),
            ("reply", reply),
            ("back", self.back()),
            ("syn", syn),
            ("send", send),
        ];
        all.into_iter().map(|(kind, rules)| (kind.to_owned(), rules)).collect()
    }
}

impl Front {
    /// What declares the set of clients whose packets nobody knew.
    pub(super) fn lost(&self) -> String {
        let Words { address, .. } = Words::of(self.at.is_ipv4());
        format!("type {address} . inet_service; flags dynamic,timeout; size {LOST}; timeout {LOST_FOR}s;")
    }
}
