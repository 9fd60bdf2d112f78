//! A lab of Apache servers out of `tests/apache`, in a registry of its own, and `curl`.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::caretaker::Caretaker;

/// The lab of an Apache cluster; it is taken down when this value is dropped.
pub(crate) struct Lab {
    registry: PathBuf,
    _caretaker: Caretaker,
}

impl Lab {
    /// Brings up a file of `tests/apache`.
    pub(crate) fn up(file: &str) -> Self {
        Self::up_among(file, &[])
    }

    /// The same, with more in the environment of all its processes.
    pub(crate) fn up_among(file: &str, environment: &[(&str, &str)]) -> Self {
        let registry = std::env::temp_dir().join(format!("relevo-apache-{}", std::process::id()));
        std::fs::create_dir_all(&registry).expect("a folder for the registry");
        let cleanup = "RELEVO_LAB_DIR=$2 \"$1\" lab down; rmdir \"$2\"";
        let arguments = [env!("CARGO_BIN_EXE_relevo"), registry.to_str().expect("a path in UTF-8")];
        let caretaker = Caretaker::new(cleanup, &arguments);
        let lab = Self { registry, _caretaker: caretaker };
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/apache");
        // A whole path stays as it is.
        let file = std::path::Path::new(folder).join(file);
        let arguments = ["lab", "up", &file.to_string_lossy()];
        let mut command = lab.command(&arguments);
        command.envs(environment.iter().copied());
        said(&command.output().expect("relevo starts"), &arguments);
        lab
    }

    /// `relevo` with these arguments, on this lab.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relevo"));
        command.env("RELEVO_LAB_DIR", &self.registry).args(arguments);
        command
    }

    /// Runs `relevo` with these arguments; it must succeed.
    pub(crate) fn relevo(&self, arguments: &[&str]) -> String {
        said(&self.command(arguments).output().expect("relevo starts"), arguments)
    }

    /// What a command on a machine of the lab prints; nothing if it fails.
    #[allow(dead_code, reason = "not every test asks machines")]
    pub(crate) fn on(&self, node: &str, line: &str) -> String {
        let arguments: Vec<&str> =
            ["lab", "exec", node, "--"].into_iter().chain(line.split_whitespace()).collect();
        let output = self.command(&arguments).output().expect("relevo starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Also when the test failed; a failure here must not hide that one.
        let _ = self.command(&["lab", "down"]).output();
        let _ = std::fs::remove_dir_all(&self.registry);
    }
}

/// What a successful command printed.
pub(crate) fn said(output: &Output, what: &[&str]) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{what:?} ended with {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// What `curl` got; a status of 400 and more is a failure.
pub(crate) fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "5"])
        .args(arguments)
        .output()
        .expect("curl is installed");
    said(&output, arguments)
}
