//! dnsmasq.conf: leases and names of the internal network.
//!
//! Read in two steps: [`read`] first, so that other files' addresses get the names that it tells; [`map`] when all networks, nodes
//! and virtual addresses are known. Source: dnsmasq(8).

mod options;
mod words;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::Input;
use crate::draft::{Draft, Table, key, list, quoted};
use crate::ledger::{At, Ledger};
use words::{Host, reason};

/// A directive.
#[derive(Clone, Debug)]
struct Word {
    at: At,
    name: String,
    value: String,
}

impl Word {
    /// Parts between commas.
    fn parts(&self) -> Vec<&str> {
        self.value.split(',').map(str::trim).collect()
    }
}

/// A file's directives.
#[derive(Debug)]
pub(crate) struct Parsed {
    words: Vec<Word>,
}

/// Reads a file, and tells the names that it has for addresses.
pub(crate) fn read(input: &Input, draft: &mut Draft, ledger: &mut Ledger) -> Parsed {
    let file = ledger.open_file(&input.path);
    let mut words = Vec::new();
    for (index, raw) in input.text.lines().enumerate() {
        let at = At { file: file.clone(), line: index + 1 };
        let line = without_comment(raw).trim();
        if line.is_empty() {
            continue;
        }
        ledger.open(&at, raw);
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        words.push(Word {
            at,
            name: name.trim().to_owned(),
            value: value.trim().trim_matches('"').to_owned(),
        });
    }
    for word in &words {
        match word.name.as_str() {
            "dhcp-host" => {
                let host = Host::of(word);
                if let (Some(ip), Some(name)) = (host.ip, host.name) {
                    draft.hosts.insert(IpAddr::V4(ip), name);
                }
            }
            "host-record" => {
                let parts = word.parts();
                let ip = parts.iter().find_map(|part| part.parse::<IpAddr>().ok());
                if let (Some(ip), Some(name)) = (ip, parts.first()) {
                    draft
                        .hosts
                        .entry(ip)
                        .or_insert_with(|| name.split('.').next().unwrap_or_default().to_owned());
                }
            }
            _ => {}
        }
    }
    Parsed { words }
}

fn without_comment(line: &str) -> &str {
    let at = line
        .char_indices()
        .zip(std::iter::once(' ').chain(line.chars()))
        .find(|((_, letter), before)| *letter == '#' && before.is_whitespace());
    at.map_or(line, |((at, _), _)| &line[..at])
}

/// What becomes tables at the end.
#[derive(Debug, Default)]
struct Plan {
    /// By network.
    dhcp: BTreeMap<String, Table>,
    hosts: Vec<Table>,
    options: BTreeMap<String, Vec<(u8, String)>>,
    domain: Option<String>,
    listens: Vec<String>,
    forwards: Vec<String>,
    records: Vec<(String, String)>,
    no_dns: bool,
}

/// Puts leases and names into the cluster file.
pub(crate) fn map(parsed: &Parsed, draft: &mut Draft, ledger: &mut Ledger) {
    let mut plan = Plan::default();
    let value =
        |name: &str| parsed.words.iter().find(|word| word.name == name).map(|word| word.value.as_str());
    plan.no_dns = value("port") == Some("0");
    plan.domain = value("domain").and_then(|domain| domain.split(',').next()).map(str::to_owned);
    for word in parsed.words.iter().filter(|word| word.name == "dhcp-range") {
        range(word, &mut plan, draft, ledger);
    }
    for word in &parsed.words {
        statement(word, &mut plan, draft, ledger);
    }
    finish(plan, parsed, draft, ledger);
}

/// The virtual address on a network.
fn address_on(draft: &Draft, network: &str) -> Option<String> {
    let network = quoted(network);
    let on =
        draft.addresses.iter().find(|(_, ip, table)| table.find("network") == Some(&network) && ip.is_ipv4());
    on.map(|(name, ..)| name.clone())
}

/// An address by its name if it is virtual.
fn named(draft: &Draft, text: &str) -> Option<String> {
    let ip: IpAddr = text.parse().ok()?;
    Some(quoted(draft.virtual_address(ip).unwrap_or(text)))
}

