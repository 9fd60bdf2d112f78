//! What is different for flows of datagrams: they have no end, and nobody resets them. A client that always sends from one port
//! (syslog, RADIUS, SIP) would keep its pin to a dead server for good. So a pin counts only as long as its server has a part
//! in the slots; else the flow goes where its slot says, and is pinned there.

use std::collections::BTreeMap;

use super::rules::{Front, Words};
use super::script::{Script, Set};
use super::slots::Slots;

/// Adds the servers that pins may lead to.
pub(super) fn add(script: &mut Script, front: &Front, slots: &Slots) {
    if !front.udp || front.closing {
        return;
    }
    let elements: BTreeMap<String, String> =
        slots.servers().iter().map(|server| (server.ip().to_string(), String::new())).collect();
    let declaration = format!("type {};", Words::of(front.at.is_ipv4()).address);
    let set = Set { kind: "set", declaration, elements: Some(elements) };
    script.sets.insert(format!("well_{}", front.name), set);
}

/// The rule that follows a pin, found by `pin`. What is going keeps what it has.
pub(super) fn pinned(front: &Front, pin: &str) -> String {
    let (ip, name) = (Words::of(front.at.is_ipv4()).ip, &front.name);
    let well = if front.udp && !front.closing { format!("{ip} daddr @well_{name} ") } else { String::new() };
    format!("{ip} daddr set {pin} map @pin_{name} {well}goto go_{name}")
}

/// What the rule above has written of a server that is not well, when there is no other: the userspace engine gets it.
pub(super) fn restored(front: &Front) -> Option<String> {
    let ip = Words::of(front.at.is_ipv4()).ip;
    (front.udp && !front.closing).then(|| format!("{ip} daddr set {}", front.at.ip()))
}
