//! `relevo demo`: the whole story once, for somebody who has never seen it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use relevo_lab::drill::{self, Facts, Outcome, RunOptions, Stop};
use relevo_lab::report::{DrillReport, Record, Run, timeline};
use relevo_lab::{Lab, probe};

use crate::commands::drill::{bring_up, failure};
use crate::commands::example;
use crate::failure::Failure;
use crate::printer::{BAD, FAINT, GOOD, HINT, TITLE, paint};
use crate::progress::Progress;

/// Builds a cluster on this machine, shows it at work, kills its active director, and tells what a client noticed.
///
/// The cluster is the example s4: two directors, three servers, six switches, four of them with spanning tree. Everything is
/// made of network namespaces and is gone afterwards.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the cluster up at the end and say how to go on.
    #[arg(long)]
    keep: bool,
}

/// How many requests are shown.
const SHOWN: usize = 6;
/// Longest wait for one of them.
const ASK_WITHIN: Duration = Duration::from_secs(3);

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    if json {
        return Err(Failure::Wrong(anyhow!(
            "the demo is for people; `relevo drill run --json` is for programs"
        )));
    }
    title("A web cluster on this machine, made of network namespaces");
    println!("  Two directors share one address. Behind them are three web servers; around them six");
    println!("  switches, four of them with spare links. Nothing outside is touched, and all of it is");
    println!("  gone at the end.\n");
    let began = Instant::now();
    let lab = bring_up(example::S4)?;
    anstream::println!("  {} in {:.1} s\n", paint(GOOD, "It is up,"), began.elapsed().as_secs_f64());
    let shown = crate::interrupt::flag().map_err(Failure::Failed).and_then(|stopped| show(&lab, &stopped));
    let keep = args.keep && shown.is_ok();
    if keep {
        go_on(&lab);
    } else {
        let mut progress = Progress::new();
        progress.show("  taking everything down");
        lab.down().map_err(failure)?;
        progress.clear();
        println!("  The cluster is gone; nothing is left of it on this machine.");
        println!("  DEMO=keep make demo (or relevo demo --keep) leaves it up to play with.");
    }
    shown
}

fn show(lab: &Lab, stopped: &AtomicBool) -> Result<ExitCode, Failure> {
    // The drawing's own legend is for those who know the words.
    let drawing = relevo_lab::draw(lab.cluster(), &lab.status().map_err(failure)?);
    for line in drawing.lines().filter(|line| !line.starts_with("══")) {
        anstream::println!("{}", format!("  {}", bright(line)).trim_end());
    }
    let legend = "══ cable in use   ·· cable held back by the spanning tree   ~~ VXLAN";
    anstream::println!("\n  {}\n", paint(FAINT, legend));
    let facts = Facts::new(lab.cluster()).map_err(|error| anyhow!(error))?;
    if let Some(url) = lab.url() {
        title(&format!("{SHOWN} requests, one after the other"));
        requests(&url)?;
    }
    let active = holder(lab, &facts)?;
    title(&format!("Now {active} dies: kill -9 for everything that runs on it"));
    println!("  Meanwhile a client opens a new connection every 10 ms and keeps four others busy.\n");
    let outcome = crash(lab, stopped)?;
    if let Some(record) = &outcome.worst {
        println!("{}", picture(record));
    }
    title("What the client noticed");
    for run in &outcome.report.runs {
        noticed(run);
    }
    verdict(&outcome.report);
    if let Some(url) = lab.url() {
        let active = holder(lab, &facts)?;
        title(&format!("The same address, now on {active}"));
        requests(&url)?;
    }
    Ok(ExitCode::from(u8::from(!outcome.report.passed)))
}

fn crash(lab: &Lab, stopped: &AtomicBool) -> Result<Outcome, Failure> {
    let crash = drill::find("director-crash").context("the drill is gone")?;
    let program = std::env::current_exe().context("cannot find the running program")?;
    let mut progress = Progress::new();
    progress.show("  the client is asking");
    drill::run(lab, crash, &RunOptions::new(program), stopped, |_, _| {}).map_err(|stop| match stop {
        Stop::Interrupted => Failure::Failed(anyhow!("interrupted; everything was undone")),
        Stop::Problem(problem) => Failure::Failed(anyhow!(problem)),
    })
}