fn range(word: &Word, plan: &mut Plan, draft: &mut Draft, ledger: &mut Ledger) {
    let at = &word.at;
    let mut hows = Vec::new();
    let mut parts = Vec::new();
    for part in word.parts() {
        if part.contains(':') && part.parse::<IpAddr>().is_err() {
            hows.push(format!("without `{part}`"));
        } else {
            parts.push(part);
        }
    }
    let Some(first) = parts.first().and_then(|part| part.parse::<Ipv4Addr>().ok()) else {
        ledger.dropped(at, "only IPv4 addresses are leased");
        return;
    };
    let last = parts.get(1).and_then(|part| part.parse::<Ipv4Addr>().ok());
    let masks = parts.iter().skip(2).filter_map(|part| part.parse::<Ipv4Addr>().ok());
    let prefix = masks.into_iter().find_map(|mask| Ipv4Net::with_netmask(first, mask).ok());
    let network = match draft.network_of(IpAddr::V4(first)) {
        Some(network) => network.name.clone(),
        None => match prefix {
            Some(subnet) if (8..=30).contains(&subnet.prefix_len()) => {
                draft.new_network(IpNet::V4(subnet.trunc()), "internal")
            }
            _ => match draft.ensure_network(IpAddr::V4(first)) {
                Some((name, how)) => {
                    hows.extend(how);
                    name
                }
                None => {
                    ledger.dropped(at, "it is on no network that could be told");
                    return;
                }
            },
        },
    };
    let Some(server) = address_on(draft, &network) else {
        ledger.dropped(at, format!("leases are given by a virtual address, and `{network}` has none"));
        return;
    };
    let to = format!("[dhcp.{network}]");
    if plan.dhcp.contains_key(&network) {
        ledger.dropped(at, format!("`{network}` has one range, the first"));
        return;
    }
    let mut table = Table::new(format!("dhcp.{}", key(&network)));
    if let Some(last) = last {
        table.set("range", quoted(&format!("{first}-{last}")));
    }
    let there = draft.addresses.iter().filter(|(.., table)| table.find("network") == Some(&quoted(&network)));
    if there.count() > 1 {
        table.set("server", quoted(&server));
    }
    let lease = parts.iter().skip(1).find_map(|part| lease(part));
    if let Some(lease) = lease {
        table.set("lease", quoted(&lease));
    } else {
        table.set("lease", quoted("1h"));
    }
    plan.dhcp.insert(network, table);
    match hows.is_empty() {
        true => ledger.carried(at, format!("{to} range")),
        false => ledger.approximated(at, format!("{to} range"), hows.join("; ")),
    }
}

/// A lease time: a number with a unit, `infinite`.
fn lease(text: &str) -> Option<String> {
    if text == "infinite" {
        return Some("365d".to_owned());
    }
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd', 'w']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let number: u64 = number.parse().ok()?;
    let seconds = number.checked_mul(match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => 1,
    })?;
    let seconds = seconds.clamp(60, 365 * 86_400);
    Some(if seconds % 3600 == 0 { format!("{}h", seconds / 3600) } else { format!("{seconds}s") })
}

