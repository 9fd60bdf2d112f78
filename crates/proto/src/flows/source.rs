//! The form for servers whose router is another (`source`): they see an address of the director's, which moves with the
//! front, and answer there.
//!
//! ```text
//!   prerouting -310  to a front: the server, as in the usual form, but tracked
//!   postrouting      a new flow to a server: its source becomes the director's (nat of the kernel)
//!   prerouting -90   the kernel has put the client back: reply, as in the usual form; what it does not know is dropped
//! ```
//! Which client an answer is for stands nowhere in it, so here is state: connection tracking has it. A director that takes over
//! makes it anew with the client's next packet, under the same port where that is free (the kernel keeps a port if it
//! can), so that the server sees nothing of it.

use std::collections::BTreeMap;

use super::rules::{Form, Front, Words};
use super::script::{Chain, Script, Set};

/// After the kernel has translated answers back (-100).
pub(super) const LATE: &str = "type filter hook prerouting priority -90; policy accept;";
/// Before source translation of others: the first one that fits is taken.
const TRANSLATE: &str = "type nat hook postrouting priority srcnat - 6; policy accept;";
/// Before filters.
const FORWARD: &str = "type filter hook forward priority filter - 6; policy accept;";

/// Adds what these services need in common; the rest is the usual form's.
pub(super) fn add(script: &mut Script, fronts: &[&Front]) {
    let tracked: Vec<(&Front, std::net::IpAddr)> = fronts
        .iter()
        .filter_map(|front| match front.form {
            Form::Source(source) => Some((*front, source)),
            Form::Nat | Form::Direct => None,
        })
        .collect();
    if tracked.is_empty() {
        return;
    }
    let (mut late, mut translate, mut forward) = (Vec::new(), Vec::new(), Vec::new());
    for v4 in [true, false] {
        let own: Vec<_> = tracked.iter().filter(|(front, _)| front.at.is_ipv4() == v4).collect();
        if own.is_empty() {
            continue;
        }
        let Words { ip, address, digit, .. } = Words::of(v4);
        let place = format!("{address} . inet_proto . inet_service");
        let mut behind = BTreeMap::new();
        let mut sources = Vec::new();
        for (front, source) in own {
            for server in &front.servers {
                let key = format!("{} . {} . {}", server.ip(), front.proto(), server.port());
                behind.insert(key, source.to_string());
            }
            sources.push(source.to_string());
        }
        sources.sort_unstable();
        sources.dedup();
        let map = |declaration, elements| Set { kind: "map", declaration, elements: Some(elements) };
        let answers = map(format!("type {place} : verdict; counter;"), BTreeMap::new());
        script.sets.insert(format!("late{digit}"), answers);
        let places = behind.keys().map(|key| (key.clone(), String::new())).collect();
        let declaration = format!("type {place};");
        let set = Set { kind: "set", declaration, elements: Some(places) };
        script.sets.insert(format!("tracked{digit}"), set);
        script.sets.insert(format!("behind{digit}"), map(format!("type {place} : {address};"), behind));
        let from = format!("{ip} saddr . meta l4proto . th sport");
        let to = format!("{ip} daddr . meta l4proto . th dport");
        let sources = sources.join(", ");
        // Nobody knows whose it is yet. The kernel would reset it. What this machine asks itself may go out under that address too.
        late.push(format!(
            "{ip} daddr {{ {sources} }} {from} @tracked{digit} ct state != established counter name strays drop"
        ));
        // What this machine asks servers itself, as checks do, is no flow.
        late.push(format!("fib daddr type != local {from} vmap @late{digit}"));
        translate.push(format!("fib saddr type != local snat {ip} to {to} map @behind{digit}"));
        // It would get there under the client's address.
        forward.push(format!("ct state invalid {to} @tracked{digit} counter name strays drop"));
    }
    script.counters.insert("strays".to_owned());
    for (name, hook, rules) in
        [("late", LATE, late), ("translate", TRANSLATE, translate), ("forward", FORWARD, forward)]
    {
        script.chains.insert(name.to_owned(), Chain { hook: hook.to_owned(), rules });
    }
}
