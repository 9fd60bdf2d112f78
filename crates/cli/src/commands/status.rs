//! `relevo status`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use relevo_api::types::{
    AdminState, GroupState, GroupStatus, HealthState, PoolStatus, ServerStatus, ServiceStatus, Status,
    TrackerEffect, TrackerVerdict,
};
use relevo_model::cluster::Mode;

use crate::commands::{ask, leases, ownership, surroundings};
use crate::failure::Failure;
use crate::printer::{self, BAD, Cell, DOUBT, GOOD, TITLE, ago, cell, paint, styled, table};

/// Show who is active for which address, and each service and server.
///
/// It shows what the node on this machine sees, since when, and why. What the node does not know is shown as unknown.
///
/// Exit code 0: the node answered. 1: it does not answer. 2: no permission to ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo status
  relevo status --watch
  relevo status --json | jq '.groups[] | {name, state, active}'
  relevo status --run-dir ~/lb1/run")]
pub(crate) struct Args {
    /// Show it again every second, until Ctrl-C.
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    node: ask::Node,
}

/// Time from one showing to the next.
const PERIOD: Duration = Duration::from_secs(1);

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let client = args.node.client();
    if args.watch {
        return watch(&args.node, json);
    }
    let status = client.status()?;
    if json {
        println!("{}", serde_json::json!(status));
    } else {
        anstream::print!("{}", words(&status, printer::now_ms()));
    }
    Ok(ExitCode::SUCCESS)
}

fn watch(node: &ask::Node, json: bool) -> Result<ExitCode, Failure> {
    let client = node.client();
    let redraw = !json && std::io::stdout().is_terminal();
    // A first failure is told as without --watch; later ones are part of what is watched.
    let mut status: Result<Status, String> = Ok(client.status()?);
    loop {
        let asked = Instant::now();
        let text = match &status {
            Ok(status) if json => format!("{}\n", serde_json::json!(status)),
            Ok(status) => words(status, printer::now_ms()),
            Err(error) if json => format!("{}\n", serde_json::json!({ "error": error })),
            Err(error) => format!("{}\n", paint(BAD, error)),
        };
        let mut out = anstream::stdout().lock();
        let written = if redraw {
            // Home, then each line with the rest of its old self taken away, then everything below.
            let plain = anstream::AutoStream::choice(&std::io::stdout()) == anstream::ColorChoice::Never;
            let text = if plain { anstream::adapter::strip_str(&text).to_string() } else { text };
            let lines: String = text.lines().map(|line| format!("{line}\x1b[K\r\n")).collect();
            std::io::stdout().write_all(format!("\x1b[H{lines}\x1b[J").as_bytes())
        } else if json {
            out.write_all(text.as_bytes())
        } else {
            out.write_all(format!("{text}\n").as_bytes())
        };
        if written.and_then(|()| out.flush()).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        drop(out);
        std::thread::sleep(PERIOD.saturating_sub(asked.elapsed()));
        status = client.status().map_err(|error| format!("{:#}", anyhow::Error::from(error)));
    }
}

fn words(status: &Status, now: u64) -> String {
    let mut text = format!(
        "{} of the cluster {}  (relevo {}, pid {}, running for {}; {}, hash {}, read {} ago)\n",
        paint(TITLE, &status.node),
        paint(TITLE, &status.cluster),
        status.version,
        status.pid,
        ago(now, status.since),
        status.file.path.display(),
        status.file.hash,
        ago(now, status.file.since)
    );
    if !status.groups.is_empty() {
        let titles = ["GROUP", "ADDRESSES", "ACTIVE", "HERE", "PRIORITY", "FOR", "WHY"];
        let rows: Vec<_> = status.groups.iter().map(|group| group_row(group, now)).collect();
        text.push_str(&format!("\n{}", table(0, &titles, &rows)));
    }
    text.push_str(&ownership::words(status));
    text.push_str(&super::moves::words(status));
    text.push_str(&trackers(&status.groups, now));
    text.push_str(&leases::words(status));
    text.push_str(&surroundings::words(status));
    let is_own = |pool: &PoolStatus| {
        let mut users = status.services.iter().filter(|service| service.pool == pool.name);
        users.next().is_some_and(|only| *only.name == *pool.name) && users.next().is_none()
    };
    for service in &status.services {
        text.push_str(&format!("\n{}", service_words(service)));
        // A pool that is this service's alone stands here, one of several by itself.
        if let Some(pool) = status.pool(&service.pool).filter(|pool| is_own(pool)) {
            text.push_str(&format!("  {}", pool_words(pool, now)));
        } else {
            text.push_str(&format!("  answered by the pool {}\n", paint(TITLE, &service.pool)));
        }
    }
    for pool in status.pools.iter().filter(|pool| !is_own(pool)) {
        text.push_str(&format!("\n{}  pool: {}", paint(TITLE, &pool.name), pool_words(pool, now)));
    }
    text
}

fn group_row(group: &GroupStatus, now: u64) -> Vec<Cell> {
    let addresses: Vec<String> =
        group.addresses.iter().map(|address| format!("{} ({})", address.ip, address.network)).collect();
    let active = match &group.active {
        Some(node) => styled(TITLE, node),
        None => styled(DOUBT, "unknown"),
    };
    let here = match group.state {
        GroupState::Init => styled(DOUBT, "init"),
        GroupState::Backup => cell("backup"),
        GroupState::Active => styled(GOOD, "active"),
        GroupState::Fault => styled(BAD, "fault"),
    };
    vec![
        styled(TITLE, &group.name),
        cell(addresses.join(", ")),
        active,
        here,
        priority(group),
        cell(ago(now, group.since)),
        cell(&group.reason),
    ]
}

