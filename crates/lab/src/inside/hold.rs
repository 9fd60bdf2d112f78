//! A holder: the process that keeps the namespaces of a node, client or switch, and does nothing else.
//!
//! It makes the node's own view of the file system: private `/run` and `/var/log`, its state folder, `/etc/hosts`
//! with the cluster's names, and a `/sys` that shows its own network. Everything else is the machine's.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use nix::libc::O_PATH;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{pause, sethostname};

use super::report;
use crate::registry::Registry;

/// Where a node of the lab finds its cluster file.
pub(crate) const CLUSTER_FILE: &str = "/run/relevo/cluster.toml";
/// Where a node of the lab finds its state folder.
pub(crate) const STATE_FOLDER: &str = "/run/relevo/state";
/// The file with the key of the directors' channel, in the lab's folder.
pub(crate) const PEERS_KEY: &str = "peers.key";
/// Where a node of the lab finds it.
pub(crate) const PEERS_KEY_FILE: &str = "/run/relevo/peers.key";
/// Where a director of the lab tells the keeper that another process goes on.
pub(crate) const NOTIFY_SOCKET: &str = "/run/relevo/notify";
/// Where an installed Relevo has its state: hidden in the lab, if it is there.
const SYSTEM_STATE_FOLDER: &str = "/var/lib/relevo";

/// `hold FOLDER NAME machine|switch`: prints `ready` and stays.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let [folder, name, kind] = arguments else { return report("hold: what?") };
    let name = name.to_string_lossy();
    let registry = Registry::at(PathBuf::from(folder));
    if let Err(error) = prepare(&registry, &name, kind == "machine" || kind == "machine6", kind == "machine6")
    {
        let _ = writeln!(io::stdout(), "{name}: {error:#}");
        return ExitCode::FAILURE;
    }
    let _ = writeln!(io::stdout(), "ready");
    loop {
        pause();
    }
}

fn prepare(registry: &Registry, name: &str, is_machine: bool, speaks_v6: bool) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
        .context("cannot make its namespaces")?;
    sethostname(name).context("cannot set its host name")?;
    // No IPv6 neighbours and routers in a lab that speaks IPv4 only; no duplicate address detection in any: nobody
    // shares an address.
    for which in ["all", "default"] {
        let set = |key: &str, value: &str| fs::write(format!("/proc/sys/net/ipv6/conf/{which}/{key}"), value);
        let _ = if speaks_v6 { set("accept_dad", "0") } else { set("disable_ipv6", "1") };
    }
    // A `/sys` that shows this network. In some containers the kernel does not allow it; nothing depends on it but
    // the ports' states in `relevo lab status`.
    let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::MS_RDONLY, None::<&str>);
    if is_machine { own_files(registry, name) } else { Ok(()) }
}

fn own_files(registry: &Registry, name: &str) -> anyhow::Result<()> {
    let state = registry.state_folder(name);
    fs::create_dir_all(&state).context("cannot make its state folder")?;
    // The registry may lie in /run, which is about to be covered: hold on to what is needed from it.
    let state = File::open(&state)?;
    let notify = OpenOptions::new().read(true).custom_flags(O_PATH).open(registry.notify_socket())?;
    let cluster = fs::read(registry.cluster_file())?;
    let hosts = fs::read(registry.folder().join("hosts"))?;
    let key = fs::read(registry.folder().join(PEERS_KEY))?;
    private_folder("/run")?;
    private_folder("/var/log")?;
    fs::create_dir_all(STATE_FOLDER)?;
    fs::set_permissions("/run/relevo", fs::Permissions::from_mode(0o755))?;
    fs::write(CLUSTER_FILE, cluster)?;
    fs::write("/run/relevo/hosts", hosts)?;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(PEERS_KEY_FILE)?
        .write_all(&key)?;
    let state = format!("/proc/self/fd/{}", state.as_raw_fd());
    bind(&state, STATE_FOLDER)?;
    if Path::new(SYSTEM_STATE_FOLDER).is_dir() {
        bind(&state, SYSTEM_STATE_FOLDER)?;
    }
    fs::write(NOTIFY_SOCKET, "")?;
    bind(&format!("/proc/self/fd/{}", notify.as_raw_fd()), NOTIFY_SOCKET)?;
    if Path::new("/etc/hosts").exists() {
        bind("/run/relevo/hosts", "/etc/hosts")?;
    }
    Ok(())
}

/// Covers a folder with an empty one in memory, with the same folders in it: daemons expect theirs to exist.
fn private_folder(path: &str) -> anyhow::Result<()> {
    let mut inner = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {path}"))?.flatten() {
        if let Ok(found) = entry.metadata()
            && found.is_dir()
            && !entry.file_name().to_string_lossy().starts_with("relevo")
        {
            inner.push((entry.path(), found));
        }
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("mode=755,size=64m"))
        .with_context(|| format!("cannot mount a private {path}"))?;
    for (path, found) in inner {
        fs::create_dir(&path)?;
        // Without root only this user's own folders can be given to their owner.
        let _ = std::os::unix::fs::chown(&path, Some(found.uid()), Some(found.gid()));
        let _ = fs::set_permissions(&path, found.permissions());
    }
    Ok(())
}

fn bind(source: &str, target: &str) -> anyhow::Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot mount {target}"))
}
