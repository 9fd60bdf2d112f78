//! The form for servers that answer clients by themselves (`forward = "direct"`, DSR): packets are led to a server as they
//! are, with nothing changed but the hardware address.
//!
//! ```text
//!   prerouting ─ to a front ──► in ─ SYN ───► new ──► first server of the slot ──► go ──► to ─ dup to the server, drop
//!       │                       ├─ a pin ───────────────────────────────────────► go
//!       │                       └─ neither ─► guess ► first server of the slot ──► go
//!       └─ ICMP about an answer ─► errors ─► dup to those that may have sent it
//! ```
//! `dup` sends a copy by the route to the server's own address, with the time to live one less; the packet itself goes no
//! further. Neither forwarding nor connection tracking has a part in it. Where `fwd` of the ingress hook would save the
//! copy, it would need the names of interfaces and answer nothing when a packet is too big for the servers' network.
//!
//! The director sees no answer. So a pin is made of what clients send (of a SYN, as `begun`, for a shorter time), and a flow that a server does not know is reset
//! by that server: here nobody can find the right one.

use std::collections::BTreeMap;

use super::rules::{BEFORE, Chains, Front, LOCAL, Words};
use super::script::{Chain, Script, Set, SlotMaps, TableFamily, slot_maps};
use super::slots::Slots;
use super::{datagrams, errors};

/// What a family's table has of it.
pub(super) fn script(family: TableFamily, fronts: &[&Front], pools: &BTreeMap<String, Slots>) -> Script {
    let mut script = Script { family, ..Script::default() };
    let fronts: Vec<(&Front, &Slots)> =
        fronts.iter().filter_map(|front| Some((*front, pools.get(&front.pool)?))).collect();
    if !fronts.is_empty() {
        whole(&mut script, &Words::of(family == TableFamily::Ip), &fronts);
    }
    script
}

fn whole(script: &mut Script, words: &Words, fronts: &[(&Front, &Slots)]) {
    let Words { ip, address, digit, .. } = words;
    let place = format!("{address} . inet_proto . inet_service");
    let set = |kind, declaration| Set { kind, declaration, elements: Some(BTreeMap::new()) };
    let mut into = set("map", format!("type {place} : verdict; counter;"));
    let mut ends = set("set", format!("type {place};"));
    let mut about = Vec::new();
    for (front, slots) in fronts {
        let at = format!("{} . {} . {}", front.at.ip(), front.proto(), front.at.port());
        if let Some(elements) = &mut into.elements {
            elements.insert(at.clone(), format!("goto in_{}", front.name));
        }
        if let Some(elements) = &mut ends.elements {
            elements.insert(at, String::new());
        }
        let maps = SlotMaps { v4: front.at.is_ipv4(), slots: (*slots).clone() };
        script.slots.insert(front.pool.clone(), maps);
        about.push(format!(
            "{} goto errors_{}",
            errors::about(front.at, front.proto(), front.at),
            front.name
        ));
        datagrams::add(script, front, slots);
        service(script, front, slots.modulus());
    }
    script.sets.insert(format!("in{digit}"), into);
    script.sets.insert(format!("ends{digit}"), ends);
    script.counters.insert("fragments".to_owned());
    let pieces = match digit {
        '4' => "ip frag-off & 0x3fff != 0 goto fragments4".to_owned(),
        _ => "exthdr frag exists goto fragments6".to_owned(),
    };
    let before = vec![
        "iif \"lo\" accept".to_owned(),
        pieces,
        format!("{ip} daddr . meta l4proto . th dport vmap @in{digit}"),
        format!("{} goto errors{digit}", errors::kinds(*digit == '4')),
    ];
    let fragments =
        vec![format!("{ip} daddr . meta l4proto . th dport @ends{digit} counter name fragments drop")];
    for (name, hook, rules) in [
        ("prerouting".to_owned(), BEFORE, before),
        (format!("fragments{digit}"), "", fragments),
        (format!("errors{digit}"), "", about),
    ] {
        script.chains.insert(name, Chain { hook: hook.to_owned(), rules });
    }
}

