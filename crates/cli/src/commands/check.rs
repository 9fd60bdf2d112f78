//! `relevo check`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use relevo_model::cluster::Role;
use relevo_model::{ClusterFile, Diagnostic, Severity, diagnostic};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::printer::{BAD, DOUBT, GOOD, HINT, PLACE, count, paint};

/// Check a cluster file and show every mistake at its place.
///
/// All mistakes are shown in one go, each with what would be right. Nothing is changed anywhere.
///
/// Exit code 0: all files can be used (there may be warnings). 2: at least one cannot.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo check cluster.toml
  relevo check examples/*.toml
  relevo example minimal | relevo check -
  relevo check --json cluster.toml")]
pub(crate) struct Args {
    /// The files; - is the standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let mut fine = true;
    let mut values = Vec::new();
    for path in &args.files {
        let checked = check(path, json);
        fine &= checked.fine;
        values.push(checked.value);
    }
    if json {
        println!("{}", json!({ "fine": fine, "files": values }));
    }
    Ok(ExitCode::from(if fine { 0 } else { 2 }))
}

/// Shows the mistakes of a file that was to be used for something else.
pub(crate) fn mistakes(path: &Path, text: &str, diagnostics: &[Diagnostic], json: bool) -> Failure {
    if json {
        let error = format!("{}: {}", path.display(), tally(diagnostics));
        println!("{}", json!({ "error": error, "file": path.to_string_lossy(), "diagnostics": diagnostics }));
    } else {
        show(path, text, diagnostics);
    }
    Failure::Shown
}

struct Checked {
    fine: bool,
    value: Value,
}

fn check(path: &Path, json: bool) -> Checked {
    let text = match relevo_node::file::read(path) {
        Ok(text) => text,
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            if !json {
                anstream::eprintln!("{} {error}", paint(BAD, "relevo:"));
            }
            return Checked {
                fine: false,
                value: json!({ "file": path.to_string_lossy(), "fine": false, "error": error }),
            };
        }
    };
    let reading = relevo_model::read(&text);
    if !json {
        show(path, &text, &reading.diagnostics);
        if let Some(cluster) = &reading.cluster {
            anstream::println!("{}: {}: {}", path.display(), paint(GOOD, "fine"), words(cluster));
        }
    }
    let mut value = json!({ "file": path.to_string_lossy(), "fine": reading.cluster.is_some(), "diagnostics": reading.diagnostics });
    if let (Some(cluster), Some(fields)) = (&reading.cluster, value.as_object_mut()) {
        fields.insert(
            "cluster".to_owned(),
            json!({
                "name": cluster.name,
                "directors": of_role(cluster, Role::Director),
                "servers": servers(cluster),
                "addresses": cluster.addresses.len(),
                "services": cluster.services.len(),
            }),
        );
    }
    Checked { fine: reading.cluster.is_some(), value }
}

/// Shows what the check says of a text; in words what is in it, if it can be used.
pub(crate) fn told(path: &Path, text: &str) -> Option<String> {
    let reading = relevo_model::read(text);
    show(path, text, &reading.diagnostics);
    reading.cluster.map(|cluster| format!("{}: {}: {}", path.display(), paint(GOOD, "fine"), words(&cluster)))
}

/// Prints the findings on stderr, and how many there are.
fn show(path: &Path, text: &str, diagnostics: &[Diagnostic]) {
    if diagnostics.is_empty() {
        return;
    }
    show_plain(&diagnostic::render(&path.to_string_lossy(), text, diagnostics));
    anstream::eprintln!("{}: {}", path.display(), tally(diagnostics));
}

/// Prints findings that somebody else has put into words.
pub(crate) fn show_plain(findings: &str) {
    anstream::eprintln!("{}", findings.lines().map(colour).collect::<Vec<_>>().join("\n"));
}

fn colour(line: &str) -> String {
    let trimmed = line.trim_start();
    for (word, style) in [("error:", BAD), ("warning:", DOUBT)] {
        if let Some(rest) = line.strip_prefix(word) {
            return format!("{}{rest}", paint(style, word));
        }
    }
    if trimmed.starts_with("--> ") {
        paint(PLACE, line)
    } else if trimmed.starts_with("= help:") {
        paint(HINT, line)
    } else if let Some(marks) = trimmed.strip_prefix('|').filter(|rest| rest.trim().starts_with('^')) {
        let gutter = line.len() - marks.len();
        format!("{}{}", paint(PLACE, &line[..gutter]), paint(BAD, marks))
    } else {
        line.to_owned()
    }
}

fn tally(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    match (errors, warnings) {
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

fn of_role(cluster: &ClusterFile, role: Role) -> usize {
    cluster.nodes.iter().filter(|node| node.is(role)).count()
}

/// Nodes that are servers, and what pools use by address alone.
fn servers(cluster: &ClusterFile) -> usize {
    let nodes = || cluster.nodes.iter().filter(|node| node.is(Role::Server));
    let is_node = |ip: &IpAddr| nodes().any(|node| node.addresses.iter().any(|address| address.has(*ip)));
    let used = cluster.pools.iter().flat_map(|pool| &pool.servers).map(|server| server.at.ip());
    let strangers: BTreeSet<IpAddr> = used.filter(|ip| !is_node(ip)).collect();
    nodes().count() + strangers.len()
}

fn words(cluster: &ClusterFile) -> String {
    [
        count(of_role(cluster, Role::Director), "director"),
        count(servers(cluster), "server"),
        count(cluster.addresses.len(), "address"),
        count(cluster.services.len(), "service"),
    ]
    .join(", ")
}
