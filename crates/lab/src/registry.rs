//! Where running labs are written down: one folder for each, with what is needed to find it, use it and take it away.
//!
//! ```text
//!  NAME/cluster.toml    the file it was made from        NAME/log/NODE.log    what the node's processes print
//!  NAME/keeper.json     the keeper's process             NAME/state/NODE/     its state folder
//!  NAME/spaces.json     the namespaces' holders          NAME/keeper.sock     where the keeper listens
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};
use relevo_model::ClusterFile;
use serde::{Deserialize, Serialize};

use crate::{LabError, Result};

/// The environment variable that names another folder for the registry.
const FOLDER_VARIABLE: &str = "RELEVO_LAB_DIR";
/// What a lab was brought up with; a folder without it is nobody's to remove.
const MARK: &str = "settings.json";

/// What the keeper's log is called, beside the nodes'.
pub(crate) const KEEPER: &str = "keeper";

/// A lab's keeper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeeperRecord {
    /// Its process id outside.
    pub(crate) pid: i32,
    /// When it started, clock ticks since the boot: tells it from a later process of the same id.
    pub(crate) started: u64,
}

/// What the lab was brought up with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The `relevo` program.
    pub(crate) program: PathBuf,
    /// Where `[lab.run]` commands are run.
    pub(crate) folder: PathBuf,
    /// Whether it runs without root.
    pub(crate) rootless: bool,
    /// The forwarder's own port on 127.0.0.1, rootless only.
    pub(crate) forward_port: Option<u16>,
}

/// The registry, held by one at a time. An empty one goes with its lock.
#[derive(Debug)]
pub(crate) struct Lock {
    base: PathBuf,
    _held: Flock<File>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let entries = fs::read_dir(&self.base).into_iter().flatten().flatten();
        if entries.into_iter().all(|entry| entry.file_name() == ".lock") {
            let _ = fs::remove_file(self.base.join(".lock"));
            let _ = fs::remove_dir(&self.base);
        }
    }
}

