//! The handle to a running lab.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;
use std::{collections::BTreeMap, fs, thread};

use anyhow::{Context as _, anyhow};
use relevo_api::types::Status;
use relevo_model::ClusterFile;

use crate::inside::{EnterFrom, PEERS_KEY_FILE, STATE_FOLDER, enter_command, path_with};
use crate::keeper::{Answer, Inventory, Wish};
use crate::registry::{KeeperRecord, Registry, Settings, known_log};
use crate::{Fault, LabError, LabStatus, Result, UpOptions, look, take_down, up};

/// Longest wait for the keeper's answer: longer than its own longest wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A handle to a running lab. Dropping it leaves the lab running.
#[derive(Debug)]
pub struct Lab {
    pub(crate) name: String,
    pub(crate) cluster: ClusterFile,
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    pub(crate) keeper: KeeperRecord,
    pub(crate) spaces: BTreeMap<String, i32>,
}

impl Lab {
    /// Brings a lab up and waits until it is ready: spanning trees settled, directors and servers running, one active
    /// director for each group. While it works, SIGINT and SIGTERM undo everything.
    ///
    /// Call it while the process has one thread, or signals may end the process without an undo.
    ///
    /// # Errors
    /// `Wrong`: the file has mistakes, the lab runs already, the subnet is in use on this machine, the kernel or the
    /// permissions do not allow it. `Failed`: something did not come up; everything is undone.
    pub fn up(cluster_text: &str, options: UpOptions) -> Result<Self> {
        up::up(cluster_text, options)
    }

    /// Opens a running lab, by its name or the only one.
    ///
    /// # Errors
    /// `Wrong`: there is no such lab, or several and no name was given.
    pub fn open(name: Option<&str>) -> Result<Self> {
        let running = Self::running()?;
        let list = running.join(", ");
        let name = match (name, running.as_slice()) {
            (Some(name), _) if running.iter().any(|one| one == name) => name,
            (Some(name), []) => {
                return Err(LabError::wrong(format!("the lab {name} is not running: no lab is")));
            }
            (Some(name), _) => {
                return Err(LabError::wrong(format!("the lab {name} is not running; these are: {list}")));
            }
            (None, [one]) => one,
            (None, []) => {
                return Err(LabError::wrong("no lab is running; bring one up: relevo lab up FILE"));
            }
            (None, _) => {
                return Err(LabError::wrong(format!("several labs are running, name one of them: {list}")));
            }
        };
        Self::at(name, Registry::of(name)?)
    }

    /// The names of the labs that run.
    ///
    /// # Errors
    /// `Wrong`: the registry's folder is named wrongly.
    pub fn running() -> Result<Vec<String>> {
        let all = Registry::all()?;
        Ok(all
            .into_iter()
            .filter(|(_, registry)| registry.keeper().is_some())
            .map(|(name, _)| name)
            .collect())
    }

    pub(crate) fn at(name: &str, registry: Registry) -> Result<Self> {
        let gone = || anyhow!("the lab {name} is gone");
        let keeper = registry.keeper().ok_or_else(gone)?;
        let text = fs::read_to_string(registry.cluster_file()).context("cannot read the lab's file")?;
        let cluster = relevo_model::read(&text).cluster.context("cannot understand the lab's file")?;
        let (settings, spaces) = (registry.settings()?, registry.spaces()?);
        Ok(Self { name: name.to_owned(), cluster, registry, settings, keeper, spaces })
    }

    /// Takes the lab down; returns when nothing of it is left.
    ///
    /// # Errors
    /// `Failed`: something is still there after 10 s.
    pub fn down(self) -> Result<()> {
        take_down::down(&self.name).map(|_| ())
    }

    /// Takes a lab down by its name, or the only one, whether its keeper still lives or not. Gives its name.
    ///
    /// # Errors
    /// `Wrong`: there is none of this name, or several and no name was given. `Failed`: something of it stays.
    pub fn down_by_name(name: Option<&str>) -> Result<String> {
        take_down::down_any(name)
    }

    /// The lab's name: the cluster's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster file that the lab was made from.
    pub fn cluster(&self) -> &ClusterFile {
        &self.cluster
    }

    /// The folder with a log for each node (`NODE.log`) and the keeper's (`keeper.log`).
    pub fn log_folder(&self) -> PathBuf {
        self.registry.log_folder()
    }