fn statement(word: &Word, plan: &mut Plan, draft: &mut Draft, ledger: &mut Ledger) {
    let at = &word.at;
    match word.name.as_str() {
        "dhcp-range" => {}
        "dhcp-host" => host(word, plan, draft, ledger),
        "dhcp-option" | "dhcp-option-force" => options::option(word, plan, draft, ledger),
        "domain" | "local" | "auth-zone" => {
            let own = word.value.trim_matches('/').split(',').next() == plan.domain.as_deref();
            match own {
                true => ledger.carried(at, "[dns] domain"),
                false => ledger.dropped(at, "one domain is answered for, that of `domain`"),
            }
        }
        "server" if word.value.contains('/') => {
            ledger.dropped(at, "all names that are not the cluster's go to the same servers");
        }
        "server" => {
            let (ip, port) = word.value.split_once('#').unwrap_or((&word.value, ""));
            let ip = ip.split('@').next().unwrap_or(ip);
            match (ip.parse::<IpAddr>(), port.is_empty()) {
                (Ok(ip), true) => plan.forwards.push(quoted(&ip.to_string())),
                (Ok(IpAddr::V4(ip)), false) => plan.forwards.push(quoted(&format!("{ip}:{port}"))),
                (Ok(IpAddr::V6(ip)), false) => plan.forwards.push(quoted(&format!("[{ip}]:{port}"))),
                (Err(_), _) => {
                    ledger.dropped(at, "it is no address");
                    return;
                }
            }
            ledger.carried(at, "[dns] forward");
        }
        "address" => {
            let parts: Vec<&str> = word.value.split('/').filter(|part| !part.is_empty()).collect();
            match parts.as_slice() {
                [name, ip] => {
                    // dnsmasq means all names below as well.
                    record(at, name, ip, plan, draft, ledger);
                    record(at, &format!("*.{name}"), ip, plan, draft, ledger);
                }
                _ => ledger.dropped(at, "it is not one name and its address"),
            }
        }
        "host-record" => {
            let parts = word.parts();
            let ips: Vec<&&str> = parts.iter().filter(|part| part.parse::<IpAddr>().is_ok()).collect();
            for name in
                parts.iter().filter(|part| part.parse::<IpAddr>().is_err() && part.parse::<u32>().is_err())
            {
                for ip in &ips {
                    record(at, name, ip, plan, draft, ledger);
                }
            }
        }
        "cname" => {
            let parts = word.parts();
            if let [aliases @ .., target] = parts.as_slice() {
                let target = if target.contains('.') {
                    (*target).to_owned()
                } else {
                    format!("{target}.{}", plan.domain())
                };
                for alias in aliases {
                    record(at, alias, &target, plan, draft, ledger);
                }
            }
        }
        "listen-address" => listen_address(word, plan, draft, ledger),
        "interface" => {
            let name = word.value.as_str();
            let network = draft.nodes.iter().find_map(|node| {
                node.addresses
                    .iter()
                    .find(|(_, _, own)| own.as_deref() == Some(name))
                    .map(|(network, ..)| network.clone())
            });
            listen_on(at, network.as_deref(), plan, draft, ledger);
        }
        _ => ledger.dropped(at, reason(&word.name)),
    }
}

impl Plan {
    fn domain(&self) -> String {
        self.domain.clone().unwrap_or_else(|| "internal".to_owned())
    }
}

fn host(word: &Word, plan: &mut Plan, draft: &mut Draft, ledger: &mut Ledger) {
    let at = &word.at;
    let host = Host::of(word);
    let (Some(mac), Some(ip)) = (host.mac, host.ip) else {
        ledger.dropped(at, "a fixed lease has a hardware address and an IPv4 address");
        return;
    };
    let Some(network) = draft.network_of(IpAddr::V4(ip)).map(|network| network.name.clone()) else {
        ledger.dropped(at, "its address is on no network that could be told");
        return;
    };
    if !plan.dhcp.contains_key(&network) {
        ledger.dropped(at, format!("`{network}` has no [dhcp]"));
        return;
    }
    let mut hows: Vec<String> = host.extra.iter().map(|one| format!("without {one}")).collect();
    let node =
        draft.nodes.iter_mut().find(|node| node.addresses.iter().any(|(_, own, _)| *own == IpAddr::V4(ip)));
    let to = if let Some(node) = node {
        if let Some(name) = host.name.filter(|name| *name != node.name) {
            hows.push(format!("`{name}` is the node `{}`", node.name));
        }
        if !node.macs.iter().any(|(own, _)| *own == network) {
            node.macs.push((network.clone(), mac));
        }
        format!("[node.{}] mac.{network}", node.name)
    } else {
        let name = draft.fresh_node(&host.name.unwrap_or_else(|| format!("host-{ip}")));
        let mut table = Table::new(format!("dhcp.{}.host.{}", key(&network), key(&name)));
        table.set("mac", quoted(&mac));
        table.set("ip", quoted(&ip.to_string()));
        plan.hosts.push(table);
        format!("[dhcp.{network}.host.{name}]")
    };
    match hows.is_empty() {
        true => ledger.carried(at, to),
        false => ledger.approximated(at, to, hows.join("; ")),
    }
}

