//! `vrrp_instance`.

use std::net::IpAddr;

use super::super::{Director, Node};
use super::plan::Plan;
use super::{NO_WORD, address, announce, bfd, moving, track, words};
use crate::draft::{Draft, list, quoted};
use crate::ledger::Ledger;

/// Takes an instance into its sync group, or into a group of its own.
pub(super) fn read(
    director: &Director,
    block: &Node,
    sync: Option<&str>,
    draft: &mut Draft,
    plan: &mut Plan,
    ledger: &mut Ledger,
) {
    let name = match sync {
        Some(name) => name.to_owned(),
        None => plan.group(draft, block.word(1)),
    };
    if let Some(group) = plan.find(&name) {
        group.wish(&director.name);
    }
    let here = format!("[group.{name}]");
    ledger.carried(&block.at, &here);
    let interface = block.child("interface").map_or("", |child| child.word(1)).to_owned();
    let addresses: Vec<_> = ["virtual_ipaddress", "virtual_ipaddress_excluded"]
        .iter()
        .filter_map(|name| block.child(name))
        .flat_map(|child| child.children.iter().filter_map(address::parse))
        .collect();
    let (network, doubt) = address::network(director, &interface, &addresses, draft);
    address::widen(&network, &addresses, draft);
    let has_addresses = block.child("virtual_ipaddress").is_some_and(|child| !child.children.is_empty());
    own_address(director, block, &network, &interface, draft);
    if let Some(group) = plan.find(&name)
        && !has_addresses
        && !group.heartbeat.contains(&network)
    {
        group.heartbeat.push(network.clone());
    }
    if let Some(peers) = block.child("unicast_peer").filter(|_| sync.is_some()) {
        ledger.approximated(&peers.at, format!("{here} unicast"), "on all networks of the group");
    }
    for child in &block.children {
        statement(director, block, child, &name, &network, &interface, draft, plan, ledger);
        if child.name() == "interface" {
            if let Some(doubt) = &doubt {
                ledger.approximated(&child.at, format!("[network.{network}]"), doubt);
            }
            if draft.is_on(&director.name, &network) {
                ledger.carried(&child.at, format!("[network.{network}]"));
            } else if let Some((ip, how)) = draft.make_up(&director.name, &network, Some(&interface)) {
                let how = match how {
                    Some(how) => format!("{ip} was taken for the address of {}: {how}", director.name),
                    None => {
                        format!(
                            "no file says the address of {} on {interface}: {ip} is made up",
                            director.name
                        )
                    }
                };
                ledger.approximated(&child.at, format!("[node.{}]", director.name), how);
            }
        }
        if !has_addresses && child.name() == "virtual_router_id" {
            ledger.approximated(
                &child.at,
                format!("{here} heartbeat"),
                "a network without addresses is watched by the directors' own channel, not by VRRP",
            );
        }
    }
}