/// The priority that adverts carry, and the file's if that is another one.
fn priority(group: &GroupStatus) -> Cell {
    match group.effective_priority {
        // An older node does not tell it.
        0 => cell(group.priority),
        now if now == group.priority => cell(now),
        now => styled(if now < group.priority { BAD } else { DOUBT }, format!("{now} of {}", group.priority)),
    }
}

/// What the groups watch, if they watch anything.
fn trackers(groups: &[GroupStatus], now: u64) -> String {
    let all = groups.iter().flat_map(|group| group.trackers.iter().map(move |tracker| (group, tracker)));
    let rows: Vec<Vec<Cell>> = all
        .map(|(group, tracker)| {
            let verdict = match tracker.verdict {
                TrackerVerdict::Unknown => styled(DOUBT, "unknown"),
                TrackerVerdict::Up => styled(GOOD, "up"),
                TrackerVerdict::Down => styled(BAD, "down"),
            };
            let weight = tracker.weight.map_or_else(|| "fault".to_owned(), |weight| format!("{weight:+}"));
            let effect = match tracker.effect {
                TrackerEffect::None => cell("-"),
                TrackerEffect::Weight(weight) => {
                    styled(if weight < 0 { BAD } else { GOOD }, format!("{weight:+}"))
                }
                TrackerEffect::Fault => styled(BAD, "fault"),
            };
            vec![
                styled(TITLE, &tracker.name),
                cell(&group.name),
                cell(&tracker.watches),
                verdict,
                cell(weight),
                effect,
                cell(ago(now, tracker.since)),
                cell(&tracker.evidence),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let titles = ["TRACKER", "GROUP", "WATCHES", "SAYS", "WEIGHT", "NOW", "FOR", "WHY"];
    format!("\n{}", table(0, &titles, &rows))
}

fn service_words(service: &ServiceStatus) -> String {
    let listen: Vec<String> = service.listen.iter().map(ToString::to_string).collect();
    let count = |number: u64, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let (now, all) = (service.connections, service.requests);
    let (mode, work) = match service.mode {
        Mode::Http => ("http", format!("{}, {}", count(now, "connection"), count(all, "request"))),
        Mode::Tcp => ("tcp", format!("{} now, {all} since the start", count(now, "connection"))),
        Mode::Udp => ("udp", format!("{} now, {all} since the start", count(now, "flow"))),
    };
    let path = match &service.path {
        None => String::new(),
        Some(path) if path.kernel => {
            let form = if path.form.is_empty() { String::new() } else { format!(" ({})", path.form) };
            format!("  by the kernel's path{form}, see relevo flows; these are the rest\n")
        }
        Some(path) => format!("  in userspace: {}\n", path.why),
    };
    format!(
        "{}  {mode} on {}: {work}, {}\n{path}",
        paint(TITLE, &service.name),
        listen.join(", "),
        count(service.errors, "error"),
    )
}

/// A line that goes on with what stands before it, and the table of its servers.
fn pool_words(pool: &PoolStatus, now: u64) -> String {
    let usable = pool.servers.iter().filter(|server| can_work(server)).count();
    let all = pool.servers.len();
    let style = if usable == all {
        GOOD
    } else if usable > 0 {
        DOUBT
    } else {
        BAD
    };
    let fallback =
        if pool.fallback { format!(", {}", paint(BAD, "the fallback answers")) } else { String::new() };
    let queued = match pool.queued {
        0 => String::new(),
        queued => format!(", {}", paint(DOUBT, &format!("{queued} wait"))),
    };
    let usable = paint(style, &format!("{usable} of {all} servers work"));
    let mut text = format!("{usable}{queued}{fallback}, {}\n", pool.balance);
    let titles = ["SERVER", "AT", "WEIGHT", "HEALTH", "WANTED", "FOR", "NOW", "TOTAL", "FAILED", "WHY"];
    let rows: Vec<_> = pool.servers.iter().map(|server| server_row(server, now)).collect();
    text.push_str(&table(2, &titles, &rows));
    text
}

fn can_work(server: &ServerStatus) -> bool {
    server.health == HealthState::Up && server.wanted() == AdminState::Ready && server.weight > 0
}

fn server_row(server: &ServerStatus, now: u64) -> Vec<Cell> {
    let health = match server.health {
        HealthState::Unknown => styled(DOUBT, "unknown"),
        HealthState::Up => styled(GOOD, "up"),
        HealthState::Down => styled(BAD, "down"),
    };
    let wanted = match server.wanted() {
        AdminState::Ready => cell("ready"),
        AdminState::Drain => styled(DOUBT, "drain"),
        AdminState::Maint => styled(DOUBT, "maint"),
    };
    // What the operator said comes before what the checks did.
    let mut why = Vec::new();
    if let Some(until) = server.admin_until {
        why.push(format!("ready again in {}", ago(until, now)));
    }
    why.extend(
        [server.admin_reason.clone(), server.reason.clone()].into_iter().filter(|text| !text.is_empty()),
    );
    if server.backup {
        why.push("backup".to_owned());
    }
    let running = match server.max_connections {
        Some(most) => format!("{}/{most}", server.connections),
        None => server.connections.to_string(),
    };
    vec![
        styled(TITLE, &server.name),
        cell(server.at),
        cell(server.weight),
        health,
        wanted,
        cell(ago(now, server.since)),
        cell(running),
        cell(server.requests),
        cell(server.failures),
        cell(why.join("; ")),
    ]
}