    /// The log of a node, or of the lab itself (`keeper`). It is there as soon as the node has been started.
    ///
    /// # Errors
    /// `Wrong`: the cluster has no such node.
    pub fn log_file(&self, name: &str) -> Result<PathBuf> {
        known_log(&self.cluster, name)?;
        Ok(self.registry.log_file(name))
    }

    /// Where the first service opens in a browser of this machine; `None`: the host has no leg in the lab.
    pub fn url(&self) -> Option<String> {
        up::url(&self.cluster, &self.settings)
    }

    /// Whether the keeper lives.
    pub fn is_alive(&self) -> bool {
        self.registry.keeper().is_some_and(|keeper| keeper.pid == self.keeper.pid)
    }

    /// A command that runs `argv` inside a node, client or switch; stdio may be set before it is spawned. Killing the
    /// spawned child kills what runs inside; its exit code is passed on. The lab's own `relevo` is found last in PATH, and
    /// finds the node's state, its key, and the files that its cluster file names.
    ///
    /// # Errors
    /// `Wrong`: there is no such node.
    pub fn command(&self, node: &str, argv: &[String]) -> Result<Command> {
        let mut command = self.entering(node)?;
        command.args(argv).envs(path_with(std::env::var_os("PATH"), &self.settings.program));
        command.env("RELEVO_STATE_DIR", STATE_FOLDER).env("RELEVO_LAB_PEERS_KEY", PEERS_KEY_FILE);
        command.env("RELEVO_LAB_FILES", &self.settings.folder);
        Ok(command)
    }

    /// Runs `argv` inside a node, client or switch with this process's stdio.
    ///
    /// # Errors
    /// `Wrong`: there is no such node. `Failed`: it could not be started.
    pub fn exec(&self, node: &str, argv: &[String]) -> Result<Child> {
        Ok(self.command(node, argv)?.spawn().context("cannot enter the lab")?)
    }

    /// Everything that can be seen of the lab.
    ///
    /// # Errors
    /// `Failed`: the lab is gone.
    pub fn status(&self) -> Result<LabStatus> {
        look::status(self)
    }

    /// What a director says of itself, through its control socket.
    ///
    /// # Errors
    /// `Wrong`: no such director. `Failed`: it does not answer.
    pub fn node_status(&self, node: &str) -> Result<Status> {
        look::node_status(self, node)
    }

    /// Makes a fault, or undoes one. Doing it twice is not an error.
    ///
    /// # Errors
    /// `Wrong`: a name that does not exist; the message says which do. `Failed`: it could not be done.
    pub fn fault(&self, fault: Fault) -> Result<()> {
        match self.ask(&Wish::Fault(fault))? {
            Answer::Done | Answer::Inventory(_) => Ok(()),
            Answer::Wrong(text) => Err(LabError::Wrong(text)),
            Answer::Failed(text) => Err(anyhow!(text).into()),
        }
    }

    pub(crate) fn inventory(&self) -> Result<Inventory> {
        match self.ask(&Wish::Inventory)? {
            Answer::Inventory(inventory) => Ok(inventory),
            Answer::Done | Answer::Wrong(_) | Answer::Failed(_) => {
                Err(anyhow!("the lab's keeper is of another version").into())
            }
        }
    }

    fn entering(&self, node: &str) -> Result<Command> {
        let Some(&holder) = self.spaces.get(node) else {
            let names: Vec<&str> = self.spaces.keys().map(String::as_str).collect();
            return Err(LabError::wrong(format!(
                "nothing in the lab is called {node}; there are: {}",
                names.join(", ")
            )));
        };
        let from = EnterFrom::Outside(&self.settings.program, self.keeper.pid);
        Ok(enter_command(from, holder, true))
    }

    fn ask(&self, wish: &Wish) -> Result<Answer> {
        ask(&self.registry, wish)
            .with_context(|| format!("the lab {} does not answer", self.name))
            .map_err(Into::into)
    }
}

/// Sends a wish to a lab's keeper and hears its answer.
pub(crate) fn ask(registry: &Registry, wish: &Wish) -> anyhow::Result<Answer> {
    let mut stream = connect(registry)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut text = serde_json::to_string(wish)?;
    text.push('\n');
    stream.write_all(text.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Connects; a full queue of others gets a few moments.
fn connect(registry: &Registry) -> std::io::Result<UnixStream> {
    let mut tries = 0;
    loop {
        match UnixStream::connect(registry.socket()) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && tries < 50 => {
                tries += 1;
                thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}
