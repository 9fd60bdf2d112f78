//! `relevo doctor`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use relevo_node::doctor::{Finding, Patient, Verdict, examine};
use serde_json::json;

use crate::commands::{ask, check};
use crate::failure::Failure;
use crate::printer::{BAD, DOUBT, GOOD, HINT, count, paint};
use crate::progress::Progress;

/// Look at this machine and its neighbours before, or while, it is a node of the cluster.
///
/// Permissions, limits, sysctls, files, ports, interfaces, MTU end to end, clocks, VRRP adverts on the wire and who answers for
/// the virtual addresses. Nothing is changed. With the node running it knows more, and looks at that one unless told otherwise.
///
/// Exit code 0: nothing bad was found. 1: something was. 2: wrong use.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo doctor
  relevo doctor --file cluster.toml --name lb1 --json")]
pub(crate) struct Args {
    /// The cluster file; unless said, that of the node that runs here, else /etc/relevo/cluster.toml.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Which of its nodes this machine is; unless said, the one that runs here, else the host name.
    #[arg(long, short, value_name = "NODE")]
    name: Option<String>,
    /// The folder of the files that the running node's file names: a lab's nodes have copies of the file alone.
    #[arg(long, value_name = "DIR", env = "RELEVO_LAB_FILES", hide = true)]
    files_from: Option<PathBuf>,
    /// The key of the channel between directors that a lab's node has.
    #[arg(long, value_name = "FILE", env = "RELEVO_LAB_PEERS_KEY", hide = true)]
    peers_key: Option<PathBuf>,
    /// Seconds to listen for adverts; at least as long as three of them take.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=600))]
    listen: u32,
    /// Show also what is good.
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    node: ask::Node,
}

/// Where the cluster file is when nobody says so.
const USUAL_FILE: &str = "/etc/relevo/cluster.toml";

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    // A node that does not run is nothing that is wrong here.
    let runs = args.node.client().status().ok();
    let guessed = args.file.is_none();
    let (file, of_node) = match (args.file, &runs) {
        (Some(file), _) => (file, None),
        (None, Some(runs)) => (runs.file.path.clone(), Some(runs.node.to_string())),
        (None, None) => (PathBuf::from(USUAL_FILE), None),
    };
    let text = relevo_node::file::read(&file).map_err(anyhow::Error::from);
    let text =
        if guessed { text.map_err(|error| anyhow!("{error}; another file: --file FILE"))? } else { text? };
    let reading = relevo_model::read(&text);
    let Some(mut cluster) = reading.cluster else {
        return Err(check::mistakes(&file, &text, &reading.diagnostics, json));
    };
    let of_lab = args.files_from.filter(|_| guessed);
    cluster.resolve(&of_lab.unwrap_or_else(|| relevo_node::file::folder_of(&file)));
    if let (Some(peers), Some(key), true) = (&mut cluster.peers, args.peers_key, guessed) {
        peers.key = key;
    }
    let name = args.name.or(of_node);
    let name = relevo_node::node_of(&cluster, name.as_deref()).map_err(anyhow::Error::from)?;
    let status = runs.filter(|status| status.node == name);
    let patient = Patient {
        cluster: &cluster,
        node: &name,
        status: status.as_ref(),
        listen: Duration::from_secs(u64::from(args.listen)),
    };
    let mut progress = Progress::new();
    let findings = examine(patient, &mut |what| progress.show(&format!("looking at {what}")));
    progress.clear();
    let bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    if json {
        let value = json!({ "node": name, "runs": status.is_some(), "fine": !bad, "findings": findings });
        println!("{value:#}");
    } else {
        anstream::print!("{}", words(&findings, args.all));
        if status.is_none() {
            println!("{name} does not run here: what the directors know of each other was not asked.");
        }
    }
    Ok(ExitCode::from(u8::from(bad)))
}

fn words(findings: &[Finding], all: bool) -> String {
    let shown = findings.iter().filter(|finding| all || finding.verdict != Verdict::Good);
    let mut text = String::new();
    for finding in shown {
        let (style, word) = match finding.verdict {
            Verdict::Good => (GOOD, "good"),
            Verdict::Unknown => (HINT, "unknown"),
            Verdict::Doubtful => (DOUBT, "doubtful"),
            Verdict::Bad => (BAD, "bad"),
        };
        let Finding { check, seen, remedy, .. } = finding;
        text.push_str(&format!("{} {check:<11} {seen}\n", paint(style, &format!("{word:<8}"))));
        if !remedy.is_empty() {
            text.push_str(&format!("{:21}{}\n", "", paint(HINT, &format!("= help: {remedy}"))));
        }
    }
    let number = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (bad, doubtful, unknown) =
        (number(Verdict::Bad), number(Verdict::Doubtful), number(Verdict::Unknown));
    let good = paint(GOOD, &count(number(Verdict::Good), "check"));
    text.push_str(&format!("{good} good, {doubtful} doubtful, {bad} bad, {unknown} unknown\n"));
    text
}
