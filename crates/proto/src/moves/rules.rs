//! What nftables does with packets to the userspace engine's services while their addresses move.
//!
//! A chain of each interface looks at packets as they come in (`netdev`, hook `ingress`), before the kernel itself has any opinion
//! about them. It is empty while the addresses are here and nothing moves. Beginnings of connections are noted in a set.
//! Forwarded packets get a TTL of at most [`HOPS`], and lose one at each director: whatever two directors believe of each other, a
//! packet that nobody knows does not go round for long.
//!
//! A second table keeps silent addresses silent: no ARP question about them is answered, and none is asked in their name. An
//! IPv6 address on the loopback interface answers no solicitation by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The name of the tables; their families are `netdev`, `arp` and `ip6`.
pub const TABLE: &str = "relevo_moves";
/// Most connections whose beginnings are noted, of each family. When there are more, the packets of new ones are taken for those
/// of old ones.
const SEEN: u32 = 262_144;
/// Most of them that are noted at once because the engine has them.
pub const MOST_KNOWN: usize = SEEN as usize / 2;
/// How long they are noted, seconds: longer than the longest drain.
const SEEN_FOR: u32 = 3700;
/// Connections in one line of a text.
const LINE: usize = 512;
/// Most directors that a packet goes through, and a bit.
const HOPS: u8 = 8;
/// After the rules of those who look at all packets, before those of the kernel's path would be the same: theirs are for other
/// places.
const PRIORITY: i32 = 5;

/// How packets to a place are treated; see [`super::Stage`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Only those of connections that are known come in.
    Guard,
    /// All do.
    Open,
    /// All do, and beginnings are noted.
    Record,
    /// Those of connections that are not known go to this address, which is on the same network and of the same family.
    Forward(IpAddr),
}

/// A place where the userspace engine listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The interface that its packets come in by.
    pub interface: String,
    /// The interface that the other directors are reached by: the same, or the one below it.
    pub out: String,
    /// How they are treated.
    pub way: Way,
    /// A virtual address, with the port.
    pub at: SocketAddr,
}

/// A virtual address that is here and shall not be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Silent {
    /// It.
    pub ip: IpAddr,
    /// This director's own address on that network, of the same family.
    pub own: IpAddr,
}

/// The places of an interface: of IPv6 or not, how they are treated, and the interface to the other directors.
type Ways<'a> = BTreeMap<(bool, &'a Way, &'a str), BTreeSet<SocketAddr>>;

/// The text that removes what an earlier process left.
pub fn removal() -> String {
    ["netdev", "arp", "ip6"]
        .map(|family| format!("table {family} {TABLE}\ndelete table {family} {TABLE}\n"))
        .concat()
}

/// The text that forgets all beginnings. After [`rules`].
pub fn fresh() -> String {
    format!("flush set netdev {TABLE} seen4\nflush set netdev {TABLE} seen6\n")
}

/// The text for `nft -f -` after which packets to these places are treated so, whatever was before. What was noted stays.
pub fn rules(places: &[Place]) -> String {
    let mut text = format!(
        "add table netdev {TABLE}\n\
         add set netdev {TABLE} seen4 {{ type ipv4_addr . inet_service . ipv4_addr . inet_service; flags dynamic,timeout; size {SEEN}; timeout {SEEN_FOR}s; }}\n\
         add set netdev {TABLE} seen6 {{ type ipv6_addr . inet_service . ipv6_addr . inet_service; flags dynamic,timeout; size {SEEN}; timeout {SEEN_FOR}s; }}\n\
         add counter netdev {TABLE} forwarded\n\
         add counter netdev {TABLE} guarded\n"
    );
    let mut interfaces: BTreeMap<&str, Ways<'_>> = BTreeMap::new();
    for place in places {
        let ways = interfaces.entry(&place.interface).or_default();
        ways.entry((place.at.is_ipv6(), &place.way, place.out.as_str())).or_default().insert(place.at);
    }
    for (interface, ways) in interfaces {
        let chain = chain_of(interface);
        let _ = writeln!(
            text,
            "add chain netdev {TABLE} {chain} {{ type filter hook ingress device \"{interface}\" priority {PRIORITY}; policy accept; }}\n\
             flush chain netdev {TABLE} {chain}"
        );
        for ((v6, way, out), places) in ways {
            for rule in of_way(v6, way, &places, out) {
                let _ = writeln!(text, "add rule netdev {TABLE} {chain} {rule}");
            }
        }
    }
    text
}

