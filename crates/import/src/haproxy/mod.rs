//! haproxy.cfg: frontends become services, backends pools, a `listen` both.
//!
//! ```text
//!   text ──parse──► sections of words ──► proxies with the lines of their defaults ──front──► [service] and its rules
//!                                                                                  ├──back, check──► [pool] and its servers
//!                                                                                  └──stats, global──► [stats], [users], [log]
//! ```
//! Source: HAProxy 3.0 Configuration Manual. A line of `defaults` has its account once, for all proxies that it is for.

mod back;
mod check;
mod choose;
mod condition;
mod front;
mod global;
mod parse;
mod rules;
mod stats;
mod statuses;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::Input;
use crate::balancer::endpoint;
use crate::draft::{Draft, Table, quoted};
use crate::ledger::Ledger;
use parse::{Line, Section};

/// What sections are called in the cluster file.
#[derive(Debug, Default)]
struct Names {
    /// By kind and name.
    services: BTreeMap<(String, String), String>,
    pools: BTreeMap<String, String>,
    /// Backends that add X-Forwarded-For.
    forwarding: BTreeSet<String>,
    /// What servers' names have in common, by address.
    stems: BTreeMap<IpAddr, String>,
}

impl Names {
    fn pool(&self, name: &str) -> Option<String> {
        self.pools.get(name).cloned()
    }
}

/// Takes a file.
pub(crate) fn map(input: &Input, draft: &mut Draft, ledger: &mut Ledger) {
    let sections = parse::sections(input, ledger);
    let proxies: Vec<(&Section, Vec<Line>)> = sections
        .iter()
        .enumerate()
        .filter(|(_, section)| matches!(section.kind.as_str(), "frontend" | "backend" | "listen"))
        .map(|(index, section)| (section, effective(&sections, index)))
        .collect();
    let mut names = Names::default();
    for (section, lines) in &proxies {
        let has_servers = lines.iter().any(|line| line.word(0) == "server");
        if is_statistics(section, lines) {
            continue;
        }
        if section.kind != "backend" {
            let key = (section.kind.clone(), section.name.clone());
            names.services.entry(key).or_insert_with(|| draft.fresh("service", &section.name));
        }
        if section.kind != "frontend" && has_servers && !names.pools.contains_key(&section.name) {
            let name = draft.fresh("pool", &section.name);
            names.pools.insert(section.name.clone(), name);
        }
    }
    let forwards =
        |lines: &[Line]| lines.iter().any(|line| line.word(0) == "option" && line.word(1) == "forwardfor");
    let backends = proxies.iter().filter(|(section, lines)| section.kind == "backend" && forwards(lines));
    names.forwarding = backends.map(|(section, _)| section.name.clone()).collect();
    stems(&proxies, &mut names);
    let mut users = BTreeMap::new();
    let mut page = stats::Stats::default();
    for section in &sections {
        match section.kind.as_str() {
            "global" => global::global(section, draft, ledger),
            "userlist" => global::users(section, &mut users, draft, ledger),
            "defaults" => ledger.carried(&section.at, "every service and pool that it is for"),
            "frontend" | "backend" | "listen" => {}
            _ => global::other(section, ledger),
        }
    }
    let before = draft.tables.len();
    for (section, lines) in &proxies {
        let mode = lines.iter().rev().find(|line| line.word(0) == "mode").map_or("tcp", |line| line.word(1));
        let mode = if mode == "http" { "http" } else { "tcp" };
        if is_statistics(section, lines) {
            stats::section(section, lines, &mut page, draft, ledger);
            continue;
        }
        if section.kind != "backend" {
            front::map(section, lines, &names, mode, draft, ledger);
        }
        if section.kind != "frontend" {
            if names.pools.contains_key(&section.name) {
                back::map(section, lines, &names, mode, draft, ledger);
            } else if section.kind == "backend" {
                ledger.dropped(&section.at, "it has no server");
            }
        }
        for line in lines.iter().filter(|line| !line.inherited) {
            global::leftover(line, draft, ledger);
        }
    }
    for section in sections.iter().filter(|section| section.kind == "defaults") {
        for line in &section.lines {
            global::leftover(line, draft, ledger);
        }
    }
    // Rules name lists of users as HAProxy does.
    for table in draft.tables.iter_mut().skip(before) {
        if let Some(value) = table.find("basic_auth").map(str::to_owned) {
            for (old, new) in &users {
                if value.starts_with(&format!("{{ users = {}", quoted(old))) {
                    table.set("basic_auth", value.replacen(&quoted(old), &quoted(new), 1));
                }
            }
        }
    }
    stats::finish(page, draft);
    without_servers(draft);
}

