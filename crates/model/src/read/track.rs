//! `[group.NAME.track.NAME]`: what each director watches.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

use super::fields::Fields;
use super::findings::Findings;
use super::names::{Named, Names, named};
use super::nodes::interface;
use super::probe;
use super::suggest;
use super::texts;
use super::tree::Item;
use crate::cluster::{AtStart, Group, LAST, Tracker, Watched};
use crate::name::{NetworkName, NodeName, PoolName, ServiceName, TrackerName};
use crate::reference::{DELAY, TRACK};

/// The ways to watch.
const WAYS: [&str; 10] =
    ["interface", "link", "process", "file", "script", "route", "ping", "service", "pool", "bfd"];
/// Most trackers of one group.
const MOST: usize = 64;

/// What trackers can refer to.
#[derive(Debug)]
pub(super) struct Things<'a> {
    pub(super) networks: &'a Names,
    pub(super) services: &'a Names,
    pub(super) pools: &'a Names,
    pub(super) addresses: &'a [crate::cluster::Address],
    pub(super) address_names: &'a Names,
}

/// Reads a group's trackers.
pub(super) fn read<'a>(
    findings: &mut Findings<'_>,
    group: &Fields<'a>,
    of: &Group,
    things: &Things<'_>,
) -> Vec<Tracker> {
    let (tables, _) = named(findings, group, "track", "tracker", MOST);
    let mut list = Vec::new();
    for Named { name, header, table, .. } in tables {
        let what = format!("tracker `{name}`");
        let fields = Fields::open(findings, table, &header, &what, &[&TRACK]);
        let Some(watched) = watched(findings, &fields, of, things) else { continue };
        list.extend(tracker(findings, &fields, TrackerName::new(name), watched));
    }
    list
}

fn watched(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    group: &Group,
    things: &Things<'_>,
) -> Option<Watched> {
    let ways: Vec<&Item<'_>> = fields.of(&TRACK).filter(|item| WAYS.contains(&item.name)).collect();
    let Some(item) = ways.first() else {
        let hint = format!("add {}", suggest::list(&WAYS));
        findings.error(fields.span(), format!("{} watches nothing", fields.what()), hint);
        return None;
    };
    if let Some(other) = ways.get(1) {
        let message = format!("a tracker watches one thing, not `{}` and `{}`", item.name, other.name);
        findings.error(&other.key, message, "give it a tracker of its own");
        return None;
    }
    let known = |findings: &mut Findings<'_>, names: &Names, example: &str| {
        let name = item.text(findings, example)?;
        names.resolve(findings, name, &item.span).then_some(name)
    };
    match item.name {
        "interface" => interface(findings, item).map(Watched::Interface),
        "link" => known(findings, things.networks, "\"lan\"").map(NetworkName::new).map(Watched::Link),
        "process" => process(findings, item),
        "file" => texts::file(findings, item, "/run/relevo/weight").map(Watched::File),
        "script" => {
            let argv = probe::command(findings, item);
            (!argv.is_empty()).then_some(Watched::Script(argv))
        }
        "route" => destination(findings, item).map(Watched::Route),
        "ping" => pinged(findings, item, things),
        "service" => known(findings, things.services, "\"shop\"").map(ServiceName::new).map(Watched::Service),
        "pool" => known(findings, things.pools, "\"shop\"").map(PoolName::new).map(Watched::Pool),
        _ => {
            let name = item.text(findings, "\"lb2\"")?;
            let nodes: Vec<&str> = group.priorities.iter().map(|(node, _)| node.as_str()).collect();
            if !nodes.contains(&name) {
                let hint = suggest::one_of(name, nodes.iter().copied());
                findings.error(
                    &item.span,
                    format!("`{name}` is not a director of group `{}`", group.name),
                    hint,
                );
                return None;
            }
            Some(Watched::Bfd(NodeName::new(name)))
        }
    }
}

/// Who is to answer; a link-local address only says so together with its network, as in `fe80::1%lan`.
fn pinged(findings: &mut Findings<'_>, item: &Item<'_>, things: &Things<'_>) -> Option<Watched> {
    let text = item.text(findings, "\"192.168.1.1\"")?;
    let (ip, network) = text.split_once('%').map_or((text, None), |(ip, network)| (ip, Some(network)));
    let local = ip.parse::<Ipv6Addr>().ok().filter(Ipv6Addr::is_unicast_link_local);
    match (local, network) {
        (Some(ip), Some(network)) => things
            .networks
            .resolve(findings, network, &item.span)
            .then(|| Watched::PingOn(ip, NetworkName::new(network))),
        (Some(ip), None) => {
            let hint = format!("add the network, as in \"{ip}%lan\"");
            findings.value(
                &item.span,
                format!("`{ip}` is link-local: there may be one on each network"),
                hint,
            );
            None
        }
        (None, Some(network)) if ip.parse::<IpAddr>().is_ok() => {
            let hint = format!("write \"{ip}\"");
            let message = format!("`{ip}` is not link-local: `%{network}` says nothing");
            findings.value(&item.span, message, hint);
            None
        }
        (None, _) => {
            let ip = address(findings, item)?;
            if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4]) {
                findings.value(
                    &item.span,
                    format!("`{ip}` is nobody's own address"),
                    "write a machine's address",
                );
                return None;
            }
            Some(Watched::Ping(ip))
        }
    }
}

