//! `relevo leases`.

use std::process::ExitCode;

use relevo_api::types::{LeaseKind, Status};

use crate::commands::ask;
use crate::failure::Failure;
use crate::printer::{self, BAD, FAINT, GOOD, cell, styled};

/// Show the addresses that DHCP gave to machines, as far as the node knows.
///
/// All directors of a group know the same leases if the cluster file has `[peers]`. A lease that has ended is kept: the
/// machine gets the same address when it asks again.
///
/// Exit code 0: the node answered. 1: it did not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  relevo leases --all")]
pub(crate) struct Args {
    /// Show leases that have ended, too.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    node: ask::Node,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let mut leases = args.node.client().leases()?;
    leases.retain(|lease| args.all || lease.kind != LeaseKind::Ended);
    if json {
        println!("{}", serde_json::json!(leases));
        return Ok(ExitCode::SUCCESS);
    }
    if leases.is_empty() {
        println!("no machine has an address by DHCP");
        return Ok(ExitCode::SUCCESS);
    }
    let now = printer::now_ms();
    let rows: Vec<_> = leases
        .iter()
        .map(|lease| {
            let kind = match lease.kind {
                LeaseKind::Bound => styled(GOOD, if lease.fixed { "fixed" } else { "bound" }),
                LeaseKind::Declined => styled(BAD, "used by another machine"),
                LeaseKind::Ended => styled(FAINT, "ended"),
            };
            let until = match lease.kind {
                LeaseKind::Ended => format!("{} ago", printer::ago(now, lease.until)),
                LeaseKind::Bound | LeaseKind::Declined => format!("for {}", printer::ago(lease.until, now)),
            };
            let name = if lease.name.is_empty() { "-" } else { &lease.name };
            vec![cell(&lease.network), cell(lease.ip), cell(&lease.mac), cell(name), kind, cell(until)]
        })
        .collect();
    let titles = ["NETWORK", "ADDRESS", "HARDWARE", "NAME", "LEASE", ""];
    anstream::print!("{}", printer::table(0, &titles, &rows));
    Ok(ExitCode::SUCCESS)
}

/// What `relevo status` says of DHCP and DNS; empty without both.
pub(super) fn words(status: &Status) -> String {
    let mut text = String::new();
    for dhcp in &status.dhcp {
        let here = if dhcp.answering { "this director answers" } else { "this director waits" };
        text.push_str(&format!(
            "\nDHCP on {}: {here}, {} in use, room for {}\n",
            dhcp.network,
            printer::count(dhcp.bound, "lease"),
            dhcp.room
        ));
    }
    if let Some(dns) = &status.dns {
        let listen: Vec<String> = dns.listen.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "\nDNS on {}: {} questions, {} of them from the cluster, {} remembered, {} asked elsewhere ({} without answer), {} dropped\n",
            listen.join(", "),
            dns.asked,
            dns.own,
            dns.cached,
            dns.forwarded,
            dns.failed,
            dns.dropped
        ));
    }
    text
}
