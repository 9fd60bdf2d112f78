//! `relevo server`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use relevo_api::types::{AdminState, HealthState, ServerStatus, SetServer};
use relevo_model::PoolName;
use relevo_model::quantity::{format_duration, parse_duration};

use crate::commands::ask;
use crate::commands::names::{self, Kind};
use crate::failure::Failure;

/// Take a server behind the balancer out of work and back, or change its share.
///
/// The director that is asked remembers drain, maint and weights over restarts. Directors do not tell each other: give the order
/// on each.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo server drain web1 --reason \"kernel update\" --for 30m
                                     # no new work, what runs may finish; ready again after half an hour
  relevo server maint web1           # no work, no checks
  relevo server maint web1 --cut     # the same, and what runs is cut
  relevo server ready web1           # back to work
  relevo server weight web1 50 --pool shop
                                     # another share, in one pool alone")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give it work while its checks are good.
    #[command(alias = "start")]
    Ready(Which),
    /// Give it nothing new, and let it finish what it has; clients that are bound to it go on.
    Drain(Out),
    /// Give it nothing, and do not check it. What it has may finish.
    Maint(Maint),
    /// The same as maint --cut.
    #[command(hide = true)]
    Stop(Out),
    /// Change its share, until the cluster file gives it another.
    Weight(Weight),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The server, as `relevo status` shows it; or POOL/SERVER.
    #[arg(add = names::of(Kind::Server))]
    server: String,
    /// Only in this pool, or in the service that has its servers to itself; in every pool that has it unless said.
    #[arg(long, value_name = "POOL", add = names::of(Kind::Pool))]
    pool: Option<String>,
    #[command(flatten)]
    node: ask::Node,
}

#[derive(Debug, clap::Args)]
struct Out {
    #[command(flatten)]
    which: Which,
    /// Why, for those who read the status.
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    reason: String,
    /// How long; then it is ready again. As 90s, 30m or 12h.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    time: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct Maint {
    #[command(flatten)]
    out: Out,
    /// Cut what it has.
    #[arg(long)]
    cut: bool,
}

#[derive(Debug, clap::Args)]
struct Weight {
    #[command(flatten)]
    which: Which,
    /// Its share, 0 to 256; 0: no new work.
    #[arg(value_parser = parse_weight, allow_negative_numbers = true)]
    weight: u16,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let (which, wish, done) = match args.command {
        Command::Ready(which) => {
            let wish = SetServer { admin: Some(AdminState::Ready), ..SetServer::default() };
            (which, wish, "takes work while it is up".to_owned())
        }
        Command::Drain(out) => taken_out(out, AdminState::Drain, false, "drains"),
        Command::Maint(Maint { out, cut }) => {
            taken_out(out, AdminState::Maint, cut, if cut { "is stopped" } else { "is in maintenance" })
        }
        Command::Stop(out) => taken_out(out, AdminState::Maint, true, "is stopped"),
        Command::Weight(Weight { which, weight }) => {
            let wish = SetServer { weight: Some(weight), ..SetServer::default() };
            (which, wish, format!("weighs {weight}"))
        }
    };
    let (pool, server) = match (which.pool.as_deref(), which.server.split_once('/')) {
        (None, Some((pool, server))) => (Some(pool), server),
        (pool, _) => (pool, which.server.as_str()),
    };
    let wish = SetServer { pool: pool.map(PoolName::new), ..wish };
    let client = which.node.client();
    let changed = client.set_server(server, &wish)?;
    if wish.admin != Some(AdminState::Ready)
        && let Ok(status) = client.status()
    {
        let pools =
            status.pools.iter().filter(|pool| changed.servers.iter().any(|(name, _)| *name == pool.name));
        for pool in pools.filter(|pool| !pool.servers.iter().any(may_work)) {
            let then = if pool.fallback { "its fallback answers" } else { "nobody answers its clients" };
            eprintln!("warning: the pool {} has no server left: {then}", pool.name);
        }
    }
    if json {
        println!("{}", serde_json::json!(changed));
        return Ok(ExitCode::SUCCESS);
    }
    for (pool, server) in changed.servers {
        println!("{server} of {pool} {done}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether it may get work now, or as soon as it was checked.
fn may_work(server: &ServerStatus) -> bool {
    server.health != HealthState::Down && server.wanted() == AdminState::Ready && server.weight > 0
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time < Duration::from_secs(1) { Err("write 1s or more".to_owned()) } else { Ok(time) }
}

fn parse_weight(text: &str) -> Result<u16, String> {
    let weight = text.parse().ok().filter(|weight| *weight <= 256);
    weight.ok_or_else(|| "write 0 to 256".to_owned())
}

fn taken_out(out: Out, admin: AdminState, cut: bool, done: &str) -> (Which, SetServer, String) {
    let done = match out.time {
        Some(time) => format!("{done} for {}", format_duration(time)),
        None => done.to_owned(),
    };
    let for_seconds = out.time.map(|time| time.as_secs());
    let wish = SetServer { admin: Some(admin), cut, reason: out.reason, for_seconds, ..SetServer::default() };
    (out.which, wish, done)
}
