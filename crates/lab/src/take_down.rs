//! Takes a lab away, whether its keeper lives, is stuck, or died long ago.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::handle::ask;
use crate::keeper::Wish;
use crate::registry::{Registry, start_time};
use crate::{LabError, Result};

/// How long the keeper may take to end by itself before it is killed.
const POLITE: Duration = Duration::from_secs(3);
/// How long everything may take.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Takes the lab of this name down, or the only one that is written down.
pub(crate) fn down_any(name: Option<&str>) -> Result<String> {
    let all: Vec<String> = Registry::all()?.into_iter().map(|(name, _)| name).collect();
    let name = match (name, all.as_slice()) {
        (Some(name), _) => name.to_owned(),
        (None, [one]) => one.clone(),
        (None, []) => return Err(LabError::wrong("no lab is running")),
        (None, _) => {
            return Err(LabError::wrong(format!(
                "there are several labs, name one of them: {}",
                all.join(", ")
            )));
        }
    };
    down(&name)?;
    Ok(name)
}

/// Takes the lab of this name down.
pub(crate) fn down(name: &str) -> Result<()> {
    let registry = Registry::of(name)?;
    if !registry.exists() {
        let running: Vec<String> = Registry::all()?.into_iter().map(|(name, _)| name).collect();
        let list = if running.is_empty() { String::from("none") } else { running.join(", ") };
        return Err(LabError::wrong(format!("there is no lab called {name}; there are: {list}")));
    }
    let _lock = Registry::lock()?;
    remove(&registry)
}

/// Ends a lab's keeper, waits until the kernel has cleaned up, removes its folder. The registry is locked.
pub(crate) fn remove(registry: &Registry) -> Result<()> {
    let interface = host_interface(registry);
    if let Some(keeper) = registry.keeper() {
        let asked = Instant::now();
        let _ = ask(registry, &Wish::Down);
        while start_time(keeper.pid) == Some(keeper.started) {
            if asked.elapsed() > GONE_WITHIN {
                return Err(anyhow!("the lab's keeper (process {}) does not end", keeper.pid).into());
            }
            if asked.elapsed() > POLITE || !registry.socket().exists() {
                let _ = kill(Pid::from_raw(keeper.pid), Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    let begun = Instant::now();
    while let Some(interface) =
        interface.as_deref().filter(|name| Path::new("/sys/class/net").join(name).exists())
    {
        if begun.elapsed() > GONE_WITHIN {
            return Err(
                anyhow!("the interface {interface} is still there: ip link delete {interface}").into()
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
    registry.remove()
}

/// The host's end of the host leg, if the lab has one on the host.
fn host_interface(registry: &Registry) -> Option<String> {
    if registry.settings().ok()?.rootless {
        return None;
    }
    let text = std::fs::read_to_string(registry.cluster_file()).ok()?;
    let cluster = relevo_model::read(&text).cluster?;
    crate::topology::Topology::plan(&cluster).ok()?.host_interface().map(str::to_owned)
}
