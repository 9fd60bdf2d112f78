//! `relevo server`.

use std::process::ExitCode;

use clap::Subcommand;
use relevo_api::types::{AdminState, SetServer};
use relevo_model::PoolName;

use crate::commands::ask;
use crate::failure::Failure;

/// Drain, stop or start a server behind the balancer.
///
/// The director that is asked remembers it over restarts. Directors do not tell each other: give the order on each.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo server drain web1                 before maintenance: no new work, what runs may finish
  relevo server stop web1 --pool shop      at once, in one pool alone
  relevo server start web1                 back to work")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give it nothing new and let it finish what it has.
    Drain(Which),
    /// Give it nothing, cut what it has, and do not check it.
    Stop(Which),
    /// Give it work again while its checks are good.
    Start(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The server, as `relevo status` shows it.
    server: String,
    /// Only in this pool, or in the service that has its servers to itself; in every pool that has it unless said.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    #[command(flatten)]
    node: ask::Node,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let (which, admin, done) = match args.command {
        Command::Drain(which) => (which, AdminState::Drain, "drains"),
        Command::Stop(which) => (which, AdminState::Stop, "is stopped"),
        Command::Start(which) => (which, AdminState::Ready, "takes work while it is up"),
    };
    let wish = SetServer { pool: which.pool.as_deref().map(PoolName::new), admin };
    let changed = which.node.client().set_server(&which.server, &wish)?;
    if json {
        println!("{}", serde_json::json!(changed));
        return Ok(ExitCode::SUCCESS);
    }
    for (pool, server) in changed.servers {
        println!("{server} of {pool} {done}");
    }
    Ok(ExitCode::SUCCESS)
}
