//! VRRP: sync groups and instances become groups and addresses.
//!
//! An instance of one name, or else of one virtual router id on one interface, is the same on all directors; each brings its own
//! priority. What keepalived says for each instance and Relevo for a whole group is taken from the first, and told if another one
//! differs.

mod address;
mod announce;
mod instance;
mod plan;
mod track;

use std::collections::BTreeMap;

use super::{Director, Node};
use crate::draft::Draft;
use crate::ledger::Ledger;
use plan::Plan;

/// The groups of all directors.
pub(crate) fn map(directors: &[Director], draft: &mut Draft, ledger: &mut Ledger) {
    let mut plan = Plan::default();
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
                _ => {}
            }
        }
    }
    plan.finish(draft);
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
                "track_interface" | "track_script" | "track_process" | "track_file" => {
                    track::read(director, child, &name, plan, ledger);
                }
                word if word.starts_with("notify") => instance::notify(child, &name, plan, ledger),
                "smtp_alert" | "smtp_alerts" => child.drop_all(ledger, NO_MAIL),
                "global_tracking" | "sync_group_tracking_weight" => {
                    ledger.carried(&child.at, format!("{here}: trackers are of the whole group"));
                }
                _ => child.drop_all(ledger, "there is no word for it"),
            }
        }
    }
    of
}

const NO_MAIL: &str = "Relevo sends no mail: run a program with `notify`, or watch the log or the metrics";

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
            "notification_email"
            | "notification_email_from"
            | "smtp_server"
            | "smtp_connect_timeout"
            | "smtp_alert"
            | "smtp_alert_vrrp"
            | "smtp_alert_checker"
            | "smtp_helo_name" => {
                child.drop_all(ledger, NO_MAIL);
            }
            "script_user" | "enable_script_security" => {
                ledger.dropped(&child.at, "programs run as the user that Relevo runs as, without a shell");
            }
            word if word.starts_with("vrrp_garp") || word.starts_with("vrrp_gna") => {
                announce::read(child, "groups:", &mut plan.announce, ledger);
            }
            word if word.starts_with("lvs_") => {
                ledger.dropped(&child.at, "the balancer is Relevo's own, not IPVS");
            }
            word if word.contains("priority") || word.contains("no_swap") || word.contains("rt_") => {
                ledger.dropped(&child.at, "the director's thread has its own precautions against being late");
            }
            _ => child.drop_all(ledger, "there is no word for it"),
        }
    }
}
