//! A change that waits to be confirmed: what was before is on disk, and a process of its own goes back in time.
//!
//! Whoever renames `net-pending.json` first decides: `confirm` to what is kept, the guard to what is undone. A guard that is
//! killed has a second: `relevo node run`, which looks every second while a change waits.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::unistd::setsid;
use relevo_model::Time;
use relevo_net::clock;
use relevo_net::layer2::{self, Wanted};
use relevo_net::route::Route;
use serde::{Deserialize, Serialize};

use super::Layer2Error;
use crate::disk;

/// How long `apply` itself may take before somebody else goes back, when nobody has to confirm.
pub(super) const BY_OURSELVES: Duration = Duration::from_secs(60);
/// What the guard says once nothing can end it by accident.
const READY: &str = "ready";
/// How often the guard looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How much later than the guard the node's own process goes back.
const SECOND: Duration = Duration::from_secs(5);

/// Who goes back when nobody confirms.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// The program `relevo`.
    pub program: PathBuf,
    /// How long it waits.
    pub within: Duration,
}

/// What is on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    /// The boot that it belongs to: after another one it is undone already.
    boot: String,
    /// When it is undone, milliseconds since the boot.
    until: u64,
    before: Wanted,
    wanted: Wanted,
}

fn file(state: &Path) -> PathBuf {
    state.join("net-pending.json")
}

fn kept(state: &Path) -> PathBuf {
    state.join("net-confirmed.json")
}

fn failed(path: PathBuf) -> impl FnOnce(io::Error) -> Layer2Error {
    move |source| Layer2Error::State { path, source }
}

fn read(state: &Path) -> Result<Option<Pending>, Layer2Error> {
    let path = file(state);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed(path.clone()))?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(path)(error.into()))
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Whether a change waits to be confirmed. One of an earlier boot is forgotten: the reboot has undone it.
///
/// # Errors
/// The state folder cannot be used.
pub fn is_pending(state: &Path) -> Result<bool, Layer2Error> {
    match read(state)? {
        Some(pending) if pending.boot == boot() => Ok(true),
        Some(_) => forget(state).map(|()| false),
        None => Ok(false),
    }
}

/// Writes down what was, before anything is changed.
pub(super) fn begin(
    state: &Path,
    before: &Wanted,
    wanted: &Wanted,
    within: Duration,
) -> Result<(), Layer2Error> {
    std::fs::create_dir_all(state).map_err(failed(state.to_owned()))?;
    let until = (clock::now() + within).as_millis();
    let pending = Pending { boot: boot(), until, before: before.clone(), wanted: wanted.clone() };
    disk::write(&file(state), &pending).map_err(failed(file(state)))
}

/// Nothing waits any more.
pub(super) fn forget(state: &Path) -> Result<(), Layer2Error> {
    match std::fs::remove_file(file(state)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(file(state))(error)),
        _ => Ok(()),
    }
}

/// Keeps what shall be made again at the next boot.
pub(super) fn remember(state: &Path, wanted: &Wanted) -> Result<(), Layer2Error> {
    std::fs::create_dir_all(state).map_err(failed(state.to_owned()))?;
    disk::write(&kept(state), wanted).map_err(failed(kept(state)))
}

/// What was confirmed last.
pub(super) fn confirmed(state: &Path) -> Result<Option<Wanted>, Layer2Error> {
    let path = kept(state);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed(path.clone()))?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(path)(error.into()))
}

/// Starts the process that goes back, and waits until it is in a session of its own: then the end of a terminal or of ssh
/// does not end it.
pub(super) fn start_guard(state: &Path, guarded: &Guarded) -> Result<(), Layer2Error> {
    let start = || -> io::Result<bool> {
        let mut command = Command::new(&guarded.program);
        command.args(["net", "guard", "--state-dir"]).arg(std::path::absolute(state)?);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
        let mut child = command.spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        Ok(line.trim() == READY)
    };
    let ready = start().map_err(failed(guarded.program.clone()))?;
    let gone = || failed(guarded.program.clone())(io::Error::other("the guard ended at once"));
    if ready { Ok(()) } else { Err(gone()) }
}

/// Takes the change away from everybody else; `None`: nothing waits, or somebody else was faster.
fn take(state: &Path, name: &str) -> Result<Option<Pending>, Layer2Error> {
    let Some(pending) = read(state)? else { return Ok(None) };
    let taken = state.join(name);
    match std::fs::rename(file(state), &taken) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => {
            other.map_err(failed(file(state)))?;
            Ok(Some(pending))
        }
    }
}

/// Keeps the change that waits.
///
/// # Errors
/// [`Layer2Error::NotPending`]: there is none, or it was undone already.
pub fn confirm(state: &Path) -> Result<(), Layer2Error> {
    if !is_pending(state)? {
        return Err(Layer2Error::NotPending);
    }
    let pending = take(state, "net-confirming.json")?.ok_or(Layer2Error::NotPending)?;
    remember(state, &pending.wanted)?;
    let _ = std::fs::remove_file(state.join("net-confirming.json"));
    Ok(())
}

/// Undoes the change that waits.
///
/// # Errors
/// [`Layer2Error::NotPending`]: there is none; what the kernel refuses.
pub fn roll_back(state: &Path) -> Result<(), Layer2Error> {
    if !is_pending(state)? {
        return Err(Layer2Error::NotPending);
    }
    // It stays on disk until it is done: whoever is killed in the middle leaves it to the other one.
    let Some(pending) = read(state)? else { return Err(Layer2Error::NotPending) };
    undo(&pending)?;
    forget(state)
}

fn undo(pending: &Pending) -> Result<(), Layer2Error> {
    let mut socket = Route::open()?;
    let now = layer2::observe(&mut socket)?;
    let steps = layer2::plan(&now, &pending.before).steps;
    layer2::apply(&mut socket, &steps)
        .map_err(|source| Layer2Error::Stuck { first: "nobody confirmed the change".to_owned(), source })
}

/// The guard: waits until the change is confirmed, or undoes it. Whether it did.
///
/// # Errors
/// As [`roll_back`].
pub fn guard(state: &Path) -> Result<bool, Layer2Error> {
    // It fails only for who leads a session already.
    let _ = setsid();
    // Whoever started it may be gone.
    let _ = writeln!(io::stdout(), "{READY}").and_then(|()| io::stdout().flush());
    wait(state, Duration::ZERO)
}

/// The same for the node's own process, a moment later, should the guard be gone: looks every second, and for ever.
pub(crate) fn stand_in(state: &Path) {
    loop {
        match wait(state, SECOND) {
            Ok(true) => {
                let text = "a change of interfaces was not confirmed in time; all is as it was before";
                tracing::warn!("{text}");
                crate::incidents::note("net", text, &[]);
            }
            Ok(false) => {}
            Err(error) => tracing::error!("{}", crate::in_full(&error)),
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn wait(state: &Path, later: Duration) -> Result<bool, Layer2Error> {
    loop {
        let Some(pending) = read(state)?.filter(|pending| pending.boot == boot()) else { return Ok(false) };
        if clock::now() >= Time::from_millis(pending.until) + later {
            roll_back(state)?;
            return Ok(true);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