/// The chains, maps and counters of a service.
fn service(script: &mut Script, front: &Front, slots: u32) {
    let words = Words::of(front.at.is_ipv4());
    let (proto, idle) = (front.proto(), front.idle.as_secs().max(1));
    let chains = Chains { front, words, proto, idle, slots, copies: false, maps: slot_maps(&front.pool) };
    let Words { ip, address, .. } = &chains.words;
    let Front { name, .. } = front;
    let servers = front.servers.iter().enumerate();
    let elements =
        servers.clone().map(|(place, server)| (server.ip().to_string(), format!("goto to{place}_{name}")));
    let to = Set {
        kind: "map",
        declaration: format!("type {address} : verdict; counter;"),
        elements: Some(elements.collect()),
    };
    script.sets.insert(format!("to_{name}"), to);
    script.sets.insert(format!("pin_{name}"), Set { kind: "map", declaration: front.pins(), elements: None });
    if !front.udp {
        let begun = Set { kind: "map", declaration: front.begun(), elements: None };
        script.sets.insert(format!("begun_{name}"), begun);
    }
    for what in ["guesses", "refused", "errors"] {
        script.counters.insert(format!("{what}_{name}"));
    }
    let at = front.at.ip();
    let (pin, hash) = (chains.pin("saddr", "sport"), chains.hash("saddr", "sport"));
    let [first, second, _] = &chains.maps;
    let candidate = |map: &str| format!("{ip} daddr set {hash} map @{map} goto go_{name}");
    let local = format!("update @pin_{name} {{ {pin} timeout {LOCAL}s : {ip} daddr }} accept");

    let known = match front.udp {
        true => vec![datagrams::pinned(front, &pin)],
        false => chains.known().into(),
    };
    let rest = if front.closing { "accept".to_owned() } else { format!("goto guess_{name}") };
    let mut into: Vec<String> = known.into_iter().chain([rest]).collect();
    if !front.udp {
        into.insert(0, format!("tcp flags & (syn | ack) == syn goto new_{name}"));
        let mut new = chains.forgets();
        new.extend((!front.closing).then(|| candidate(first).replace(" goto go_", " goto begin_")));
        // Nobody takes it: the userspace engine does.
        new.extend([local.clone(), "accept".to_owned()]);
        script.chains.insert(format!("new_{name}"), Chain { rules: new, ..Chain::default() });
    }
    let mut guess = vec![format!("counter name guesses_{name}"), candidate(first)];
    if front.udp {
        guess.extend(datagrams::restored(front));
        guess.push("accept".to_owned());
    } else {
        guess.extend([candidate(second), format!("counter name refused_{name} drop")]);
    }
    let lead = |map: &str, seconds: u64| {
        vec![
            format!("update @{map}_{name} {{ {pin} timeout {seconds}s : {ip} daddr }}"),
            format!("{ip} daddr vmap @to_{name}"),
            // A server that is gone: when the client sends again, another one is asked, which says that it does not have it.
            format!("{ip} daddr != {at} delete @{map}_{name} {{ {pin} : {ip} daddr }}"),
            format!("{ip} daddr != {at} counter name refused_{name} drop"),
            "accept".to_owned(),
        ]
    };
    let go = lead("pin", idle);
    if !front.udp {
        let rules = lead("begun", front.begun_for());
        script.chains.insert(format!("begin_{name}"), Chain { rules, ..Chain::default() });
    }
    let inner = errors::client_hash(front, slots);
    let mut about = vec![format!("counter name errors_{name}")];
    about.extend(chains.maps.iter().map(|map| format!("dup to {inner} map @{map}")));
    about.push("accept".to_owned());
    for (kind, rules) in [("in", into), ("guess", guess), ("go", go), ("errors", about)] {
        script.chains.insert(format!("{kind}_{name}"), Chain { rules, ..Chain::default() });
    }
    for (place, server) in servers {
        let rules = vec![format!("{ip} daddr set {at} dup to {}", server.ip()), "drop".to_owned()];
        script.chains.insert(format!("to{place}_{name}"), Chain { rules, ..Chain::default() });
    }
}
