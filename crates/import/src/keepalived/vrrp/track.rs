//! `track_interface`, `track_script`, `track_process`, `track_file`, and what they name.

use super::super::command;
use super::super::{Director, Node};
use super::plan::{Group, Plan, seconds};
use crate::draft::{Draft, Table, key, list, quoted};
use crate::ledger::{At, Ledger};

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
        if block.name() == "track_interface" {
            let watched = Interface {
                node: director.name.clone(),
                name: name.to_owned(),
                safe: safe.trim_matches('-').to_owned(),
                weight: weight.filter(|weight| *weight != 0).map(|weight| weight.clamp(-253, 253)),
                reverse,
                at: child.at.clone(),
            };
            if let Some(group) = plan.find(group) {
                group.watched.push(watched);
            }
            continue;
        }
        let defined = match block.name() {
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
        if let Some(group) = plan.find(group) {
            group.track(&director.name, table, &child.at, &here, ledger);
        }
    }
}

/// An interface that a director watches.
#[derive(Debug)]
pub(super) struct Interface {
    node: String,
    name: String,
    /// What a tracker of it may be called.
    safe: String,
    weight: Option<i32>,
    reverse: bool,
    at: At,
}

impl Group {
    /// Adds a director's tracker: the first one of a name counts.
    fn track(&mut self, node: &str, table: Table, at: &At, here: &str, ledger: &mut Ledger) {
        match self.tables.iter().find(|one| one.header == table.header) {
            Some(first) if *first != table => {
                ledger.approximated(at, here, "all directors look alike: as the first file says");
            }
            _ => ledger.carried(at, here),
        }
        self.looked_at.entry(table.header.clone()).or_default().push((node.to_owned(), at.clone()));
        if !self.tables.iter().any(|one| one.header == table.header) {
            self.tables.push(table);
        }
    }

    /// Interfaces go by their network where it is known: they may be called otherwise on another director.
    pub(super) fn watch_interfaces(&mut self, draft: &Draft, ledger: &mut Ledger) {
        for one in std::mem::take(&mut self.watched) {
            let network = draft.interface_network(&one.node, &one.name);
            let name = network.as_ref().unwrap_or(&one.safe).clone();
            let here = format!("[group.{}.track.{name}]", self.name);
            let mut table = Table::new(format!("group.{}.track.{}", key(&self.name), key(&name)));
            match &network {
                Some(network) => table.set("link", quoted(network)),
                None => table.set("interface", quoted(&one.name)),
            }
            if let Some(weight) = one.weight {
                table.set("weight", weight.to_string());
            }
            if one.reverse {
                table.set("reverse", "true");
            }
            self.track(&one.node, table, &one.at, &here, ledger);
        }
    }

    /// Tells of trackers that stand in the files of some directors only.
    pub(super) fn trackers_are_everybodys(&self, ledger: &mut Ledger) {
        for (header, said) in &self.looked_at {
            let missing: Vec<&str> = self
                .wishes
                .iter()
                .map(|wish| wish.node.as_str())
                .filter(|node| !said.iter().any(|(own, _)| own == node))
                .collect();
            if missing.is_empty() {
                continue;
            }
            for (_, at) in said {
                let how = format!("{} looks too, whose file does not say it", missing.join(", "));
                ledger.approximated(at, format!("[{header}]"), how);
            }
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
                let words = command::arguments(&command::text(child));
                if let Some(process) = process_of(&words) {
                    table.set("process", quoted(process));
                    ledger.carried(&child.at, format!("{here}: /proc is looked at, no program is run"));
                    continue;
                }
                table.set("script", list(command::of(child, None).iter().map(|word| quoted(word))));
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
fn process_of(words: &[String]) -> Option<&str> {
    let (program, arguments) = words.split_first()?;
    let program = program.rsplit('/').next().unwrap_or_default();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (("killall", ["-0", name]) | ("pidof", [name]) | ("pgrep", ["-x", name])) =
        (program, arguments.as_slice())
    else {
        return None;
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    (!name.starts_with('-') && name.chars().all(plain)).then_some(name)
}

fn watches_a_process(block: &Node) -> bool {
    let words = block.child("script").map(|script| command::arguments(&command::text(script)));
    words.is_some_and(|words| process_of(&words).is_some())
}

fn process(block: &Node, table: &mut Table, weight: &mut Option<i32>, here: &str, ledger: &mut Ledger) {
    ledger.carried(&block.at, here);
    // Until it is up, until it is down.
    let mut delays: (Option<f64>, Option<f64>) = (None, None);
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
            "delay" | "terminate_delay" | "fork_delay" => match child.word(1).parse::<f64>() {
                Ok(number) if (0.0..=3600.0).contains(&number) => {
                    let (both, up) = (child.name() == "delay", child.name() == "fork_delay");
                    for (wanted, delay) in [(both || up, &mut delays.0), (both || !up, &mut delays.1)] {
                        if wanted {
                            *delay = Some(number);
                        }
                    }
                    ledger.carried(&child.at, here);
                }
                _ => ledger.dropped(&child.at, "it is not a number of seconds up to an hour"),
            },
            "quorum" | "quorum_max" => {
                ledger.dropped(&child.at, "one process that runs is enough: count them in a `script`");
            }
            "param_match" | "full_command" => {
                ledger.dropped(&child.at, "a process goes by its name or its program's path");
            }
            _ => child.drop_all(ledger, "there is no word for it"),
        }
    }
    let told = |delay: Option<f64>| delay.filter(|delay| *delay > 0.0).map(|delay| quoted(&seconds(delay)));
    match (told(delays.0), told(delays.1)) {
        (None, None) => {}
        (Some(up), Some(down)) if up == down => table.set("delay", up),
        (up, down) => {
            let pairs = [("up", up), ("down", down)];
            let pairs = pairs.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}", value?)));
            table.set("delay", format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", ")));
        }
    }
}

fn file(block: &Node, table: &mut Table, weight: &mut Option<i32>, here: &str, ledger: &mut Ledger) {
    ledger.carried(&block.at, here);
    // What stands where it is used counts; keepalived multiplies the file's number by 1 unless told otherwise.
    let own = block.child("weight").and_then(|child| child.word(1).parse().ok());
    *weight = weight.or(own).or(Some(1));
    let lowers = weight.is_some_and(|weight| weight <= 0);
    for child in &block.children {
        match child.name() {
            "file" => {
                table.set("file", quoted(child.word(1)));
                if lowers {
                    let how = "a file that is not there counts as down here, and as 0 there";
                    ledger.approximated(&child.at, here, how);
                } else {
                    ledger.carried(&child.at, here);
                }
            }
            "weight" => ledger.carried(&child.at, here),
            "init_file" => ledger.dropped(&child.at, "the file is made by whoever writes to it"),
            _ => child.drop_all(ledger, "there is no word for it"),
        }
    }
}
