//! `track_interface`, `track_script`, `track_process`, `track_file`, and what they name.

use super::super::{Director, Node};
use super::plan::{Plan, seconds};
use crate::draft::{Table, key, list, quoted};
use crate::ledger::Ledger;

/// Takes the trackers of an instance or a sync group.
pub(super) fn read(director: &Director, block: &Node, group: &str, plan: &mut Plan, ledger: &mut Ledger) {
    ledger.carried(&block.at, format!("[group.{group}.track]"));
    for child in &block.children {
        let name = child.name();
        let safe: String =
            name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let here = format!("[group.{group}.track.{safe}]");
        let mut table = Table::new(format!("group.{}.track.{}", key(group), key(safe.trim_matches('-'))));
        let mut weight = option(child, "weight").and_then(|value| value.parse::<i32>().ok());
        let mut reverse = child.words.iter().any(|word| word == "reverse");
        if let Some(definition) = definition(director, &["vrrp_script", "vrrp_track_process"], name)
            && plan.has_balancer
            && watches_the_balancer(definition)
        {
            definition.drop_all(ledger, OWN_BALANCER);
            ledger.dropped(&child.at, OWN_BALANCER);
            continue;
        }
        let defined = match block.name() {
            "track_interface" => {
                table.set("interface", quoted(name));
                true
            }
            "track_script" => definition(director, &["vrrp_script"], name).is_some_and(|definition| {
                script(definition, &mut table, &mut weight, &here, ledger);
                true
            }),
            "track_process" => {
                definition(director, &["vrrp_track_process"], name).is_some_and(|definition| {
                    process(definition, &mut table, &mut weight, &here, ledger);
                    true
                })
            }
            _ => definition(director, &["track_file", "vrrp_track_file"], name).is_some_and(|definition| {
                file(definition, &mut table, &mut weight, &here, ledger);
                true
            }),
        };
        if !defined {
            ledger.dropped(&child.at, format!("`{name}` is defined nowhere"));
            continue;
        }
        if let Some(definition) =
            definition(director, &["vrrp_script", "vrrp_track_process", "track_file"], name)
        {
            reverse |= definition.child("weight").is_some_and(|one| one.word(2) == "reverse");
        }
        // 0 is keepalived's word for: the instance goes to fault.
        if let Some(weight) = weight.filter(|weight| *weight != 0) {
            table.set("weight", weight.clamp(-253, 253).to_string());
        }
        if reverse {
            table.set("reverse", "true");
        }
        ledger.carried(&child.at, here);
        if let Some(group) = plan.find(group) {
            group.add(table);
        }
    }
}

const OWN_BALANCER: &str = "HAProxy is gone: the balancer is Relevo's own, and a director whose services find no server gives way by itself (track_services)";

/// Whether a script or a process is there to see that HAProxy runs, which it will not do any more.
fn watches_the_balancer(definition: &Node) -> bool {
    let told = |child: &Node| {
        matches!(child.name(), "script" | "process")
            && child.words.iter().any(|word| word.contains("haproxy"))
    };
    definition.children.iter().any(told)
}

fn option<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    let at = node.words.iter().position(|word| word == name)?;
    node.words.get(at + 1).map(String::as_str)
}

fn definition<'a>(director: &'a Director, kinds: &[&str], name: &str) -> Option<&'a Node> {
    director.blocks.iter().find(|block| kinds.contains(&block.name()) && block.word(1) == name)
}