fn holder(lab: &Lab, facts: &Facts) -> Result<String, Failure> {
    let status = lab.status().map_err(failure)?;
    let holders = status.holders(facts.target.ip());
    Ok(holders.first().map_or_else(|| "nobody".to_owned(), |name| (*name).to_owned()))
}

/// Who is active stands out, and so does where to look.
fn bright(line: &str) -> String {
    if line.contains("ACTIVE") || line.starts_with("open ") { paint(TITLE, line) } else { line.to_owned() }
}

/// Asks some times and shows who answered.
fn requests(url: &str) -> Result<(), Failure> {
    let target: SocketAddr = url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .with_context(|| format!("cannot ask {url}"))?;
    let mut answers = Vec::new();
    for _ in 0..SHOWN {
        answers.push(match probe::fetch(target, "/", ASK_WITHIN) {
            Ok((200, Some(server))) => paint(GOOD, &server),
            Ok((status, server)) => format!("{} {status}", server.unwrap_or_default()).trim().to_owned(),
            Err(why) => paint(BAD, &format!("{why:?}").to_lowercase()),
        });
    }
    anstream::println!("  $ curl {url}");
    anstream::println!("  answered by  {}\n", answers.join("  "));
    Ok(())
}

/// The timeline without what somebody who sees it for the first time does not need.
fn picture(record: &Record) -> String {
    timeline(record) + "\n  #  answers as usual    :  .  fewer    x  turned away    =  has the address\n"
}

fn noticed(run: &Run) {
    let of = |part: u64, whole: u64| format!("{part} of {whole}");
    let row = |what: &str, value: &str, note: &str| {
        anstream::println!(
            "  {what:<38}{:>12}   {}",
            paint(TITLE, &format!("{value:>12}")),
            paint(FAINT, note)
        );
    };
    row("longest time without an answer", &format!("{} ms", run.gap_ms), "");
    row("requests without an answer", &of(run.lost, run.lost + run.answers), "one every 10 ms");
    row("kept connections that broke", &run.cut.to_string(), "of four; they were opened again");
    if let (Some(takeover), Some(to)) = (run.takeover_ms, &run.to) {
        row(
            &format!("the address was on {to} after"),
            &format!("{takeover} ms"),
            "three adverts of 100 ms were missed",
        );
    }
    if let Some(from) = &run.from {
        let note = format!("{from} was dead; the kernel took its address away");
        row("the address was on both for", &format!("{} ms", run.two_holders_ms), &note);
    }
    if let Some(gap) = run.undo_gap_ms {
        row("longest gap when it came back", &format!("{gap} ms"), "it does not take the address back");
    }
    println!();
}

fn verdict(report: &DrillReport) {
    let kept: Vec<&str> = report.findings.iter().map(|finding| finding.text.as_str()).collect();
    let (style, word) = if report.passed { (GOOD, "PASS") } else { (BAD, "FAIL") };
    anstream::println!("  {}  {}\n", paint(style, word), kept.join(", "));
}

fn go_on(lab: &Lab) {
    title("It stays up: your turn");
    let rows = [
        ("relevo lab status", "who is active, what runs, which links are up"),
        ("relevo lab exec user -- curl -s http://172.16.1.254:8000/", "ask from a client inside"),
        ("relevo lab shell bal1", "look around on a director: ip addr, relevo status"),
        ("relevo lab fault --help", "kill, freeze, pause, cut a link, and their undo"),
        ("relevo drill run --all", "rehearse every failure"),
        ("relevo lab down", "take it down"),
    ];
    if let Some(url) = lab.url() {
        anstream::println!("  {}", paint(TITLE, &url));
    }
    if let Some(folder) = folder_beyond_path() {
        anstream::println!("  {}", paint(HINT, &format!("export PATH=\"{}:$PATH\"", folder.display())));
    }
    let width = rows.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, about) in rows {
        let gap = " ".repeat(width - command.len() + 2);
        anstream::println!("  {}{gap}{}", paint(HINT, command), paint(FAINT, about));
    }
    println!();
}

/// Where this program is, if typing `relevo` would not find it.
fn folder_beyond_path() -> Option<std::path::PathBuf> {
    let folder = std::env::current_exe().ok()?.parent()?.to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|entry| entry.join("relevo").is_file());
    (!found).then_some(folder)
}

fn title(text: &str) {
    anstream::println!("{}\n", paint(TITLE, text));
}
