//! ICMP errors about packets of flows: too big, unreachable, time exceeded. They have the beginning of the packet that they
//! are about, and by it they belong to a flow.
//!
//! ```text
//!   prerouting ─ about an answer that left a front ─► errors ─ pin or slot of the client inside ─► fault ─► the server
//!              └ about a packet that went to a server ─► untracked
//!   postrouting ─ about a packet that went to a server ─► report ─► the client, under the front's address
//! ```
//! Addresses and ports inside are translated as those of packets are, so that the receiver knows its connection again.
//!
//! nft writes where no header of its own is without mending the checksum. What changes is the same for all packets
//! of a server, so the difference is, too: the first two bytes (type and code) get the sum of what was there before, are
//! then changed with nft's mending to the sum of what is there after, and get back what they were. Meanwhile
//! those two are kept in another field: the identification of IPv4, the source of IPv6, which gets another value anyway.
//! The checksum of the IPv4 header inside is left as it was: nobody looks at it (RFC 1122 asks for the ports alone).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::rules::{Chains, Front, Words};
use super::script::{Chain, Script, slot_maps};
use super::{Key, SEED, Slots};

/// Bits from the beginning of the ICMP header.
struct Inside {
    first: &'static str,
    proto: u32,
    source: u32,
    target: u32,
    source_port: u32,
    target_port: u32,
    width: u32,
}

const INSIDE4: Inside = Inside {
    // No options: the ports are behind twenty bytes.
    first: "@th,64,8 0x45",
    proto: 136,
    source: 160,
    target: 192,
    source_port: 224,
    target_port: 240,
    width: 32,
};
const INSIDE6: Inside = Inside {
    first: "@th,64,4 0x6",
    proto: 112,
    source: 128,
    target: 256,
    source_port: 384,
    target_port: 400,
    width: 128,
};

impl Inside {
    const fn of(v4: bool) -> &'static Self {
        if v4 { &INSIDE4 } else { &INSIDE6 }
    }

    /// What the packet inside is: of this protocol, and with this end.
    fn has(&self, proto: &str, end: SocketAddr, [address, port]: [u32; 2]) -> String {
        let Self { first, proto: at, width, .. } = self;
        let number = if proto == "udp" { 17 } else { 6 };
        format!(
            "{first} @th,{at},8 {number} @th,{address},{width} {} @th,{port},16 {}",
            hex(end.ip()),
            end.port()
        )
    }
}

/// The kinds of errors that belong to flows.
pub(super) const fn kinds(v4: bool) -> &'static str {
    match v4 {
        true => "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
        false => "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
    }
}

/// An error that came to `at` about a packet from `source`.
pub(super) fn about(at: SocketAddr, proto: &str, source: SocketAddr) -> String {
    let inside = Inside::of(at.is_ipv4());
    let ip = Words::of(at.is_ipv4()).ip;
    format!("{ip} daddr {} {}", at.ip(), inside.has(proto, source, [inside.source, inside.source_port]))
}

/// The slot of the client that the packet inside was for.
pub(super) fn client_hash(front: &Front, slots: u32) -> String {
    let inside = Inside::of(front.at.is_ipv4());
    let mut what = format!("@th,{},{}", inside.target, inside.width);
    if front.key == Key::Connection {
        what.push_str(&format!(" . @th,{},16", inside.target_port));
    }
    format!("jhash {what} mod {slots} seed {SEED:#x}")
}

/// Adds what leads errors about these services' packets.
pub(super) fn add(script: &mut Script, fronts: &[&Front], pools: &BTreeMap<String, Slots>) {
    for v4 in [true, false] {
        let own = fronts.iter().copied().filter(|front| front.at.is_ipv4() == v4);
        let own: Vec<(&Front, &Slots)> =
            own.filter_map(|front| Some((front, pools.get(&front.pool)?))).collect();
        if own.is_empty() {
            continue;
        }
        let Words { digit, .. } = Words::of(v4);
        let inside = Inside::of(v4);
        let (mut came, mut leaves) = (Vec::new(), Vec::new());
        for (front, slots) in own {
            let (name, proto) = (&front.name, front.proto());
            came.push(format!("{} goto errors_{name}", about(front.at, proto, front.at)));
            script.counters.insert(format!("errors_{name}"));
            for (kind, rules) in to_servers(front, slots.modulus()) {
                script.chains.insert(format!("{kind}_{name}"), Chain { rules, ..Chain::default() });
            }
            for (place, server) in front.servers.iter().enumerate() {
                let has = inside.has(proto, *server, [inside.target, inside.target_port]);
                if !front.is_tracked() {
                    came.push(format!("{has} notrack accept"));
                }
                leaves.push(format!("{has} goto report{place}_{name}"));
                let rules = report(front, *server);
                script.chains.insert(format!("report{place}_{name}"), Chain { rules, ..Chain::default() });
            }
        }
        for (hook, chain, rules) in [
            ("prerouting", format!("errors{digit}"), came),
            ("postrouting", format!("reports{digit}"), leaves),
        ] {
            if let Some(hook) = script.chains.get_mut(hook) {
                hook.rules.push(format!("{} goto {chain}", kinds(v4)));
            }
            script.chains.insert(chain, Chain { rules, ..Chain::default() });
        }
    }
}

