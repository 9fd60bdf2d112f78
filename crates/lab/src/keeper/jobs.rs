//! What runs on the nodes: the process that a node is for, how it ended, starting it again. Nothing is started again by
//! itself: a drill that kills something wants it dead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use relevo_model::ClusterFile;
use relevo_model::cluster::{CheckKind, Node, Pool, Role};

use super::notify::Notify;
use crate::Result;
use crate::inside::{
    CLUSTER_FILE, EnterFrom, NOTIFY_SOCKET, PEERS_KEY_FILE, STATE_FOLDER, enter_command, path_with,
};
use crate::registry::{Registry, Settings};

/// A process that a node is for.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) node: String,
    pub(super) role: Role,
    /// The port that a server's process is for; `None`: a director, or a command on a node without servers.
    pub(super) port: Option<u16>,
    holder: i32,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Its process id while it runs.
    pub(super) pid: Option<i32>,
    /// Its processes before this one, as long as they finish their connections (`relevo upgrade`).
    pub(super) formers: Vec<i32>,
    /// Whether it was told to end and has not yet.
    pub(super) is_stopping: bool,
    /// How it ended last.
    pub(super) how: String,
}

/// All of a lab's jobs.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) jobs: Vec<Job>,
    registry: Registry,
    folder: PathBuf,
    program: PathBuf,
    notify: Notify,
}

impl Jobs {
    /// The jobs of a cluster, none of them started.
    pub(super) fn new(
        cluster: &ClusterFile,
        registry: &Registry,
        settings: &Settings,
        pids: &BTreeMap<String, i32>,
        notify: Notify,
    ) -> Result<Self> {
        let program = own_program();
        let mut jobs = Vec::new();
        for node in &cluster.nodes {
            let Some(&holder) = pids.get(node.name.as_str()) else { continue };
            for role in [Role::Director, Role::Server] {
                let works = match role {
                    Role::Director if node.is(role) => {
                        vec![(None, director_arguments(&program, node, &settings.folder))]
                    }
                    Role::Server if node.is(role) => {
                        let mut works = server_works(&program, cluster, node);
                        // It sees to the addresses of services that the node answers clients for by itself.
                        if !node.is(Role::Director) && !cluster.answered_by(&node.name).is_empty() {
                            works.push((None, director_arguments(&program, node, &settings.folder)));
                        }
                        works
                    }
                    Role::Director | Role::Server => Vec::new(),
                };
                let several = works.len() > 1;
                jobs.extend(works.into_iter().map(|(port, arguments)| Job {
                    node: node.name.to_string(),
                    role,
                    port,
                    holder,
                    arguments,
                    environment: environment(node, role, port, several),
                    pid: None,
                    formers: Vec::new(),
                    is_stopping: false,
                    how: String::from("not started"),
                }));
            }
        }
        let (folder, program) = (settings.folder.clone(), settings.program.clone());
        Ok(Self { jobs, registry: registry.clone(), folder, program, notify })
    }

    /// The nodes that have jobs, each once.
    pub(super) fn nodes(&self) -> Vec<String> {
        let mut nodes: Vec<String> = self.jobs.iter().map(|job| job.node.clone()).collect();
        nodes.dedup();
        nodes
    }

    /// The jobs of a node.
    pub(super) fn of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Job> {
        self.jobs.iter().filter(move |job| job.node == node)
    }

    /// Remembers that the jobs of a node were told to end.
    pub(super) fn told_to_stop(&mut self, node: &str) {
        for job in self.jobs.iter_mut().filter(|job| job.node == node) {
            job.is_stopping = job.pid.is_some();
        }
    }

    /// Remembers that the server at one port of a node was told to end.
    pub(super) fn told_one_to_stop(&mut self, node: &str, port: u16) {
        for job in self.jobs.iter_mut().filter(|job| job.node == node && job.port == Some(port)) {
            job.is_stopping = job.pid.is_some();
        }
    }

    /// Starts those jobs of a node that do not run.
    pub(super) fn start(&mut self, node: &str) -> Result<()> {
        for job in self.jobs.iter_mut().filter(|job| job.node == node && job.pid.is_none()) {
            let log = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(self.registry.log_file(node))
                .with_context(|| format!("cannot write the log of {node}"))?;
            let child = enter_command(EnterFrom::Keeper, job.holder, true)
                .args(&job.arguments)
                .envs(path_with(std::env::var_os("PATH"), &self.program))
                .envs(job.environment.iter().cloned())
                .current_dir(if self.folder.is_dir() { self.folder.as_path() } else { "/".as_ref() })
                // Daemons signal their process group (Apache does when it stops): it must not be the keeper's.
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(log.try_clone().context("cannot share a log")?)
                .stderr(log)
                .spawn()
                .with_context(|| format!("cannot start {node}"))?;
            job.pid = Some(i32::try_from(child.id()).context("a process id that is none")?);
        }
        Ok(())
    }