/// The lines of a section, those of its defaults first.
fn effective(sections: &[Section], index: usize) -> Vec<Line> {
    let section = &sections[index];
    let mut lines = Vec::new();
    let mut of = match &section.from {
        Some(name) => sections.iter().position(|one| one.kind == "defaults" && one.name == *name),
        None => sections[..index].iter().rposition(|one| one.kind == "defaults"),
    };
    let mut depth = 0;
    let mut chain = Vec::new();
    while let Some(at) = of.filter(|_| depth < 8) {
        chain.push(at);
        depth += 1;
        of = sections[at].from.as_ref().and_then(|name| {
            sections[..at].iter().position(|one| one.kind == "defaults" && one.name == *name)
        });
    }
    for at in chain.into_iter().rev() {
        lines.extend(sections[at].lines.iter().cloned());
    }
    // `no option X` in a section takes back what its defaults say.
    let taken_back = |line: &Line| {
        section
            .lines
            .iter()
            .any(|own| own.word(0) == "no" && own.words.get(1..) == line.words.get(..2.min(line.words.len())))
    };
    lines.retain(|line: &Line| !(line.word(0) == "option" && taken_back(line)));
    lines.extend(section.lines.iter().cloned());
    lines
}

/// Whether a section serves the statistics page and nothing else.
fn is_statistics(section: &Section, lines: &[Line]) -> bool {
    let own = |word: &str| section.lines.iter().any(|line| line.word(0) == word);
    let serves = lines
        .iter()
        .any(|line| !line.inherited && matches!(line.word(0), "server" | "default_backend" | "use_backend"));
    section.kind != "backend" && own("stats") && !serves
}

/// `here`, or for a line of defaults what it is for.
fn here(line: &Line, to: &str, all: &str) -> String {
    if line.inherited { format!("{all}:") } else { to.to_owned() }
}

/// What the names of servers with one address have in common, if that is theirs alone.
fn stems(proxies: &[(&Section, Vec<Line>)], names: &mut Names) {
    let mut of: BTreeMap<IpAddr, String> = BTreeMap::new();
    for line in proxies.iter().flat_map(|(_, lines)| lines).filter(|line| line.word(0) == "server") {
        let Some((ip, _)) = endpoint(line.word(2)) else { continue };
        let name = line.word(1);
        of.entry(ip)
            .and_modify(|stem| {
                let common: String = stem
                    .chars()
                    .zip(name.chars())
                    .take_while(|(one, other)| one == other)
                    .map(|(one, _)| one)
                    .collect();
                *stem = common.trim_end_matches(['-', '_', '.', ':']).to_owned();
            })
            .or_insert_with(|| name.to_owned());
    }
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for stem in of.values() {
        *count.entry(stem.clone()).or_default() += 1;
    }
    names.stems =
        of.into_iter().filter(|(_, stem)| !stem.is_empty() && count.get(stem) == Some(&1)).collect();
}

/// Pools whose servers could not be told are left out, with what names them.
fn without_servers(draft: &mut Draft) {
    let has_server = |header: &str, tables: &[Table]| {
        tables.iter().any(|table| table.header.starts_with(&format!("{header}.server.")))
    };
    let empty: Vec<String> = draft
        .tables
        .iter()
        .filter(|table| table.header.starts_with("pool.") && !table.header.contains(".server."))
        .filter(|table| !has_server(&table.header, &draft.tables))
        .map(|table| table.header.clone())
        .collect();
    draft.tables.retain(|table| !empty.contains(&table.header));
}