/// A lab's folder.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// The folder of the lab of this name, which may not exist.
    ///
    /// # Errors
    /// `Wrong`: no lab can be called so. A name from the command line must never lead out of the registry.
    pub(crate) fn of(name: &str) -> Result<Self> {
        if !is_lab_name(name) {
            return Err(LabError::wrong(format!(
                "{name:?} is not a lab's name: it has 1 to 63 letters, digits, `-`, `_` or `.` and begins with a letter \
                 or digit"
            )));
        }
        Ok(Self { folder: base()?.join(name) })
    }

    /// The folder at a path that [`Registry::folder`] gave.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// All that are written down, running or not, by name.
    pub(crate) fn all() -> Result<Vec<(String, Self)>> {
        let base = base()?;
        let Ok(entries) = fs::read_dir(&base) else { return Ok(Vec::new()) };
        let mut all: Vec<_> = entries
            .flatten()
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), Self { folder: entry.path() }))
            .filter(|(name, registry)| is_lab_name(name) && registry.exists())
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    /// Keeps others from bringing labs up or down until it is dropped.
    pub(crate) fn lock() -> Result<Lock> {
        let base = base()?;
        let path = base.join(".lock");
        loop {
            make_base(&base)?;
            let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
            let file = match open {
                // Whoever held the lock has just removed an empty registry.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.with_context(|| format!("cannot open {}", path.display()))?,
            };
            let held = Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, errno)| errno)
                .with_context(|| format!("cannot lock {}", path.display()))?;
            let inode = held.metadata().context("cannot see the lock")?.ino();
            if fs::metadata(&path).is_ok_and(|found| found.ino() == inode) {
                return Ok(Lock { base, _held: held });
            }
        }
    }

    /// Makes the folder with what is in it at the start.
    pub(crate) fn create(&self, cluster_text: &str, settings: &Settings) -> Result<()> {
        let make = || -> anyhow::Result<()> {
            DirBuilder::new().mode(0o700).create(&self.folder)?;
            // First: it marks the folder as a lab's.
            fs::write(self.folder.join(MARK), serde_json::to_vec(settings)?)?;
            fs::create_dir(self.log_folder())?;
            fs::create_dir(self.folder.join("state"))?;
            fs::write(self.cluster_file(), cluster_text)?;
            Ok(())
        };
        Ok(make().with_context(|| format!("cannot make {}", self.folder.display()))?)
    }

    /// Removes the folder, if it is a lab's: whatever else it is stays untouched.
    ///
    /// # Errors
    /// `Wrong`: it is not a lab's. `Failed`: it cannot be removed.
    pub(crate) fn remove(&self) -> Result<()> {
        if self.folder.exists() && !self.exists() {
            return Err(LabError::wrong(format!(
                "{} is not a lab's folder: left as it is",
                self.folder.display()
            )));
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(anyhow::Error::new(error)
                .context(format!("cannot remove {}", self.folder.display()))
                .into()),
            _ => Ok(()),
        }
    }

    /// The lab's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it is written down: a folder of its own, not a link, with the mark of a lab, or still empty.
    pub(crate) fn exists(&self) -> bool {
        let is_folder = fs::symlink_metadata(&self.folder).is_ok_and(|found| found.is_dir());
        let is_empty = || fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_none());
        is_folder && (self.folder.join(MARK).is_file() || is_empty())
    }

    /// The file that the lab was made from.
    pub(crate) fn cluster_file(&self) -> PathBuf {
        self.folder.join("cluster.toml")
    }

    /// The folder of the nodes' logs.
    pub(crate) fn log_folder(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// A node's log. The name must be one of the cluster's: see [`known_log`] for what a user asks for.
    pub(crate) fn log_file(&self, node: &str) -> PathBuf {
        self.log_folder().join(format!("{node}.log"))
    }

    /// A node's state folder.
    pub(crate) fn state_folder(&self, node: &str) -> PathBuf {
        self.folder.join("state").join(node)
    }

    /// The keeper's own log.
    pub(crate) fn keeper_log(&self) -> PathBuf {
        self.log_file(KEEPER)
    }

    /// Where directors tell the keeper that another process goes on (sd_notify(3)).
    pub(crate) fn notify_socket(&self) -> PathBuf {
        self.folder.join("notify.sock")
    }

    /// The keeper's control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("keeper.sock")
    }

    /// What it was brought up with.
    pub(crate) fn settings(&self) -> Result<Settings> {
        self.read(MARK)
    }

    /// The keeper, if it runs.
    pub(crate) fn keeper(&self) -> Option<KeeperRecord> {
        let record: KeeperRecord = self.read("keeper.json").ok()?;
        (start_time(record.pid) == Some(record.started)).then_some(record)
    }

    /// Writes the keeper down.
    pub(crate) fn write_keeper(&self, pid: i32) -> Result<()> {
        let started = start_time(pid).context("the keeper ended at once")?;
        self.write("keeper.json", &KeeperRecord { pid, started })
    }

    /// The holders' process ids inside, by namespace.
    pub(crate) fn spaces(&self) -> Result<BTreeMap<String, i32>> {
        self.read("spaces.json")
    }

    /// Writes the holders down.
    pub(crate) fn write_spaces(&self, spaces: &BTreeMap<String, i32>) -> Result<()> {
        self.write("spaces.json", spaces)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, file: &str) -> Result<T> {
        let path = self.folder.join(file);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(serde_json::from_slice(&bytes).with_context(|| format!("cannot understand {}", path.display()))?)
    }

    fn write<T: Serialize>(&self, file: &str, value: &T) -> Result<()> {
        let path = self.folder.join(file);
        let bytes = serde_json::to_vec(value).context("cannot write JSON")?;
        Ok(fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?)
    }
}