fn process(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Watched> {
    let text = item.text(findings, "\"haproxy\"")?;
    let is_path = text.starts_with('/');
    if text.is_empty() || text.len() > 4096 || text.contains('\0') || (text.contains('/') && !is_path) {
        let hint = "write its name as `ps` shows it, as in \"haproxy\", or the whole path of its program";
        findings.value(&item.span, format!("{text:?} cannot be a process"), hint);
        return None;
    }
    Some(Watched::Process(text.to_owned()))
}

fn tracker(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    name: TrackerName,
    what: Watched,
) -> Option<Tracker> {
    let is_ours = matches!(what, Watched::Service(_) | Watched::Pool(_));
    let (rise, fall) = if matches!(what, Watched::Ping(_) | Watched::PingOn(..)) { (2, 3) } else { (1, 1) };
    let weight: Option<i16> = fields.number(findings, "weight");
    if weight == Some(0)
        && let Some(item) = fields.find("weight")
    {
        let hint = "remove it: without a weight the group gives way; or write -20";
        findings.value(&item.span, "a weight of 0 does nothing", hint);
    }
    let interval = fields.time(findings, "interval").unwrap_or(Duration::from_secs(1));
    let timeout = fields.time(findings, "timeout").unwrap_or(interval);
    if timeout > interval
        && let Some(item) = fields.find("timeout")
    {
        let hint = "make `interval` longer, or `timeout` shorter";
        findings.value(&item.span, "a look may not take longer than `interval`", hint);
    }
    if !matches!(what, Watched::Script(_) | Watched::Ping(_) | Watched::PingOn(..)) {
        let why = "is for scripts and pings";
        texts::useless(findings, fields, &["timeout"], why, "remove it");
    }
    let (up_delay, down_delay) =
        fields.find("delay").map_or((Duration::ZERO, Duration::ZERO), |item| delays(findings, item));
    let starts = [("unknown", AtStart::Unknown), ("up", AtStart::Up), ("down", AtStart::Down)];
    let at_start = fields.word(findings, "at_start", &starts);
    Some(Tracker {
        name,
        weight: weight.or(is_ours.then_some(LAST)),
        what,
        reverse: fields.flag(findings, "reverse").unwrap_or(false),
        interval,
        timeout,
        rise: fields.number(findings, "rise").unwrap_or(rise),
        fall: fields.number(findings, "fall").unwrap_or(fall),
        up_delay,
        down_delay,
        at_start: at_start.unwrap_or_default(),
    })
}

fn delays(findings: &mut Findings<'_>, item: &Item<'_>) -> (Duration, Duration) {
    if item.value.as_table().is_none() {
        let most = Duration::from_secs(3600);
        let both = item.duration(findings, Duration::ZERO..=most).unwrap_or_default();
        return (both, both);
    }
    let example = "{ up = \"10s\", down = \"1s\" }";
    let Some(fields) = texts::opened(findings, item, &DELAY, "a duration", example) else {
        return (Duration::ZERO, Duration::ZERO);
    };
    let mut of = |key| fields.time(findings, key).unwrap_or_default();
    (of("up"), of("down"))
}

/// A destination with its prefix length, or `default`.
pub(super) fn destination(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<IpNet> {
    let text = item.text(findings, "\"10.0.0.0/8\"")?;
    if text == "default" {
        return Some(IpNet::V4(ipnet::Ipv4Net::default()));
    }
    let net: Option<IpNet> = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(net) = net else {
        let hint = "write an address with its prefix length, as in \"10.0.0.0/8\", or \"default\"";
        findings.value(&item.span, format!("`{text}` is not a destination"), hint);
        return None;
    };
    if net.trunc() != net {
        let hint = format!("write \"{}\"", net.trunc());
        findings.value(&item.span, format!("`{text}` has bits set after its prefix length"), hint);
        return None;
    }
    Some(net)
}

/// An address of either family.
pub(super) fn address(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<IpAddr> {
    let text = item.text(findings, "\"192.168.1.1\"")?;
    let ip = text.parse().ok();
    if ip.is_none() {
        findings.value(&item.span, format!("`{text}` is not an address"), "write \"192.168.1.1\"");
    }
    ip
}
