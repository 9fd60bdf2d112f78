//! VRRP: sync groups and instances become groups and addresses.
//!
//! An instance of one name, or else of one virtual router id on one interface, is the same on all directors; each brings its own
//! priority. What keepalived says for each instance and Relevo for a whole group is taken from the first, and told if another one
//! differs.

mod address;
mod announce;
mod bfd;
mod instance;
mod moving;
mod order;
mod plan;
mod track;
mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Director, Node};
use crate::draft::Draft;
use crate::ledger::Ledger;
use plan::Plan;

/// The groups of all directors.
///
/// `has_balancer`: HAProxy's file is given too, so that HAProxy will not run any more.
pub(crate) fn map(directors: &[Director], has_balancer: bool, draft: &mut Draft, ledger: &mut Ledger) {
    let mut plan = Plan { has_balancer, ..Plan::default() };
    for director in directors {
        draft.node(&director.name).is_director = true;
        let sync = sync_groups(director, draft, &mut plan, ledger);
        for block in &director.blocks {
            match block.name() {
                "vrrp_instance" => {
                    let name = sync.get(block.word(1)).cloned();
                    instance::read(director, block, name.as_deref(), draft, &mut plan, ledger);
                }
                "global_defs" => globals(block, &mut plan, ledger),
                "bfd_instance" if !watched_by_bfd(director, block) => {
                    block.drop_all(ledger, "no `track_bfd` names it");
                }
                name => {
                    if let Some(why) = words::block(name) {
                        block.drop_all(ledger, why);
                    }
                }
            }
        }
    }
    plan.finish(draft, ledger);
}

/// Which group each instance is of.
fn sync_groups(
    director: &Director,
    draft: &mut Draft,
    plan: &mut Plan,
    ledger: &mut Ledger,
) -> BTreeMap<String, String> {
    let mut of = BTreeMap::new();
    for block in director.blocks.iter().filter(|block| block.name() == "vrrp_sync_group") {
        let name = plan.group(draft, block.word(1));
        let here = format!("[group.{name}]");
        ledger.carried(&block.at, &here);
        for child in &block.children {
            match child.name() {
                "group" => {
                    ledger.carried(&child.at, &here);
                    for member in &child.children {
                        ledger.carried(&member.at, &here);
                        for instance in &member.words {
                            of.insert(instance.clone(), name.clone());
                        }
                    }
                }
                "track_bfd" => bfd::read(director, child, &name, plan, ledger),
                "track_interface" | "track_script" | "track_process" | "track_file" => {
                    track::read(director, child, &name, plan, ledger);
                }
                "global_tracking" | "sync_group_tracking_weight" => {
                    ledger.carried(&child.at, format!("{here}: trackers are of the whole group"));
                }
                word => match words::why_not(word) {
                    Some(why) => child.drop_all(ledger, why),
                    None if word.starts_with("notify") => {
                        let who = format!("GROUP {}", block.word(1));
                        instance::notify(child, &name, &who, plan, ledger);
                    }
                    None => child.drop_all(ledger, NO_WORD),
                },
            }
        }
    }
    of
}

const NO_WORD: &str = "there is no word for it";

/// Whether an instance or a sync group has it in `track_bfd`.
fn watched_by_bfd(director: &Director, bfd: &Node) -> bool {
    let of = |block: &&Node| matches!(block.name(), "vrrp_instance" | "vrrp_sync_group");
    let mut tracks = director.blocks.iter().filter(of).filter_map(|block| block.child("track_bfd"));
    tracks.any(|track| track.children.iter().any(|one| one.name() == bfd.word(1)))
}

fn globals(block: &Node, plan: &mut Plan, ledger: &mut Ledger) {
    ledger.carried(&block.at, "evaluated");
    for child in &block.children {
        match child.name() {
            "router_id" => ledger.carried(&child.at, "the node's name"),
            "vrrp_version" => {
                plan.version = child.word(1).parse().ok();
                ledger.carried(&child.at, "version of the groups");
            }
            "vrrp_startup_delay" | "vrrp_delay_after_boot" => {
                let key = if child.name() == "vrrp_startup_delay" { "startup_delay" } else { "boot_delay" };
                match child.word(1).parse::<f64>() {
                    Ok(delay) if delay > 0.0 && delay <= 3600.0 => {
                        plan.delays.insert(key, delay);
                        ledger.carried(&child.at, format!("groups: {key}"));
                    }
                    _ => ledger.dropped(&child.at, "it is not a number of seconds up to an hour"),
                }
            }
            "vrrp_mcast_group4" | "vrrp_mcast_group6" => match child.word(1).parse::<IpAddr>() {
                Ok(group) => {
                    plan.multicast.insert(group.is_ipv6(), group);
                    ledger.carried(&child.at, "groups: multicast");
                }
                Err(_) => ledger.dropped(&child.at, "it is no address"),
            },
            "vrrp_down_timer_adverts" => match child.word(1).parse() {
                Ok(missed @ 1..=100) => {
                    plan.missed = Some(missed);
                    ledger.carried(&child.at, "groups: missed");
                }
                _ => ledger.dropped(&child.at, "it is not a number from 1 to 100"),
            },
            word if words::why_not(word).is_some() => {
                child.drop_all(ledger, words::why_not(word).unwrap_or(NO_WORD));
            }
            word if word.starts_with("vrrp_garp") || word.starts_with("vrrp_gna") => {
                announce::read(child, "groups:", &mut plan.announce, ledger);
            }
            _ => child.drop_all(ledger, NO_WORD),
        }
    }
}