/// The text that notes connections that were not seen to begin: client and place. After [`rules`].
pub fn admit(connections: &[(SocketAddr, SocketAddr)]) -> String {
    let mut text = String::new();
    for (set, v6) in [("seen4", false), ("seen6", true)] {
        let own: Vec<String> = connections
            .iter()
            .filter(|(client, at)| client.is_ipv6() == v6 && at.is_ipv6() == v6)
            .map(|(client, at)| format!("{} . {} . {} . {}", client.ip(), client.port(), at.ip(), at.port()))
            .collect();
        for line in own.chunks(LINE) {
            let _ = writeln!(text, "add element netdev {TABLE} {set} {{ {} }}", line.join(", "));
        }
    }
    text
}

/// The text after which these addresses are silent, and no others.
pub fn silence(silent: &[Silent]) -> String {
    let mut text = ["arp", "ip6"]
        .map(|family| format!("table {family} {TABLE}\ndelete table {family} {TABLE}\n"))
        .concat();
    let (v6, v4): (Vec<&Silent>, Vec<&Silent>) = silent.iter().partition(|silent| silent.ip.is_ipv6());
    if !v4.is_empty() {
        let _ = writeln!(
            text,
            "table arp {TABLE} {{\n chain in {{\n  type filter hook input priority 0; policy accept;"
        );
        for Silent { ip, .. } in &v4 {
            let _ = writeln!(text, "  arp operation request arp daddr ip {ip} drop");
        }
        let _ = writeln!(text, " }}\n chain out {{\n  type filter hook output priority 0; policy accept;");
        for Silent { ip, own } in &v4 {
            let _ = writeln!(text, "  arp saddr ip {ip} arp saddr ip set {own}");
        }
        let _ = writeln!(text, " }}\n}}");
    }
    if !v6.is_empty() {
        let _ = writeln!(
            text,
            "table ip6 {TABLE} {{\n chain out {{\n  type filter hook output priority 0; policy accept;"
        );
        for Silent { ip, own } in &v6 {
            let _ = writeln!(text, "  ip6 saddr {ip} icmpv6 type nd-neighbor-solicit ip6 saddr set {own}");
        }
        let _ = writeln!(text, " }}\n}}");
    }
    text
}

fn of_way(v6: bool, way: &Way, places: &BTreeSet<SocketAddr>, out: &str) -> Vec<String> {
    let (ip, set, hops) = if v6 { ("ip6", "seen6", "hoplimit") } else { ("ip", "seen4", "ttl") };
    let list: Vec<String> = places.iter().map(|at| format!("{} . {}", at.ip(), at.port())).collect();
    // Frames for other machines come by too where a switch does not know who has a hardware address.
    let to = format!("meta pkttype host {ip} daddr . tcp dport {{ {} }}", list.join(", "));
    let flow = format!("{ip} saddr . tcp sport . {ip} daddr . tcp dport");
    let begins = format!("{to} tcp flags & (syn | ack) == syn update @{set} {{ {flow} }} accept");
    let known = format!("{to} {flow} @{set} accept");
    match way {
        Way::Open => Vec::new(),
        Way::Record => vec![begins],
        Way::Guard => vec![begins, known, format!("{to} counter name guarded drop")],
        Way::Forward(director) => vec![
            begins,
            known,
            // Not all kernels look at it when they forward.
            format!("{to} {ip} {hops} < 2 counter name guarded drop"),
            format!("{to} {ip} {hops} > {HOPS} {ip} {hops} set {HOPS}"),
            format!("{to} counter name forwarded fwd {ip} to {director} device \"{out}\""),
        ],
    }
}

/// An own name for each interface. nft takes letters, digits, `_`, `-`, `.` and `/` in a name; an interface's has no `/`.
fn chain_of(interface: &str) -> String {
    let mut name = "in_".to_owned();
    for character in interface.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' => name.push(character),
            other => drop(write!(name, "/{:x}", u32::from(other))),
        }
    }
    name
}