/// Whether this is the name of a log of the cluster's lab.
///
/// # Errors
/// `Wrong`: it is not; the message says which there are.
pub(crate) fn known_log(cluster: &ClusterFile, name: &str) -> Result<()> {
    let nodes = cluster.nodes.iter().map(|node| node.name.as_str());
    let known: Vec<&str> = nodes.chain([KEEPER]).collect();
    match known.contains(&name) {
        true => Ok(()),
        false => Err(LabError::wrong(format!("there is no log of {name}; there are: {}", known.join(", ")))),
    }
}

/// When a living process started, clock ticks since the boot (proc_pid_stat(5), field 22); `None`: it is gone.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name, may hold anything; the third begins after its last parenthesis.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    match *fields.first()? {
        "Z" | "X" => None,
        _ => fields.get(19)?.parse().ok(),
    }
}

/// Whether a lab can be called so: the rule for the names of the cluster file.
fn is_lab_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
}

fn base() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE).filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        return match folder.is_absolute() {
            true => Ok(folder),
            false => Err(LabError::wrong(format!("{FOLDER_VARIABLE} must be an absolute path"))),
        };
    }
    let user = nix::unistd::geteuid();
    if user.is_root() {
        return Ok(PathBuf::from("/run/relevo-lab"));
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    Ok(match runtime.filter(|folder| folder.is_absolute() && folder.is_dir()) {
        Some(folder) => folder.join("relevo-lab"),
        None => PathBuf::from(format!("/tmp/relevo-lab-{user}")),
    })
}

/// Makes the registry's folder, for its owner alone: what is in it says which processes get killed.
fn make_base(base: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(base) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(LabError::wrong(format!("cannot make {}: {error}", base.display())))
        }
        _ => {
            let found =
                fs::symlink_metadata(base).with_context(|| format!("cannot see {}", base.display()))?;
            let own = found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw();
            match own {
                true => Ok(()),
                false => Err(LabError::wrong(format!(
                    "{} is not a folder of this user: remove it, or name another one in {FOLDER_VARIABLE}",
                    base.display()
                ))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, removed with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("relevo-registry-test-{}", std::process::id()));
            DirBuilder::new().mode(0o700).create(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn no_name_leads_out_of_the_registry() {
        for name in ["", ".", "..", "../x", "../../x", "/x", "a/b", "a/../../x", ".lock", "a\0b", "a\n"] {
            assert!(matches!(Registry::of(name), Err(LabError::Wrong(_))), "{name:?}");
        }
        assert!(is_lab_name("s4") && is_lab_name("my-lab_2.test"));
    }

    #[test]
    fn only_the_labs_own_logs_have_names() {
        let text = include_str!("../../../examples/minimal.toml");
        let cluster = relevo_model::read(text).cluster.unwrap();
        for name in ["lb1", "web2", "keeper"] {
            known_log(&cluster, name).unwrap();
        }
        for name in ["", ".", "..", "../keeper", "../../../etc/secret", "/etc/secret", "lb1/../lb1", "client"]
        {
            let Err(LabError::Wrong(text)) = known_log(&cluster, name) else { panic!("{name:?}") };
            assert!(text.ends_with("there are: lb1, lb2, web1, web2, keeper"), "{text}");
        }
    }

    #[test]
    fn only_a_labs_folder_is_removed() {
        let scratch = Scratch::new();
        let stranger = scratch.0.join("stranger");
        fs::create_dir(&stranger).unwrap();
        fs::write(stranger.join("precious"), "keep me").unwrap();
        let registry = Registry::at(stranger.clone());
        assert!(!registry.exists());
        assert!(matches!(registry.remove(), Err(LabError::Wrong(_))));
        assert!(stranger.join("precious").is_file());

        let link = scratch.0.join("link");
        std::os::unix::fs::symlink(&stranger, &link).unwrap();
        assert!(!Registry::at(link).exists());

        let own = Registry::at(scratch.0.join("own"));
        let settings =
            Settings { program: "/p".into(), folder: "/".into(), rootless: true, forward_port: None };
        own.create("", &settings).unwrap();
        assert!(own.exists());
        own.remove().unwrap();
        assert!(!own.folder().exists());
    }
}
