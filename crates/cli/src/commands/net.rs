//! `relevo net`: bridges, tunnels, bonds and VLANs of this machine as the cluster file wants them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use clap::Subcommand;
use relevo_model::ClusterFile;
use relevo_node::layer2::{self, Guarded, Layer2Error, Verdict};
use serde_json::json;

use crate::failure::Failure;

/// Arguments of `relevo net`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
#[command(after_help = "\
Only interfaces that the file names in [interface.NAME] are touched, and their ports. A change is \
undone by itself unless `relevo net confirm` comes in time, also when the terminal or the ssh \
connection is gone. Nothing survives a reboot; what was confirmed is made again by `relevo net \
apply --confirmed`.

Examples:
  relevo net plan cluster.toml --name lb1
  relevo net apply && relevo net verify && relevo net confirm")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what would change and what connections would notice; change nothing.
    Plan {
        #[command(flatten)]
        which: Which,
    },
    /// Change the interfaces, and change them back unless `relevo net confirm` comes in time.
    Apply {
        #[command(flatten)]
        which: Which,
        /// How long to wait for `relevo net confirm`.
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
        confirm_within: Duration,
        /// Do not wait for a confirmation.
        #[arg(long, conflicts_with = "confirm_within")]
        no_confirm: bool,
        /// Make what was confirmed last, rather than what the file wants now: for the start of the machine.
        #[arg(long, conflicts_with_all = ["confirm_within", "no_confirm"])]
        confirmed: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show the interfaces, the spanning tree, and what is not as the file wants. Exit code 1: something is not.
    Verify {
        #[command(flatten)]
        which: Which,
    },
    /// Keep the change that waits.
    Confirm {
        #[command(flatten)]
        place: Place,
    },
    /// Undo the change that waits, at once.
    Rollback {
        #[command(flatten)]
        place: Place,
    },
    #[command(hide = true)]
    Guard {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The cluster file.
    #[arg(value_name = "FILE", default_value = "/etc/relevo/cluster.toml")]
    file: PathBuf,
    /// The same, as `relevo node run` has it.
    #[arg(id = "named", long = "file", short = 'f', value_name = "FILE", conflicts_with = "file")]
    named: Option<PathBuf>,
    /// Which of its nodes this machine is, if it is not called like it.
    #[arg(long, short, value_name = "NODE")]
    name: Option<String>,
}

impl Which {
    fn file(&self) -> &Path {
        self.named.as_deref().unwrap_or(&self.file)
    }
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The folder of what is remembered over restarts.
    #[arg(long, value_name = "DIR", env = "RELEVO_STATE_DIR", default_value = "/var/lib/relevo")]
    state_dir: PathBuf,
}

fn time(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(86_400);
    let time = relevo_model::quantity::parse_duration(text).map_err(|hint| hint.to_string())?;
    if range.contains(&time) { Ok(time) } else { Err("a time from 1s to 1d".to_owned()) }
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    match args.action {
        Action::Plan { which } => plan(&which, json),
        Action::Apply { which, confirm_within, no_confirm, confirmed, place } => {
            let program = std::env::current_exe().map_err(|error| Failure::Failed(error.into()))?;
            let guarded = (!no_confirm && !confirmed).then_some(Guarded { program, within: confirm_within });
            apply(&which, &place.state_dir, guarded.as_ref(), confirmed, json)
        }
        Action::Verify { which } => verify(&which, json),
        Action::Confirm { place } => {
            layer2::confirm(&place.state_dir).map_err(failure)?;
            say(json, json!({ "confirmed": true }), "the change stays\n")
        }
        Action::Rollback { place } => {
            layer2::roll_back(&place.state_dir).map_err(failure)?;
            say(json, json!({ "rolled_back": true }), "all is as it was before the change\n")
        }
        Action::Guard { place } => {
            layer2::guard(&place.state_dir).map_err(failure)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn failure(error: Layer2Error) -> Failure {
    match error {
        Layer2Error::Name(_) | Layer2Error::NotPending | Layer2Error::Pending => Failure::Wrong(error.into()),
        Layer2Error::Problems(_)
        | Layer2Error::Failed(_)
        | Layer2Error::Stuck { .. }
        | Layer2Error::Differs(_)
        | Layer2Error::Net(_)
        | Layer2Error::State { .. } => Failure::Failed(error.into()),
    }
}

fn say(json: bool, value: serde_json::Value, words: &str) -> Result<ExitCode, Failure> {
    match json {
        true => println!("{value}"),
        false => print!("{words}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<ClusterFile, Failure> {
    let text = relevo_node::file::read(path).map_err(anyhow::Error::from)?;
    let reading = relevo_model::read(&text);
    reading.cluster.ok_or_else(|| {
        let shown =
            relevo_model::diagnostic::render(&path.display().to_string(), &text, &reading.diagnostics);
        Failure::Wrong(anyhow!("{} has mistakes\n{shown}", path.display()))
    })
}

fn plan(which: &Which, json: bool) -> Result<ExitCode, Failure> {
    let cluster = read(which.file())?;
    let node = layer2::node(&cluster, which.name.as_deref()).map_err(failure)?;
    let look = layer2::look(&cluster, node).map_err(failure)?;
    let plan = &look.plan;
    let words: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    let value = json!({ "node": node.name, "steps": words, "cuts": plan.cuts, "problems": plan.problems });
    let mut text = String::new();
    if words.is_empty() && plan.problems.is_empty() {
        text.push_str(&format!("nothing to do on {}: all is as the file wants\n", node.name));
    }
    for step in &words {
        text.push_str(&format!("  {step}\n"));
    }
    for cut in &plan.cuts {
        text.push_str(&format!("  noticed: {cut}\n"));
    }
    for problem in &plan.problems {
        text.push_str(&format!("  cannot be done: {problem}\n"));
    }
    say(json, value, &text)?;
    Ok(if plan.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn apply(
    which: &Which,
    state: &Path,
    guarded: Option<&Guarded>,
    confirmed: bool,
    json: bool,
) -> Result<ExitCode, Failure> {
    let cluster = read(which.file())?;
    let node = layer2::node(&cluster, which.name.as_deref()).map_err(failure)?;
    let applied = layer2::apply(&cluster, node, state, guarded, confirmed).map_err(failure)?;
    let words: Vec<String> = applied.plan.steps.iter().map(ToString::to_string).collect();
    let mut text: String = words.iter().map(|step| format!("  {step}\n")).collect();
    if words.is_empty() {
        text.push_str(&format!("nothing to do on {}: all is as the file wants\n", node.name));
    } else {
        text.push_str("done, and read back\n");
    }
    let within = guarded.filter(|_| applied.waits).map(|guarded| guarded.within.as_secs());
    if let Some(seconds) = within {
        text.push_str(&format!("it is undone in {seconds} s unless you say: relevo net confirm\n"));
    }
    say(json, json!({ "node": node.name, "steps": words, "confirm_within": within }), &text)
}

fn verify(which: &Which, json: bool) -> Result<ExitCode, Failure> {
    let cluster = read(which.file())?;
    let node = layer2::node(&cluster, which.name.as_deref()).map_err(failure)?;
    let verdict = layer2::verify(&cluster, node).map_err(failure)?;
    let value = serde_json::to_value(&verdict).map_err(|error| Failure::Failed(error.into()))?;
    say(json, value, &words(&verdict))?;
    Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn words(verdict: &Verdict) -> String {
    let mut text = String::new();
    for interface in &verdict.interfaces {
        let mut facts = vec![interface.kind.clone(), format!("mtu {}", interface.mtu)];
        facts.push(if interface.up { "up" } else { "down" }.to_owned());
        facts.extend(interface.root.map(|root| if root { "STP root" } else { "STP" }.to_owned()));
        facts.extend(interface.addresses.iter().cloned());
        text.push_str(&format!("{}  {}\n", interface.name, facts.join(", ")));
        for port in &interface.ports {
            let state = port.state.map(|state| format!("{state:?}").to_lowercase());
            let state = if port.carrier {
                state.unwrap_or_else(|| "port".to_owned())
            } else {
                "no carrier".to_owned()
            };
            let cost = port.cost.map(|cost| format!(", cost {cost}")).unwrap_or_default();
            text.push_str(&format!("    {}  {state}{cost}\n", port.name));
        }
    }
    for finding in &verdict.findings {
        text.push_str(&format!("  {finding}\n"));
    }
    text.push_str(if verdict.ok { "all is as the file wants\n" } else { "not all is as the file wants\n" });
    text
}
