//! `relevo affinity`.

use std::process::ExitCode;

use clap::Subcommand;
use relevo_api::types::AffinityClients;
use relevo_model::{PoolName, ServerName, ServiceName};

use crate::commands::ask;
use crate::commands::names::{self, Kind};
use crate::failure::Failure;
use crate::printer::{self, cell};

/// Show which clients belong to which servers, and forget it.
///
/// These are the tables of `affinity` in the cluster file, as the node that is asked has them. Each director has its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo affinity show --service shop
  relevo affinity show --key 192.0.2.7
  relevo affinity clear --server web3     # its clients get another server when they come again
  relevo affinity clear --all")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the tables, those who came last first.
    Show(Show),
    /// Forget clients: they get a server anew when they come again. What is under way goes on.
    Clear(Clear),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only the table of this pool.
    #[arg(long, value_name = "POOL", add = names::of(Kind::Pool))]
    pool: Option<PoolName>,
    /// Only the tables of the pools that this service uses.
    #[arg(long, value_name = "SERVICE", add = names::of(Kind::Service))]
    service: Option<ServiceName>,
    /// Only the client that is known by this: an address, or what its header or cookie says.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only the clients of this server.
    #[arg(long, value_name = "SERVER", add = names::of(Kind::Server))]
    server: Option<ServerName>,
    #[command(flatten)]
    node: ask::Node,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    which: Which,
    /// Show so many clients of each table.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    most: usize,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("meant").required(true).multiple(true).args(["pool", "service", "key", "server", "all"]))]
struct Clear {
    #[command(flatten)]
    which: Which,
    /// Forget all clients of all tables.
    #[arg(long, conflicts_with_all = ["pool", "service", "key", "server"])]
    all: bool,
}

impl Which {
    fn clients(&self) -> AffinityClients {
        let Self { pool, service, key, server, node: _ } = self;
        // As the table has it: an address of IPv6 may be written in many ways.
        let key = key.as_ref().map(|key| match key.parse::<std::net::IpAddr>() {
            Ok(ip) => ip.to_canonical().to_string(),
            Err(_) => key.clone(),
        });
        AffinityClients {
            pool: pool.clone(),
            service: service.clone(),
            key,
            server: server.clone(),
            most: None,
        }
    }
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Show(Show { which, most }) => show(&which, most, json),
        Command::Clear(Clear { which, all: _ }) => clear(&which, json),
    }
}

fn show(which: &Which, most: usize, json: bool) -> Result<ExitCode, Failure> {
    let tables = which.node.client().affinity(&AffinityClients { most: Some(most), ..which.clients() })?;
    if json {
        println!("{}", serde_json::json!(tables));
        return Ok(ExitCode::SUCCESS);
    }
    if tables.is_empty() {
        println!("no pool has an affinity table");
    }
    for (number, table) in tables.iter().enumerate() {
        if number > 0 {
            println!();
        }
        let size = printer::count(table.size as usize, "client");
        println!("{}: by {}, {} of at most {size}", table.pool, table.by, table.known);
        let rows: Vec<_> = table
            .clients
            .iter()
            .map(|client| {
                let server = client.server.as_ref().map_or("-", |server| server.as_str());
                let came = format!("{} ago", printer::ago(client.idle_ms, 0));
                let left = format!("known for {}", printer::ago(client.left_ms, 0));
                vec![cell(&client.key), cell(server), cell(came), cell(left)]
            })
            .collect();
        if !rows.is_empty() {
            anstream::print!("{}", printer::table(2, &["CLIENT", "SERVER", "CAME", ""], &rows));
        }
        if let Some(more @ 1..) = table.found.checked_sub(table.clients.len()) {
            println!("  and {more} more: --most {}", table.found);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn clear(which: &Which, json: bool) -> Result<ExitCode, Failure> {
    let forgotten = which.node.client().forget(&which.clients())?;
    if json {
        println!("{}", serde_json::json!(forgotten));
        return Ok(ExitCode::SUCCESS);
    }
    if forgotten.pools.is_empty() {
        println!("no pool has an affinity table");
    }
    for (pool, count) in forgotten.pools {
        println!("{pool}: {} forgotten", printer::count(count, "client"));
    }
    Ok(ExitCode::SUCCESS)
}
