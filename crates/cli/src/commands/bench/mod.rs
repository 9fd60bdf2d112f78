//! `relevo bench`.

mod compare;
mod load;
mod run;
mod sweep;

use std::process::ExitCode;

use crate::failure::Failure;

/// Put load on a web server or balancer and see how it does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo bench run http://192.168.1.200/ --connections 32
  relevo bench run https://shop.example.org/ --http2 --streams 10 --rate 2000 --duration 30s
  relevo bench run tcp://192.168.1.200:90 --send 'GET / HTTP/1.0\\r\\n\\r\\n' --requests 1000
  relevo bench sweep http://192.168.1.200:8000/ --requests 1000,20000 --connections 1,3,5,10,20
  relevo bench compare --quick
  relevo bench compare cluster.toml --service shop --show")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Run(run::Args),
    Sweep(sweep::Args),
    Compare(compare::Args),
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Run(args) => run::run(args, json),
        Command::Sweep(args) => sweep::run(args, json),
        Command::Compare(args) => compare::run(args, json),
    }
}
