//! `relevo explain`.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use relevo_node::explain::{self, Ask, Explained};

use crate::commands::names::{self, Kind};
use crate::commands::{ask, check};
use crate::failure::Failure;
use crate::printer::{BAD, DOUBT, FAINT, GOOD, TITLE, ago, cell, now_ms, paint, styled, table};

/// What is explained; a command without words here has them where its arguments are.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    Request(Request),
}

/// Explain what a service does with a request: rule by rule, then the pool and the server.
///
/// With a file, nothing else is needed. Without one, the node on this machine is asked for its file and for what it knows of
/// its servers; if the file has changed since the node read it, a warning says so. Nothing is sent to a server, no request is counted.
///
/// Exit code 0: it was explained. 1: the node does not answer. 2: the file, the service or the request is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo explain request 'GET http://shop.example.org/static/logo.png' cluster.toml
  relevo explain request --service shop 'POST https://shop.example.org/login' -H 'Cookie: a=b' --source 192.0.2.7
  relevo explain request --json 'http://shop.example.org/' cluster.toml | jq .pool")]
pub(crate) struct Request {
    /// The request, as in 'GET http://host/path?query'; https means --tls.
    request: String,
    /// The cluster file; - is the standard input.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The service that gets it; needed if there are several.
    #[arg(long, short, add = names::of(Kind::Service))]
    service: Option<String>,
    /// A header of the request, as in 'Name: value'.
    #[arg(long = "header", short = 'H', value_name = "LINE")]
    headers: Vec<String>,
    /// The client's address.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    source: IpAddr,
    /// The client speaks TLS.
    #[arg(long)]
    tls: bool,
    /// The name that the client asks for in TLS, if it is not the request's host.
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
    #[command(flatten)]
    node: ask::Node,
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let Args::Request(args) = args;
    let status = match &args.file {
        Some(_) => None,
        None => Some(args.node.client().status()?),
    };
    let path = match (&args.file, &status) {
        (Some(file), _) => file.as_path(),
        (None, Some(status)) => status.file.path.as_path(),
        (None, None) => Path::new("-"),
    };
    let text = relevo_node::file::read(path).context("cannot read the cluster file")?;
    if let Some(status) = &status
        && status.file.hash != relevo_node::file::hash(&text)
    {
        let ago = ago(now_ms(), status.file.since);
        anstream::eprintln!(
            "{} {} has changed since the node read it, {ago} ago: this is what the file says, not what the node does before \
             `relevo reload`",
            paint(DOUBT, "warning:"),
            path.display()
        );
    }
    let reading = relevo_model::read(&text);
    let Some(cluster) = reading.cluster else {
        return Err(check::mistakes(path, &text, &reading.diagnostics, json));
    };
    let ask = Ask {
        service: args.service.as_deref(),
        request: &args.request,
        headers: &args.headers,
        source: args.source,
        tls: args.tls,
        tls_name: args.tls_name.as_deref(),
    };
    let explained = explain::request(&cluster, &ask, status.as_ref()).map_err(anyhow::Error::from)?;
    if json {
        println!("{}", serde_json::json!(explained));
    } else {
        anstream::print!("{}", words(&explained));
    }
    Ok(ExitCode::SUCCESS)
}

fn words(explained: &Explained) -> String {
    let mut out = format!("{}\n", paint(TITLE, &format!("{}: {}", explained.service, explained.request)));
    if !explained.rules.is_empty() {
        let row = |tried: &explain::Tried| {
            let does =
                if tried.does.is_empty() { String::new() } else { format!("; {}", tried.does.join("; ")) };
            let matched = if tried.matched { styled(GOOD, "matches") } else { styled(FAINT, "no") };
            vec![cell(tried.line), matched, cell(format!("{}{does}", tried.why))]
        };
        let rows: Vec<_> = explained.rules.iter().map(row).collect();
        let _ = write!(out, "\n{}", table(2, &["LINE", "RULE", "WHY"], &rows));
    }
    let _ = write!(out, "\n{}.\n", first_upper(&explained.decision));
    for (title, lines) in
        [("The server gets:", &explained.head), ("What is changed in the answer:", &explained.answer)]
    {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{title}");
            for line in lines {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
    if !explained.candidates.is_empty() {
        let row = |one: &explain::Candidate| {
            let is_it = explained.server.as_ref() == Some(&one.name);
            let may = match (is_it, one.may) {
                (true, _) => styled(GOOD, "gets it"),
                (false, true) => styled(DOUBT, "may get it"),
                (false, false) => styled(BAD, "does not"),
            };
            vec![cell(&one.name), may, cell(&one.why)]
        };
        let rows: Vec<_> = explained.candidates.iter().map(row).collect();
        let _ = write!(out, "\n{}", table(2, &["SERVER", "IT", "WHY"], &rows));
        let _ = write!(out, "\n{}.\n", first_upper(&explained.choice));
    }
    out
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
