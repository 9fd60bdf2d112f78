//! The handle to a running lab.

use std::path::Path;
use std::process::{Child, Command};

use relevo_api::types::Status;
use relevo_model::ClusterFile;

use crate::{Fault, LabError, LabStatus, Result, UpOptions};

/// A handle to a running lab. Dropping it leaves the lab running.
#[derive(Debug)]
pub struct Lab {
    cluster: ClusterFile,
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
    pub fn up(_cluster_text: &str, _options: UpOptions) -> Result<Self> {
        Err(LabError::wrong("`relevo lab up` is not there yet"))
    }

    /// Opens a running lab, by its name or the only one.
    ///
    /// # Errors
    /// `Wrong`: there is no such lab, or several and no name was given.
    pub fn open(_name: Option<&str>) -> Result<Self> {
        Err(LabError::wrong("no lab is running"))
    }

    /// Takes the lab down; returns when nothing of it is left.
    ///
    /// # Errors
    /// `Failed`: something is still there after 10 s.
    pub fn down(self) -> Result<()> {
        Ok(())
    }

    /// The cluster file that the lab was made from.
    pub fn cluster(&self) -> &ClusterFile {
        &self.cluster
    }

    /// The folder with a log for each node (`NODE.log`).
    pub fn log_folder(&self) -> &Path {
        Path::new("")
    }

    /// A command that runs `argv` inside a node, client or switch; stdio may be set before it is spawned. Killing the
    /// spawned child kills what runs inside; its exit code is passed on.
    ///
    /// # Errors
    /// `Wrong`: there is no such node.
    pub fn command(&self, _node: &str, _argv: &[String]) -> Result<Command> {
        Err(LabError::wrong("no lab is running"))
    }

    /// Runs `argv` inside a node, client or switch with this process's stdio.
    ///
    /// # Errors
    /// `Wrong`: there is no such node. `Failed`: it could not be started.
    pub fn exec(&self, node: &str, argv: &[String]) -> Result<Child> {
        Ok(self.command(node, argv)?.spawn().map_err(anyhow::Error::from)?)
    }

    /// Everything that can be seen of the lab.
    ///
    /// # Errors
    /// `Failed`: the lab is gone.
    pub fn status(&self) -> Result<LabStatus> {
        Err(LabError::wrong("no lab is running"))
    }

    /// What a director says of itself, through its control socket.
    ///
    /// # Errors
    /// `Wrong`: no such director. `Failed`: it does not answer.
    pub fn node_status(&self, _node: &str) -> Result<Status> {
        Err(LabError::wrong("no lab is running"))
    }

    /// Makes a fault, or undoes one. Doing it twice is not an error.
    ///
    /// # Errors
    /// `Wrong`: a name that does not exist; the message says which do. `Failed`: it could not be done.
    pub fn fault(&self, _fault: Fault) -> Result<()> {
        Err(LabError::wrong("no lab is running"))
    }
}