/// What an instance says of the director's own address.
fn own_address(director: &Director, block: &Node, network: &str, interface: &str, draft: &mut Draft) {
    for name in ["unicast_src_ip", "mcast_src_ip"] {
        if let Some(ip) = block.child(name).and_then(|child| child.word(1).parse().ok())
            && draft.network_of(ip).is_some_and(|own| own.name == network)
        {
            draft.put(&director.name, network, ip, Some(interface));
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "a statement is about all that an instance knows")]
fn statement(
    director: &Director,
    block: &Node,
    child: &Node,
    name: &str,
    network: &str,
    interface: &str,
    draft: &mut Draft,
    plan: &mut Plan,
    ledger: &mut Ledger,
) {
    let here = format!("[group.{name}]");
    let at = &child.at;
    let Some(group) = plan.find(name) else { return };
    let value = child.word(1);
    let number = || value.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    match child.name() {
        "interface" => {}
        "state" => {
            group.wish(&director.name).is_master |= value.eq_ignore_ascii_case("MASTER");
            ledger.approximated(at, format!("{here} priority"), "who is first is told by priority alone")
        }
        "virtual_router_id" => match value.parse() {
            Ok(vrid) if vrid > 0 => {
                let is_heartbeat = group.heartbeat.iter().any(|own| own == network);
                if !is_heartbeat {
                    group.vrids.insert(network.to_owned(), vrid);
                    ledger.carried(at, format!("{here} vrid"));
                }
            }
            _ => ledger.dropped(at, "it is not a number from 1 to 255"),
        },
        "priority" => match value.parse::<u8>() {
            Ok(priority) => {
                let wanted = priority.clamp(1, 254);
                group.wish(&director.name).priority.get_or_insert_with(|| at.clone());
                let before = *group.priorities.entry(director.name.clone()).or_insert(wanted);
                if before != wanted {
                    let how = format!(
                        "the group has one priority on {}, that of its first instance: {before}",
                        director.name
                    );
                    ledger.approximated(at, format!("{here} priority"), how);
                } else if wanted != priority {
                    ledger.approximated(
                        at,
                        format!("{here} priority"),
                        format!("{wanted}: 255 is for owners of the address"),
                    );
                } else {
                    ledger.carried(at, format!("{here} priority"));
                }
            }
            Err(_) => ledger.dropped(at, "it is not a number from 1 to 255"),
        },
        "advert_int" => match number() {
            Some(seconds) => {
                let before = *group.advert.get_or_insert(seconds);
                if before.to_bits() == seconds.to_bits() {
                    ledger.carried(at, format!("{here} advert"));
                } else {
                    let how = format!("the group has one interval, that of its first instance: {before} s");
                    ledger.approximated(at, format!("{here} advert"), how);
                }
            }
            None => ledger.dropped(at, "it is not a number of seconds"),
        },
        "version" => {
            group.version = value.parse().ok();
            ledger.carried(at, format!("{here} version"));
        }
        "nopreempt" => {
            // keepalived: not beside priority 255.
            if block.child("priority").is_none_or(|one| one.word(1) != "255") {
                group.wish(&director.name).nopreempt.push(at.clone());
            } else {
                ledger.dropped(at, "keepalived takes it back beside priority 255");
            }
        }
        "preempt" => ledger.carried(at, format!("{here} preempt")),
        "preempt_delay" => match value.parse::<f64>() {
            Ok(0.0) => ledger.carried(at, format!("{here} preempt_delay, the default")),
            Ok(delay) if delay > 0.0 && delay <= 1000.0 => {
                group.wish(&director.name).delay.push((at.clone(), delay));
            }
            _ => ledger.dropped(at, "it is not a number of seconds up to 1000"),
        },
        "authentication" => authentication(child, &here, group, ledger),
        "virtual_ipaddress" | "virtual_ipaddress_excluded" => {
            ledger.carried(at, &here);
            let watched = child.name() == "virtual_ipaddress";
            address::read(child, name, network, interface, watched, draft, ledger);
        }
        "virtual_routes" => {
            ledger.carried(at, &here);
            for route in &child.children {
                moving::route(director, route, (interface, network), &here, name, draft, plan, ledger);
            }
        }
        "virtual_rules" => {
            ledger.carried(at, &here);
            for rule in &child.children {
                moving::rule(rule, &here, name, plan, ledger);
            }
        }
        "track_bfd" => bfd::read(director, child, name, plan, ledger),
        "track_interface" | "track_script" | "track_process" | "track_file" => {
            track::read(director, child, name, plan, ledger);
        }
        "unicast_src_ip" | "mcast_src_ip" => ledger.carried(at, format!("[node.{}] address", director.name)),
        "unicast_peer" => {
            group.is_unicast = true;
            child.carry_all(ledger, &format!("{here} unicast: the peers are the group's other directors"));
        }
        "unicast_ttl" => match value.parse() {
            Ok(ttl @ 1..=255) => {
                group.ttl = Some(ttl);
                ledger.carried(at, format!("{here} unicast"));
            }
            _ => ledger.dropped(at, "it is not a number from 1 to 255"),
        },
        "mcast_dst_ip" => match value.parse::<IpAddr>() {
            Ok(ip) => {
                group.multicast.insert(ip.is_ipv6(), ip);
                ledger.carried(at, format!("{here} multicast"));
            }
            Err(_) => ledger.dropped(at, "it is no address"),
        },
        "down_timer_adverts" => match value.parse() {
            Ok(missed @ 1..=100) => {
                let before = *group.missed.get_or_insert(missed);
                if before == missed {
                    ledger.carried(at, format!("{here} missed"));
                } else {
                    let how = format!("the group has one, that of its first instance: {before}");
                    ledger.approximated(at, format!("{here} missed"), how);
                }
            }
            _ => ledger.dropped(at, "it is not a number from 1 to 100"),
        },
        "use_vmac" => {
            group.has_virtual_mac = true;
            ledger.carried(at, format!("{here} mac = \"virtual\""));
        }
        "vmac_xmit_base" => ledger.approximated(
            at,
            format!("{here} mac"),
            "adverts leave from the virtual hardware address, with unicast from the interface's own",
        ),
        "no_accept" => {
            group.accepts_not = true;
            ledger.carried(at, format!("{here} accept = false"));
        }
        "accept" => ledger.carried(at, format!("{here} accept, the default")),
        "native_ipv6" => ledger.carried(at, "by the addresses themselves"),
        "dont_track_primary" => {
            ledger.dropped(
                at,
                "a director whose interface is down cannot hold the address: it always gives way",
            );
        }
        "debug" => ledger.dropped(at, "RELEVO_LOG=debug shows what happens"),
        word if words::why_not(word).is_some() => {
            child.drop_all(ledger, words::why_not(word).unwrap_or(NO_WORD));
        }
        word if word.starts_with("notify") => {
            let who = format!("INSTANCE {}", block.word(1));
            notify(child, name, &who, plan, ledger);
        }
        word if word.starts_with("garp_") || word.starts_with("gna_") => {
            announce::read(child, &here, &mut group.announce, ledger);
        }
        _ => child.drop_all(ledger, NO_WORD),
    }
}

fn authentication(child: &Node, here: &str, group: &mut super::plan::Group, ledger: &mut Ledger) {
    let kind = child.child("auth_type").map_or("PASS", |kind| kind.word(1)).to_owned();
    if !kind.eq_ignore_ascii_case("PASS") && kind != "1" {
        child.drop_all(ledger, "AH is not offered: `hmac` signs the adverts");
        return;
    }
    if let Some(password) = child.child("auth_pass") {
        // keepalived cuts it as well.
        let cut: String = password.word(1).chars().take(8).collect();
        if *group.password.get_or_insert_with(|| cut.clone()) != cut {
            let how = "the group has one password, that of its first instance";
            ledger.approximated(&password.at, format!("{here} password"), how);
        }
    }
    child.carry_all(ledger, &format!("{here} password"));
}

/// `notify`, `notify_master` and so on: the programs.
/// `who`: what keepalived tells of itself, as in `INSTANCE web`.
pub(super) fn notify(child: &Node, name: &str, who: &str, plan: &mut Plan, ledger: &mut Ledger) {
    let here = format!("[group.{name}] notify");
    // Behind the program, which is quoted with its arguments, may be a user and a group.
    let command = child.word(1);
    if child.words.len() > 2 {
        ledger.approximated(&child.at, &here, "it runs as the user that Relevo runs as");
    }
    let state = match child.name() {
        "notify" => {
            // The words that it is used to.
            let script = format!(
                "case $2 in active) s=MASTER;; backup) s=BACKUP;; fault) s=FAULT;; *) s=STOP;; esac; {command} {who} $s $3"
            );
            let value = list(["/bin/sh", "-c", script.as_str(), "notify"].iter().map(|word| quoted(word)));
            push_notify(plan, name, value);
            ledger.carried(&child.at, here);
            return;
        }
        "notify_master" => "active",
        "notify_backup" => "backup",
        "notify_fault" => "fault",
        "notify_stop" => "stop",
        _ => {
            child.drop_all(ledger, "there is no such event");
            return;
        }
    };
    // A shell that runs it in this state only. The words behind the script are GROUP, STATE, PRIORITY.
    let script = format!("case $2 in {state}) {command};; esac");
    let value = list(["/bin/sh", "-c", script.as_str(), "notify"].iter().map(|word| quoted(word)));
    push_notify(plan, name, value);
    ledger.carried(&child.at, here);
}

fn push_notify(plan: &mut Plan, name: &str, value: String) {
    if let Some(group) = plan.find(name)
        && !group.notify.contains(&value)
    {
        group.notify.push(value);
    }
}