/// From the clients' side to the server.
fn to_servers(front: &Front, slots: u32) -> Vec<(String, Vec<String>)> {
    let v4 = front.at.is_ipv4();
    let Front { name, .. } = front;
    let inside = Inside::of(v4);
    let words = Words::of(v4);
    let maps = slot_maps(&front.pool);
    let chains = Chains { front, words, proto: "th", idle: 0, slots, copies: false, maps };
    let ip = chains.words.ip;
    let (client, port) = (format!("@th,{},{}", inside.target, inside.width), inside.target_port);
    let [first, second, _] = &chains.maps;
    let hash = client_hash(front, slots);
    let mut look = vec![format!("counter name errors_{name}")];
    // A pin is found by a port that is where ports are.
    if v4 {
        look.extend([
            "ip daddr set @th,0,32".to_owned(),
            "ip id set @nh,128,16".to_owned(),
            format!("ip saddr set {client}"),
            format!("@th,0,16 set @th,{port},16"),
            format!("ip daddr set {} map @pin_{name} goto known_{name}", chains.pin("saddr", "sport")),
        ]);
    } else {
        look.extend([
            "ip6 saddr set @th,0,128".to_owned(),
            format!("@th,0,16 set @th,{port},16"),
            format!(
                "ip6 daddr set jhash {client} mod 4294967295 seed {SEED:#x} . th sport map @pin_{name} goto known_{name}"
            ),
        ]);
    }
    look.push(format!("{ip} daddr set {hash} map @{first} goto known_{name}"));
    look.push(format!("{ip} daddr set {hash} map @{second} goto known_{name}"));
    look.push("drop".to_owned());
    let places = front.servers.iter().enumerate();
    let known: Vec<String> =
        places.clone().map(|(place, server)| format!("{} : goto fault{place}_{name}", server.ip())).collect();
    let mut rules = Vec::new();
    if !known.is_empty() {
        rules.push(format!("{ip} daddr vmap {{ {} }}", known.join(", ")));
    }
    // A server that is gone; or this machine itself.
    rules.push(format!("{ip} daddr != {} drop", front.at.ip()));
    rules.extend(restored(v4, &client));
    rules.push("accept".to_owned());
    let mut all = vec![("errors".to_owned(), look), ("known".to_owned(), rules)];
    for (place, server) in places {
        let mut rules = mended(v4, front.at, *server);
        rules.push(format!("@th,{},{} set {}", inside.source, inside.width, hex(server.ip())));
        rules.push(format!("@th,{},16 set {}", inside.source_port, server.port()));
        rules.extend(restored(v4, &client));
        rules.push(if front.is_tracked() { "accept" } else { "notrack accept" }.to_owned());
        all.push((format!("fault{place}"), rules));
    }
    all
}

/// Type and code are what they were; the source is the client: an answer to the error would go there.
fn restored(v4: bool, client: &str) -> Vec<String> {
    match v4 {
        true => vec!["@th,0,16 set ip id".to_owned()],
        false => vec!["@th,0,16 set @nh,64,16".to_owned(), format!("ip6 saddr set {client}")],
    }
}

/// From the servers' side, or of this machine, to the client.
fn report(front: &Front, server: SocketAddr) -> Vec<String> {
    let v4 = front.at.is_ipv4();
    let (inside, ip) = (Inside::of(v4), Words::of(v4).ip);
    let mut rules = match v4 {
        true => vec!["ip saddr set @th,0,32".to_owned(), "ip id set @nh,96,16".to_owned()],
        false => vec!["ip6 saddr set @th,0,128".to_owned()],
    };
    rules.extend(mended(v4, server, front.at));
    rules.push(format!("@th,{},{} set {}", inside.target, inside.width, hex(front.at.ip())));
    rules.push(format!("@th,{},16 set {}", inside.target_port, front.at.port()));
    rules.push(if v4 { "@th,0,16 set ip id" } else { "@th,0,16 set @nh,64,16" }.to_owned());
    rules.push(format!("{ip} saddr set {}", front.at.ip()));
    rules
}

/// The checksum is that of a message in which one end is written instead of another.
fn mended(v4: bool, before: SocketAddr, after: SocketAddr) -> Vec<String> {
    let ([type_, code], kind) = (sum(after).to_be_bytes(), if v4 { "icmp" } else { "icmpv6" });
    vec![
        format!("@th,0,16 set {}", sum(before)),
        format!("{kind} type set {type_}"),
        format!("{kind} code set {code}"),
    ]
}

/// The sum of address and port as checksums have it (RFC 1071).
fn sum(end: SocketAddr) -> u16 {
    let mut bytes = match end.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(end.port().to_be_bytes());
    let words =
        bytes.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

fn hex(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{:#010x}", ip.to_bits()),
        IpAddr::V6(ip) => format!("{:#034x}", ip.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_rfc_1071() {
        assert_eq!(sum("192.0.2.1:80".parse().unwrap()), 0xc000 + 0x0201 + 80);
        assert_eq!(sum("255.255.255.255:65535".parse().unwrap()), 0xffff);
        assert_eq!(sum("[2001:db8::1]:80".parse().unwrap()), 0x2001 + 0x0db8 + 1 + 80);
        assert_eq!(sum("10.0.0.11:8080".parse().unwrap()), 0x0a00 + 11 + 8080);
    }
}
