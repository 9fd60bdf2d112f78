//! `relevo flows`.

use std::process::ExitCode;

use relevo_api::types::{FlowStatus, Passed, ServiceFlows};

use crate::commands::ask;
use crate::failure::Failure;
use crate::printer::{self, Cell, DOUBT, TITLE, cell, paint, styled};

/// Show what the kernel carries: packets, bytes and connections of each service and server.
///
/// Services of mode tcp and udp can take the kernel's path: their connections live on when the director dies. Pins are
/// flows that this director remembers. A guess is a packet of a flow that it does not, as after a takeover; a heal is a
/// server's word that a flow is not its own, after which the next server is asked.
///
/// Exit code 0: the node answered. 1: it does not answer, or cannot ask its kernel.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo flows
  relevo flows --json | jq '.services[] | {name, pins, guesses, heals}'")]
pub(crate) struct Args {
    #[command(flatten)]
    node: ask::Node,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let flows = args.node.client().flows()?;
    if json {
        println!("{}", serde_json::json!(flows));
    } else {
        anstream::print!("{}", words(&flows));
    }
    Ok(ExitCode::SUCCESS)
}

fn words(flows: &FlowStatus) -> String {
    let mut text = String::new();
    for service in &flows.services {
        text.push_str(&format!(
            "{} at {} ({}): {} pins, {} from clients, {} guesses, {} heals, {} stale resets, {} refused, {} ICMP errors\n",
            paint(TITLE, &service.name),
            service.at,
            service.form,
            service.pins,
            passed(service.from_clients),
            service.guesses,
            service.heals,
            service.stale,
            service.refused,
            service.errors
        ));
        text.push_str(&printer::table(2, &["SERVER", "PINS", "TO IT", "FROM IT"], &rows(service)));
        text.push('\n');
    }
    if flows.fragments > 0 {
        let told = format!("{} pieces of packets were refused", flows.fragments);
        text.push_str(&format!("{}\n", paint(DOUBT, &told)));
    }
    for (service, path) in &flows.userspace {
        text.push_str(&format!(
            "{} is served by the userspace engine: {}\n",
            paint(TITLE, service),
            path.why
        ));
    }
    if text.is_empty() {
        text.push_str("no service of mode tcp or udp\n");
    }
    text
}

fn rows(service: &ServiceFlows) -> Vec<Vec<Cell>> {
    let row = |server: &relevo_api::types::ServerFlows| {
        vec![
            styled(TITLE, server.at),
            cell(server.pins),
            cell(passed(server.sent)),
            cell(passed(server.received)),
        ]
    };
    service.servers.iter().map(row).collect()
}

fn passed(passed: Passed) -> String {
    format!("{} packets ({} bytes)", passed.packets, passed.bytes)
}
