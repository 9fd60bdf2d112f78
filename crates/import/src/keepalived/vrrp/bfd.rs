//! `track_bfd` and the `bfd_instance` that it names.
//!
//! Here BFD is between the directors of a group. A session with one of them becomes the group's `bfd`; one with a machine that
//! speaks no VRRP, as a router does, becomes a tracker that pings it.

use super::super::{Director, Node};
use super::plan::{Plan, seconds};
use crate::draft::{Table, key, quoted};
use crate::ledger::Ledger;

/// Takes the sessions that a block names.
pub(super) fn read(director: &Director, block: &Node, group: &str, plan: &mut Plan, ledger: &mut Ledger) {
    ledger.carried(&block.at, format!("[group.{group}]"));
    for child in &block.children {
        let name = child.name();
        let is_it = |block: &&Node| block.name() == "bfd_instance" && block.word(1) == name;
        let Some(session) = director.blocks.iter().find(is_it) else {
            ledger.dropped(&child.at, format!("`{name}` is defined nowhere"));
            continue;
        };
        let neighbour = session.child("neighbor_ip").map_or("", |one| one.word(1));
        if is_director(director, neighbour) {
            between_directors(session, child, group, plan, ledger);
        } else {
            by_ping(session, child, neighbour, group, plan, ledger);
        }
    }
}

/// Whether an instance sends its adverts there.
fn is_director(director: &Director, ip: &str) -> bool {
    let instances = director.blocks.iter().filter(|block| block.name() == "vrrp_instance");
    let mut peers =
        instances.filter_map(|block| block.child("unicast_peer")).flat_map(|peers| &peers.children);
    peers.any(|peer| peer.name() == ip)
}

fn between_directors(session: &Node, child: &Node, group: &str, plan: &mut Plan, ledger: &mut Ledger) {
    let here = format!("[group.{group}] bfd");
    let number = |name: &str| session.child(name).and_then(|one| one.word(1).parse::<u32>().ok());
    // keepalived's defaults.
    let interval = number("min_tx").unwrap_or(10).max(number("min_rx").unwrap_or(10)).clamp(10, 10_000);
    let multiplier = number("multiplier").unwrap_or(5).clamp(2, 50);
    if let Some(group) = plan.find(group) {
        group.bfd = Some(format!("{{ interval = \"{interval}ms\", multiplier = {multiplier} }}"));
    }
    ledger.approximated(
        &child.at,
        &here,
        "all directors of the group watch each other: one that is silent is taken over from at once",
    );
    ledger.carried(&session.at, &here);
    for one in &session.children {
        match one.name() {
            "neighbor_ip" | "source_ip" => {
                ledger.carried(&one.at, format!("{here}: the directors' addresses"))
            }
            "min_rx" | "min_tx" | "multiplier" => ledger.carried(&one.at, &here),
            _ => one.drop_all(ledger, "sessions between directors of one network need no more"),
        }
    }
}

fn by_ping(session: &Node, child: &Node, neighbour: &str, group: &str, plan: &mut Plan, ledger: &mut Ledger) {
    let why = "BFD is between directors here: this machine is watched by ping";
    let here = format!("[group.{group}.track.{}]", key(child.name()));
    let mut table = Table::new(format!("group.{}.track.{}", key(group), key(child.name())));
    table.set("ping", quoted(neighbour));
    let words = &child.words;
    let weight = words.iter().position(|word| word == "weight").and_then(|at| words.get(at + 1));
    let weight = weight.or_else(|| session.child("weight").and_then(|one| one.words.get(1)));
    if let Some(weight) = weight.and_then(|text| text.parse::<i32>().ok()).filter(|weight| *weight != 0) {
        table.set("weight", weight.clamp(-253, 253).to_string());
    }
    table.set("interval", quoted(&seconds(1.0)));
    ledger.approximated(&child.at, &here, why);
    ledger.approximated(&session.at, &here, why);
    for one in &session.children {
        match one.name() {
            "neighbor_ip" | "weight" => ledger.carried(&one.at, &here),
            _ => one.drop_all(ledger, why),
        }
    }
    if let Some(group) = plan.find(group) {
        group.add(table);
    }
}