fn record(at: &At, name: &str, target: &str, plan: &mut Plan, draft: &Draft, ledger: &mut Ledger) {
    let domain = plan.domain();
    let short = if name == domain {
        "@".to_owned()
    } else if let Some(short) = name.strip_suffix(&domain).and_then(|short| short.strip_suffix('.')) {
        short.to_owned()
    } else if !name.contains('.') {
        name.to_owned()
    } else {
        ledger.dropped(at, format!("only names below {domain} are answered for"));
        return;
    };
    let target = named(draft, target).unwrap_or_else(|| quoted(target));
    // A node of that name says it already.
    let is_node = draft.nodes.iter().any(|node| node.name == short);
    if !is_node && !plan.records.iter().any(|(own, _)| *own == short) {
        plan.records.push((short.clone(), target));
    }
    ledger.carried(at, format!("[dns] records.{short}"));
}

fn listen_address(word: &Word, plan: &mut Plan, draft: &Draft, ledger: &mut Ledger) {
    for part in word.parts() {
        let Ok(ip) = part.parse::<IpAddr>() else {
            ledger.dropped(&word.at, "it is no address");
            continue;
        };
        if ip.is_loopback() {
            ledger.dropped(&word.at, "only virtual addresses answer");
        } else if let Some(name) = draft.virtual_address(ip) {
            let name = name.to_owned();
            if !plan.listens.contains(&name) {
                plan.listens.push(name);
            }
            ledger.carried(&word.at, "[dns] listen");
        } else {
            let network = draft.network_of(ip).map(|network| network.name.clone());
            listen_on(&word.at, network.as_deref(), plan, draft, ledger);
        }
    }
}

fn listen_on(at: &At, network: Option<&str>, plan: &mut Plan, draft: &Draft, ledger: &mut Ledger) {
    match network.and_then(|network| address_on(draft, network)) {
        Some(name) => {
            ledger.approximated(at, "[dns] listen", format!("the virtual address `{name}` of that network"));
            if !plan.listens.contains(&name) {
                plan.listens.push(name);
            }
        }
        None => ledger.dropped(at, "only virtual addresses answer, and there is none on that network"),
    }
}

fn finish(mut plan: Plan, parsed: &Parsed, draft: &mut Draft, ledger: &mut Ledger) {
    if plan.listens.is_empty() {
        plan.listens = plan.dhcp.keys().filter_map(|network| address_on(draft, network)).collect();
    }
    let wants_dns = parsed.words.iter().any(|word| {
        matches!(
            word.name.as_str(),
            "domain" | "local" | "server" | "address" | "host-record" | "cname" | "expand-hosts"
        )
    });
    if !plan.no_dns && wants_dns && !plan.listens.is_empty() {
        let mut table = Table::new("dns");
        let listens: Vec<String> = plan.listens.iter().map(|name| quoted(name)).collect();
        table.set("listen", list(listens));
        table.set("domain", quoted(&plan.domain()));
        if plan.domain.is_none() {
            table.comments.push("No file says a domain: `internal` was assumed.".to_owned());
        }
        if !plan.forwards.is_empty() {
            table.set("forward", list(plan.forwards));
        }
        let records: Vec<String> =
            plan.records.iter().map(|(name, target)| format!("{} = {target}", key(name))).collect();
        if !records.is_empty() {
            table.set("records", format!("{{ {} }}", records.join(", ")));
        }
        draft.tables.push(table);
    } else if wants_dns {
        for word in &parsed.words {
            if matches!(
                word.name.as_str(),
                "domain" | "local" | "server" | "address" | "host-record" | "cname"
            ) {
                ledger.refuse("[dns]", None, "no virtual address answers for names");
                ledger.dropped(&word.at, "no virtual address answers for names");
            }
        }
    }
    for (network, mut table) in plan.dhcp {
        if let Some(options) = plan.options.get(&network) {
            let parts: Vec<String> =
                options.iter().map(|(code, value)| format!("{code} = {value}")).collect();
            table.set("options", format!("{{ {} }}", parts.join(", ")));
        }
        draft.tables.push(table);
    }
    draft.tables.extend(plan.hosts);
}
