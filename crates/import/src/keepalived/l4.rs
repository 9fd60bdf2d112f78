//! `virtual_server`: balancing by IPVS.
//!
//! All directors have the same; those of the first one count, and the others' are told to be the same or not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::checker::{self, Checker};
use super::{Director, Node};
use crate::draft::Draft;
use crate::l4::{self, Check, Made, Probe, Real, Virtual};
use crate::ledger::{At, Ledger};

/// Takes the virtual servers of all directors.
pub(crate) fn map(directors: &[Director], draft: &mut Draft, ledger: &mut Ledger) {
    let mut made: BTreeMap<Vec<String>, (Node, Made)> = BTreeMap::new();
    for director in directors {
        for block in &director.blocks {
            match block.name() {
                "virtual_server" => {
                    if let Some((first, made)) = made.get(&block.words) {
                        again(block, first, made, ledger);
                    } else if let Some(one) = server(block, director, draft, ledger) {
                        made.insert(block.words.clone(), (block.clone(), one));
                    }
                }
                "virtual_server_group" => {
                    ledger.carried(&block.at, "the services that use it");
                    for child in &block.children {
                        match place(child, 0, None) {
                            Some(_) => ledger.carried(&child.at, "listen of the services that use it"),
                            None => {
                                child.drop_all(ledger, "it is no address with a port: write each by itself")
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// The same of another director.
fn again(block: &Node, first: &Node, made: &Made, ledger: &mut Ledger) {
    let to = format!("[{}]", made.service);
    if same(block, first) {
        for (one, other) in block.lines().iter().zip(first.lines()) {
            if ledger.is_settled(one) {
                continue;
            }
            ledger.same_as(one, other);
        }
    } else {
        ledger.carried(&block.at, to);
        for child in &block.children {
            child.drop_all(ledger, "all directors run one file: that of the first counts");
        }
    }
}

fn same(one: &Node, other: &Node) -> bool {
    one.words == other.words
        && one.children.len() == other.children.len()
        && one.children.iter().zip(&other.children).all(|(one, other)| same(one, other))
}

fn server(block: &Node, director: &Director, draft: &mut Draft, ledger: &mut Ledger) -> Option<Made> {
    let places = match places(block, director) {
        Ok(places) => places,
        Err(why) => {
            block.drop_all(ledger, &why);
            return None;
        }
    };
    let find = |name: &str| block.child(name).map(|child| child.word(1).to_owned());
    let number = |name: &str| {
        find(name).and_then(|text| text.parse::<f64>().ok()).filter(|n| n.is_finite() && *n >= 0.0)
    };
    let protocol = find("protocol").map(|text| text.to_ascii_lowercase());
    if protocol.as_deref() == Some("sctp") {
        block.drop_all(ledger, "services speak TCP or UDP, not SCTP");
        return None;
    }
    // keepalived's default.
    let udp = protocol.as_deref() != Some("tcp");
    let mut reals = Vec::new();
    // Checkers that are not the first one's.
    let mut others = Vec::new();
    let mut check: Option<Checker> = None;
    for child in block.children.iter().filter(|child| child.name() == "real_server") {
        let Some((ip, port)) = place(child, 1, places.first().map(|(_, port)| *port)) else {
            child.drop_all(ledger, "it is no address with a port");
            continue;
        };
        let own = |name: &str| child.child(name).and_then(|one| one.word(1).parse::<u32>().ok());
        let mut real = Real {
            at: child.at.clone(),
            ip,
            port,
            weight: own("weight"),
            most: own("uthreshold"),
            check_port: None,
        };
        for one in &child.children {
            if let Some(found) = checker::probe(one, child, block, &mut real)
                && *check.get_or_insert_with(|| found.clone()) != found
            {
                others.push(one.at.clone());
                real.check_port = None;
            }
        }
        reals.push(real);
    }
    let check = check.unwrap_or(Checker { probe: Probe::None, timeout: None, retries: 0, again: None });
    let of_server = block.children.iter().find_map(|child| child.child("delay_loop"));
    let of_server =
        of_server.and_then(|one| one.word(1).parse().ok()).filter(|n: &f64| n.is_finite() && *n > 0.0);
    let interval = millis(of_server.or_else(|| number("delay_loop")).unwrap_or(60.0)).max(10);
    let one = Virtual {
        places,
        udp,
        // keepalived's default.
        scheduler: find("lb_algo").or_else(|| find("lvs_sched")).or_else(|| Some("wlc".to_owned())),
        persistent: block.child("persistence_timeout").map(|child| child.word(1).parse().unwrap_or(360)),
        reals,
        fallback: block.child("sorry_server").and_then(|child| place(child, 1, None)),
        check: Check {
            probe: check.probe,
            interval,
            // A failed check is made again after this time, so often, before the server counts as down.
            fast: check.again,
            timeout: check.timeout.unwrap_or(5000),
            rise: 1,
            fall: check.retries.saturating_add(1),
        },
        cuts: false,
        direct: method(block).is_some_and(|way| way.eq_ignore_ascii_case("dr")),
    };
    match l4::put(&one, draft) {
        Ok(made) => {
            told(block, &one, &made, &others, ledger);
            Some(made)
        }
        Err(why) => {
            block.drop_all(ledger, &why);
            None
        }
    }
}

/// `NAT`, `DR` or `TUN`.
fn method(block: &Node) -> Option<&str> {
    let child = block.child("lb_kind").or_else(|| block.child("lvs_method"))?;
    Some(child.word(1))
}

pub(super) fn millis(seconds: f64) -> u64 {
    let millis = (seconds * 1000.0).clamp(0.0, 86_400_000.0);
    // Within the bounds above.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a day")]
    let whole = millis.round() as u64;
    whole
}

fn place(node: &Node, at: usize, usual: Option<u16>) -> Option<(IpAddr, u16)> {
    let ip = node.word(at).parse().ok()?;
    let port = match node.word(at + 1) {
        "" => usual?,
        text => l4::port(text)?,
    };
    Some((ip, port))
}

fn places(block: &Node, director: &Director) -> Result<Vec<(IpAddr, u16)>, String> {
    match block.word(1) {
        "fwmark" => Err("a firewall mark is no place to listen at: name its addresses and ports".to_owned()),
        "group" => {
            let is_it = |one: &&Node| one.name() == "virtual_server_group" && one.word(1) == block.word(2);
            let group = director.blocks.iter().find(is_it).ok_or("its group is defined nowhere")?;
            let all: Vec<(IpAddr, u16)> =
                group.children.iter().filter_map(|child| place(child, 0, None)).collect();
            if all.is_empty() { Err("its group has no address with a port".to_owned()) } else { Ok(all) }
        }
        _ => match place(block, 1, None) {
            Some((ip, port)) => Ok(vec![(ip, port)]),
            None => Err("it is no address with a port".to_owned()),
        },
    }
}

fn told(block: &Node, one: &Virtual, made: &Made, others: &[At], ledger: &mut Ledger) {
    let (service, pool) = (format!("[{}]", made.service), format!("[{}]", made.pool));
    if block.child("protocol").is_none() {
        ledger.approximated(
            &block.at,
            format!("{service} mode"),
            "UDP: so keepalived does without `protocol`",
        );
    }
    if made.assumed.is_empty() {
        ledger.carried(&block.at, format!("{service} listen"));
    } else {
        ledger.approximated(&block.at, format!("{service} listen"), made.assumed.join("; "));
    }
    for child in &block.children {
        let at = &child.at;
        match child.name() {
            "lb_algo" | "lvs_sched" => match l4::balance(child.word(1)).1 {
                Some(how) => ledger.approximated(at, format!("{pool} balance"), how),
                None => ledger.carried(at, format!("{pool} balance")),
            },
            "lb_kind" | "lvs_method" if child.word(1).eq_ignore_ascii_case("nat") => {
                ledger.carried(at, format!("{service}: answers go through the director"));
            }
            "lb_kind" | "lvs_method" if one.direct && made.obstacle.is_none() => {
                ledger.carried(at, format!("{service} forward = \"direct\""));
            }
            "lb_kind" | "lvs_method" => {
                let why = made.obstacle.as_ref().map_or(String::new(), |why| format!(": {why}"));
                ledger.approximated(at, &service, format!("answers go through the director here{why}"));
            }
            "protocol" => ledger.carried(at, format!("{service} mode")),
            "persistence_timeout" => ledger.carried(at, format!("{pool} affinity")),
            "persistence_granularity" => ledger.dropped(at, "each client address stays by itself"),
            "delay_loop" => ledger.carried(at, format!("{pool} check")),
            "virtualhost" => ledger.carried(at, format!("{pool} check")),
            "sorry_server" if one.fallback.is_some() => ledger.carried(at, format!("{pool} fallback")),
            "real_server" if one.reals.iter().any(|real| real.at == *at) => {
                real(child, &pool, one, others, ledger)
            }
            "real_server" => {}
            "quorum" | "quorum_up" | "quorum_down" | "hysteresis" => {
                child.drop_all(ledger, "a service works while one server does");
            }
            "alpha" | "omega" | "ha_suspend" => {
                ledger.dropped(
                    at,
                    "a server gets nothing before its check says that it is up, on each director",
                );
            }
            "ops" => ledger.dropped(at, "datagrams of a client keep their server for as long as they come"),
            "retry" | "delay_before_retry" | "connect_timeout" => {
                ledger.carried(at, format!("{pool} check, of those that do not say it themselves"));
            }
            "warmup" => ledger.dropped(at, checker::WARMUP),
            _ => child.drop_all(ledger, "there is no word for it"),
        }
    }
}

fn real(node: &Node, pool: &str, of: &Virtual, others: &[At], ledger: &mut Ledger) {
    let counts = &of.check.probe;
    ledger.carried(&node.at, format!("{pool} server"));
    for child in &node.children {
        let at = &child.at;
        match child.name() {
            "weight" => match l4::weight(of, child.word(1).parse().ok()).1 {
                Some(how) => ledger.approximated(at, format!("{pool} server"), how),
                None => ledger.carried(at, format!("{pool} server")),
            },
            "uthreshold" => ledger.carried(at, format!("{pool} server")),
            "delay_loop" | "retry" | "delay_before_retry" | "connect_timeout" | "virtualhost" => {
                ledger.carried(at, format!("{pool} check"));
            }
            "warmup" => ledger.dropped(at, checker::WARMUP),
            "inhibit_on_failure" => {
                ledger.carried(at, format!("{pool} on_marked_down = \"retry\", the default"))
            }
            "notify_up" | "notify_down" => {
                ledger.dropped(at, "servers have no events that run programs: watch the metrics")
            }
            name if name.ends_with("_CHECK") || name.ends_with("_GET") => {
                let to = format!("{pool} check");
                match (name, counts) {
                    ("SMTP_CHECK" | "DNS_CHECK" | "BFD_CHECK" | "FILE_CHECK", _) => {
                        ledger.approximated(
                            at,
                            &to,
                            "only that it can be connected: write a `script` or a `command`",
                        );
                        for one in &child.children {
                            one.drop_all(ledger, "only that it can be connected is looked at");
                        }
                    }
                    _ if others.contains(at) => {
                        let how = "a pool has one check: that of its first server";
                        ledger.approximated(at, &to, how);
                        for one in &child.children {
                            one.drop_all(ledger, how);
                        }
                    }
                    _ => {
                        ledger.carried(at, &to);
                        let mut urls = 0;
                        for one in &child.children {
                            urls += usize::from(one.name() == "url");
                            if one.name() == "url" && urls > 1 {
                                one.drop_all(ledger, "a check is one request: that of the first `url`");
                            } else {
                                checker::told(
                                    one,
                                    &to,
                                    of.check.fast.map(|fast| fast.min(of.check.interval)),
                                    ledger,
                                );
                            }
                        }
                    }
                }
            }
            _ => child.drop_all(ledger, "there is no word for it"),
        }
    }
}