    /// Collects every process that ended: PID 1 is the parent of all orphans. Remembers how jobs ended.
    pub(super) fn reap(&mut self) {
        self.follow();
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, format!("exit code {code}")),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid, format!("signal {signal}")),
                Ok(
                    WaitStatus::Stopped(..)
                    | WaitStatus::PtraceEvent(..)
                    | WaitStatus::PtraceSyscall(_)
                    | WaitStatus::Continued(_),
                ) => {}
                Ok(WaitStatus::StillAlive) | Err(_) => return,
            }
        }
    }

    /// Takes the next process of those that have handed over for the job's.
    fn follow(&mut self) {
        while let Some((from, to)) = self.notify.heir() {
            if let Some(job) = self.jobs.iter_mut().find(|job| job.pid == Some(from)) {
                job.pid = Some(to);
                job.formers.push(from);
            }
        }
    }

    fn ended(&mut self, pid: Pid, how: String) {
        // It may have said so just before it ended.
        self.follow();
        if let Some(job) = self.jobs.iter_mut().find(|job| job.pid == Some(pid.as_raw())) {
            job.pid = None;
            job.is_stopping = false;
            job.how = how;
        }
        self.jobs.iter_mut().for_each(|job| job.formers.retain(|former| *former != pid.as_raw()));
    }
}

/// This program's own path, by which processes are listed; if the file was replaced, the path that always works.
fn own_program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    match path.is_file() {
        true => path.to_string_lossy().into_owned(),
        false => String::from("/proc/self/exe"),
    }
}

fn director_arguments(program: &str, node: &Node, folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy();
    [
        program,
        "node",
        "run",
        "--file",
        CLUSTER_FILE,
        "--name",
        node.name.as_str(),
        "--state-dir",
        STATE_FOLDER,
        "--peers-key",
        PEERS_KEY_FILE,
        "--files-from",
        &folder,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What a server node runs: one process for each port that its servers have, as one container each would be.
fn server_works(program: &str, cluster: &ClusterFile, node: &Node) -> Vec<(Option<u16>, Vec<String>)> {
    let servers = cluster.pools.iter().flat_map(|pool| &pool.servers);
    let on_node =
        servers.map(|server| server.at).filter(|at| node.addresses.iter().any(|own| own.has(at.ip())));
    let mut listen: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    let answered = cluster.answered_by(&node.name);
    let v6 = answered.iter().any(IpAddr::is_ipv6);
    for at in on_node {
        let same = listen.entry(at.port()).or_default();
        // The addresses of direct services come to the loopback later.
        let at = match (answered.is_empty(), v6) {
            (true, _) => at.to_string(),
            (false, true) => format!("[::]:{}", at.port()),
            (false, false) => format!("0.0.0.0:{}", at.port()),
        };
        if !same.contains(&at) {
            same.push(at);
        }
    }
    let run = cluster.lab.runs.iter().find(|run| run.node == node.name);
    if let Some(command) = run.and_then(|run| run.command.as_ref()) {
        let arguments = ["sh", "-c", command].map(str::to_owned).to_vec();
        if listen.is_empty() {
            return vec![(None, arguments)];
        }
        return listen.into_keys().map(|port| (Some(port), arguments.clone())).collect();
    }
    let several = listen.len() > 1;
    // What real servers have, as the checks suppose.
    let here = |pool: &&Pool| {
        pool.servers.iter().any(|server| node.addresses.iter().any(|own| own.has(server.at.ip())))
    };
    let pages: BTreeSet<String> = cluster
        .pools
        .iter()
        .filter(here)
        .filter_map(|pool| match &pool.check.kind {
            CheckKind::Http(check) => Some(check.path.clone()),
            CheckKind::None
            | CheckKind::Connect
            | CheckKind::Script { .. }
            | CheckKind::Command { .. }
            | CheckKind::Ping => None,
        })
        .collect();
    let origin = |(port, at): (u16, Vec<String>)| {
        let name = server_name(node, Some(port).filter(|_| several));
        let mut arguments = [program, "origin", "--name", &name].map(str::to_owned).to_vec();
        for at in at {
            arguments.extend([String::from("--listen"), at]);
        }
        for page in &pages {
            arguments.extend([String::from("--page"), page.clone()]);
        }
        (Some(port), arguments)
    };
    listen.into_iter().map(origin).collect()
}

/// What a server calls itself: its node, and its port where the node has several.
fn server_name(node: &Node, port: Option<u16>) -> String {
    match port {
        Some(port) => format!("{}:{port}", node.name),
        None => node.name.to_string(),
    }
}

/// What a command on a server learns about its node and its server.
fn environment(node: &Node, role: Role, port: Option<u16>, several: bool) -> Vec<(String, String)> {
    let name = server_name(node, port.filter(|_| several));
    let mut environment =
        vec![(String::from("RELEVO_NODE"), node.name.to_string()), (String::from("RELEVO_SERVER"), name)];
    environment.extend(port.map(|port| (String::from("RELEVO_PORT"), port.to_string())));
    if role == Role::Director {
        environment.push((String::from("NOTIFY_SOCKET"), NOTIFY_SOCKET.to_owned()));
    }
    for (index, address) in node.addresses.iter().enumerate() {
        if index == 0 {
            environment.push((String::from("RELEVO_ADDRESS"), address.ip.to_string()));
        }
        let network =
            address.network.to_uppercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
        environment.push((format!("RELEVO_ADDRESS_{network}"), address.ip.to_string()));
    }
    environment
}