/// keepalived's own defaults are written out where Relevo's differ.
fn script(block: &Node, table: &mut Table, weight: &mut Option<i32>, here: &str, ledger: &mut Ledger) {
    ledger.carried(&block.at, here);
    for child in &block.children {
        let value = child.word(1);
        match child.name() {
            "script" => {
                let words: Vec<&str> =
                    child.words.iter().skip(1).flat_map(|word| word.split_whitespace()).collect();
                let shell = words.iter().any(|word| word.contains(['|', '&', ';', '$', '*', '<', '>', '`']));
                // What has no path keepalived looks for in PATH, as a shell does.
                let shell = shell || words.first().is_some_and(|program| !program.starts_with('/'));
                if let Some(process) = process_of(&words) {
                    table.set("process", quoted(process));
                    ledger.carried(&child.at, format!("{here}: /proc is looked at, no program is run"));
                    continue;
                }
                if shell {
                    let text = words.join(" ");
                    table.set(
                        "script",
                        list(["/bin/sh", "-c", text.as_str()].iter().map(|word| quoted(word))),
                    );
                } else {
                    table.set("script", list(words.iter().map(|word| quoted(word))));
                }
                ledger.carried(&child.at, here);
            }
            "timeout" if watches_a_process(block) => {
                ledger.carried(&child.at, format!("{here}: no program is run"));
            }
            "interval" | "timeout" => {
                if let Ok(number) = value.parse() {
                    table.set(child.name(), quoted(&seconds(number)));
                }
                ledger.carried(&child.at, here);
            }
            "rise" | "fall" => {
                table.set(child.name(), value);
                ledger.carried(&child.at, here);
            }
            "weight" => {
                *weight = weight.or(value.parse().ok());
                ledger.carried(&child.at, here);
            }
            "init_fail" => {
                table.set("at_start", "\"down\"");
                ledger.carried(&child.at, here);
            }
            "user" => ledger.dropped(&child.at, "programs run as the user that Relevo runs as"),
            _ => child.drop_all(ledger, "there is no word for it"),
        }
    }
    // A timeout is at most the interval; keepalived's own are 1 s and the interval.
    let told = |name: &str| block.child(name).and_then(|child| child.word(1).parse::<f64>().ok());
    let interval = told("interval").unwrap_or(1.0);
    let timeout = told("timeout").filter(|timeout| *timeout > interval && !watches_a_process(block));
    if let Some(timeout) = timeout {
        table.set("timeout", quoted(&seconds(interval)));
        if let Some(child) = block.child("timeout") {
            let how = format!("{timeout} s is longer than the interval: {interval} s");
            ledger.approximated(&child.at, here, how);
        }
    }
}

/// The process that a script looks for and does no more: `killall -0 NAME`, `pidof NAME`, `pgrep -x NAME`.
fn process_of<'a>(words: &[&'a str]) -> Option<&'a str> {
    let (program, arguments) = words.split_first()?;
    let program = program.rsplit('/').next().unwrap_or_default();
    let (("killall", ["-0", name]) | ("pidof", [name]) | ("pgrep", ["-x", name])) = (program, arguments)
    else {
        return None;
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    (!name.starts_with('-') && name.chars().all(plain)).then_some(name)
}

fn watches_a_process(block: &Node) -> bool {
    let words: Vec<&str> = block
        .child("script")
        .into_iter()
        .flat_map(|script| script.words.iter().skip(1))
        .flat_map(|word| word.split_whitespace())
        .collect();
    process_of(&words).is_some()
}

fn process(block: &Node, table: &mut Table, weight: &mut Option<i32>, here: &str, ledger: &mut Ledger) {
    ledger.carried(&block.at, here);
    for child in &block.children {
        match child.name() {
            "process" => {
                table.set("process", quoted(child.word(1)));
                if child.words.len() > 2 {
                    ledger.approximated(&child.at, here, "without the process's arguments");
                } else {
                    ledger.carried(&child.at, here);
                }
            }
            "weight" => {
                *weight = weight.or(child.word(1).parse().ok());
                ledger.carried(&child.at, here);
            }
            "delay" | "terminate_delay" | "fork_delay" => {
                if let Ok(number) = child.word(1).parse() {
                    table.set("delay", quoted(&seconds(number)));
                }
                ledger.approximated(&child.at, here, "one `delay` for both ways");
            }
            "quorum" | "quorum_max" => {
                ledger.dropped(&child.at, "one process that runs is enough: count them in a `script`");
            }
            "param_match" | "full_command" => {
                ledger.dropped(&child.at, "a process goes by its name or its program's path");
            }
            _ => child.drop_all(ledger, "there is no word for it"),
        }
    }
}

fn file(block: &Node, table: &mut Table, weight: &mut Option<i32>, here: &str, ledger: &mut Ledger) {
    ledger.carried(&block.at, here);
    // keepalived multiplies the file's number by 1 unless told otherwise.
    *weight = weight.or(Some(1));
    for child in &block.children {
        match child.name() {
            "file" => {
                table.set("file", quoted(child.word(1)));
                ledger.carried(&child.at, here);
            }
            "weight" => {
                *weight = child.word(1).parse().ok();
                ledger.carried(&child.at, here);
            }
            "init_file" => ledger.dropped(&child.at, "the file is made by whoever writes to it"),
            _ => child.drop_all(ledger, "there is no word for it"),
        }
    }
}
