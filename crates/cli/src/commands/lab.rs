//! `relevo lab`: the whole cluster out of network namespaces on this machine.

mod fault;
mod words;

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{fs, io, thread};

use anyhow::anyhow;
use clap::Subcommand;
use relevo_lab::{Interrupts, Lab, LabError, UpOptions};

use crate::commands::lab_names::{self, Kind};
use crate::failure::Failure;
use crate::progress::Progress;

/// Time between two looks at whether the lab still lives.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Arguments of `relevo lab`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Action,
}

/// What can be done with a lab.
#[derive(Debug, Subcommand)]
enum Action {
    /// Build the cluster of this file and wait until it is ready.
    #[command(after_help = "\
As root, this machine gets an interface in the lab, and its browser opens the virtual address. Without root, the lab runs
in a user namespace and the first service is also at http://127.0.0.1:PORT/. Commands under [lab.run] are run in the
file's folder, once for each port that the node's servers have, with RELEVO_NODE, RELEVO_SERVER, RELEVO_PORT,
RELEVO_ADDRESS and RELEVO_ADDRESS_NETWORK set.")]
    Up {
        /// The cluster file.
        file: PathBuf,
        /// Stay until Ctrl-C, then take it down.
        #[arg(long)]
        foreground: bool,
        /// Do not wait until everything is ready.
        #[arg(long)]
        no_wait: bool,
    },
    /// Take a lab down; nothing of it stays.
    Down {
        /// The lab, if there are several.
        #[arg(add = lab_names::of(Kind::Lab))]
        name: Option<String>,
    },
    /// Show nodes, addresses, switches and cables, and a drawing.
    Status {
        /// The lab, if there are several.
        #[arg(add = lab_names::of(Kind::Lab))]
        name: Option<String>,
    },
    /// Run a command inside a node, client or switch.
    Exec {
        /// The lab, if there are several.
        #[arg(long, add = lab_names::of(Kind::Lab))]
        lab: Option<String>,
        /// The node, client or switch.
        #[arg(add = lab_names::of(Kind::Any))]
        node: String,
        /// The command.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Open a shell inside a node, client or switch.
    Shell {
        /// The lab, if there are several.
        #[arg(long, add = lab_names::of(Kind::Lab))]
        lab: Option<String>,
        /// The node, client or switch.
        #[arg(add = lab_names::of(Kind::Any))]
        node: String,
    },
    /// Print what a node's processes said. With `--json` and `--follow` a value for each time that something comes.
    Logs {
        /// The lab, if there are several.
        #[arg(long, add = lab_names::of(Kind::Lab))]
        lab: Option<String>,
        /// Go on printing what comes.
        #[arg(short, long)]
        follow: bool,
        /// The node; `keeper` is the lab itself.
        #[arg(add = lab_names::of(Kind::Node))]
        node: String,
    },
    /// Break something, or mend it.
    Fault(fault::Args),
    /// For the lab's own use.
    #[command(hide = true)]
    Inside {
        /// The stage and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    match args.command {
        Action::Up { file, foreground, no_wait } => up(&file, foreground, no_wait, json),
        Action::Down { name } => down(name.as_deref(), json),
        Action::Status { name } => status(name.as_deref(), json),
        Action::Exec { lab, node, command } => exec(&open(lab.as_deref())?, &node, &command),
        Action::Shell { lab, node } => shell(&open(lab.as_deref())?, &node),
        Action::Logs { lab, follow, node } => logs(&open(lab.as_deref())?, &node, follow, json),
        Action::Fault(args) => fault::run(args, json),
        Action::Inside { arguments } => Ok(relevo_lab::run_stage(&arguments)),
    }
}

fn open(name: Option<&str>) -> Result<Lab, Failure> {
    Lab::open(name).map_err(failure)
}

fn failure(error: LabError) -> Failure {
    match error {
        LabError::Wrong(text) => Failure::Wrong(anyhow!(text)),
        LabError::Interrupted => Failure::Failed(anyhow!(LabError::Interrupted)),
        LabError::Failed(error) => Failure::Failed(error),
    }
}

fn up(file: &PathBuf, foreground: bool, no_wait: bool, json: bool) -> Result<ExitCode, Failure> {
    let text = relevo_node::file::read(file).map_err(anyhow::Error::from)?;
    let reading = relevo_model::read(&text);
    if reading.cluster.is_none() {
        let shown =
            relevo_model::diagnostic::render(&file.display().to_string(), &text, &reading.diagnostics);
        return Err(Failure::Wrong(anyhow!("{} has mistakes\n{shown}", file.display())));
    }
    let folder = fs::canonicalize(file).ok().and_then(|path| path.parent().map(PathBuf::from));
    let mut line = Progress::with_lines();
    let progress = Box::new(move |text: &str| line.show(text));
    let mut options = UpOptions { folder, progress, ..UpOptions::default() };
    if no_wait {
        options.ready_within = Duration::ZERO;
    }
    // Held back to the end, so that no moment is left in which Ctrl-C would leave something behind.
    let interrupts = Interrupts::hold_back().map_err(failure)?;
    let lab = Lab::up(&text, options).map_err(failure)?;
    let seen = lab.status().map_err(failure)?;
    if json {
        println!("{}", serde_json::to_string(&seen).map_err(|error| Failure::Failed(error.into()))?);
    } else {
        let is_only = Lab::running().map_err(failure)?.len() < 2;
        print!("{}", words::summary(lab.cluster(), &seen, foreground, is_only));
    }
    if foreground { stay(lab, &interrupts) } else { Ok(ExitCode::SUCCESS) }
}

/// Stays until a signal comes or the lab is gone.
fn stay(lab: Lab, interrupts: &Interrupts) -> Result<ExitCode, Failure> {
    while interrupts.wait(LOOK_EVERY).is_ok() {
        if !lab.is_alive() {
            let _ = lab.down();
            return Err(Failure::Failed(anyhow!("the lab ended by itself or was taken down")));
        }
    }
    lab.down().map_err(failure)?;
    Ok(ExitCode::SUCCESS)
}

fn down(name: Option<&str>, json: bool) -> Result<ExitCode, Failure> {
    let name = Lab::down_by_name(name).map_err(failure)?;
    match json {
        true => println!("{}", serde_json::json!({ "down": name })),
        false => println!("the lab {name} is gone"),
    }
    Ok(ExitCode::SUCCESS)
}

fn status(name: Option<&str>, json: bool) -> Result<ExitCode, Failure> {
    let lab = open(name)?;
    let seen = lab.status().map_err(failure)?;
    match json {
        true => println!("{}", serde_json::to_string(&seen).map_err(|error| Failure::Failed(error.into()))?),
        false => print!("{}", words::status(lab.cluster(), &seen)),
    }
    Ok(ExitCode::SUCCESS)
}

fn exec(lab: &Lab, node: &str, command: &[String]) -> Result<ExitCode, Failure> {
    run_inside(lab.command(node, command).map_err(failure)?)
}

fn shell(lab: &Lab, node: &str) -> Result<ExitCode, Failure> {
    let shell = std::env::var("SHELL").ok().filter(|shell| fs::metadata(shell).is_ok());
    let shell = shell.unwrap_or_else(|| String::from("/bin/sh"));
    let mut command = lab.command(node, &[]).map_err(failure)?;
    // What a shell reads at its start would set a prompt of its own.
    match PathBuf::from(&shell).file_name().and_then(|name| name.to_str()) {
        Some("bash") => command.args([shell.as_str(), "--norc"]),
        Some("zsh") => command.args([shell.as_str(), "-f"]),
        Some(_) | None => command.arg(&shell),
    };
    let prompt = format!("[{}/{node}] # ", lab.name());
    command.env("PS1", prompt);
    run_inside(command)
}

fn run_inside(mut command: Command) -> Result<ExitCode, Failure> {
    let status =
        command.status().map_err(|error| Failure::Failed(anyhow!(error).context("cannot enter the lab")))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn logs(lab: &Lab, node: &str, follow: bool, json: bool) -> Result<ExitCode, Failure> {
    let path = lab.log_file(node).map_err(failure)?;
    let mut file = fs::File::open(&path)
        .map_err(|error| Failure::Failed(anyhow!(error).context(format!("there is no log of {node} yet"))))?;
    let mut out = io::stdout();
    loop {
        let mut buffer = Vec::new();
        let read = file.read_to_end(&mut buffer);
        if json && (!follow || !buffer.is_empty()) {
            let text = String::from_utf8_lossy(&buffer);
            let lines: Vec<&str> = text.lines().collect();
            buffer = format!("{}\n", serde_json::json!({ "node": node, "lines": lines })).into_bytes();
        }
        let read = read.and_then(|_| out.write_all(&buffer)).and_then(|()| out.flush());
        if let Err(error) = read {
            // The reader has seen enough (`| head`).
            let enough = error.kind() == io::ErrorKind::BrokenPipe;
            return if enough { Ok(ExitCode::SUCCESS) } else { Err(Failure::Failed(error.into())) };
        }
        if !follow || !lab.is_alive() {
            return Ok(ExitCode::SUCCESS);
        }
        thread::sleep(Duration::from_millis(200));
    }
}
