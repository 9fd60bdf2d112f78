//! Addresses on the loopback of which neighbours hear nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use relevo_net::loopback::{INDEX, SILENT, set, value};
use relevo_net::route::Route;
use serde::{Deserialize, Serialize};

use crate::disk;

/// Why the addresses do not stand.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The kernel refuses an address or a setting.
    #[error("the addresses of direct services cannot be put on the loopback")]
    Net(#[from] relevo_net::Error),
    /// What is done cannot be written down.
    #[error("cannot write {}", .path.display())]
    State {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// What was changed, over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Done {
    /// Addresses that were not there before.
    addresses: BTreeSet<IpAddr>,
    /// Settings as they were before.
    settings: BTreeMap<String, u8>,
}

/// How it stands with an address, and with what neighbours hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Addresses that are not on the loopback.
    pub missing: Vec<IpAddr>,
    /// Settings with which neighbours would hear of them, and the least that they must be.
    pub loud: Vec<(&'static str, u8)>,
}

/// Looks, and changes nothing.
///
/// # Errors
/// The kernel does not tell.
pub fn look(wanted: &BTreeSet<IpAddr>) -> Result<Standing, relevo_net::Error> {
    let there = present(&mut Route::open()?)?;
    let missing = wanted.iter().filter(|ip| !there.contains(ip)).copied().collect();
    let mut loud = Vec::new();
    if wanted.iter().any(IpAddr::is_ipv4) {
        for (name, least) in SILENT {
            if value(name)? < least {
                loud.push((name, least));
            }
        }
    }
    Ok(Standing { missing, loud })
}

/// What stands on this machine.
#[derive(Debug)]
pub(super) struct Loopback {
    path: PathBuf,
    wanted: BTreeSet<IpAddr>,
}

impl Loopback {
    /// `folder`: the state folder. Nothing is looked at yet.
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join("loopback.json"), wanted: BTreeSet::new() }
    }

    /// Makes the addresses these, and takes back what an earlier process did and nobody wants any more.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<(), ServerError> {
        self.wanted.clone_from(wanted);
        let mut done: Done = disk::read(&self.path).map_err(|source| self.state(source))?;
        let mut route = Route::open()?;
        let gone: Vec<IpAddr> = done.addresses.difference(wanted).copied().collect();
        for ip in gone {
            route.release(INDEX, ip, width(ip))?;
            tracing::info!(%ip, "off the loopback");
            done.addresses.remove(&ip);
        }
        let there = present(&mut route)?;
        let new: Vec<IpAddr> = wanted.difference(&there).copied().collect();
        done.addresses.extend(&new);
        let v4 = wanted.iter().any(IpAddr::is_ipv4);
        let mut loud = Vec::new();
        for (name, least) in SILENT {
            let now = value(name)?;
            if v4 && now < least {
                done.settings.entry(name.to_owned()).or_insert(now);
                loud.push((name, least));
            }
        }
        self.write(&done)?;
        for (name, least) in loud {
            set(name, least)?;
        }
        for ip in new {
            route.hold(INDEX, ip, width(ip), None)?;
            tracing::info!(%ip, "on the loopback; neighbours do not hear of it");
        }
        if !v4 && !done.settings.is_empty() {
            for (name, before) in &done.settings {
                set(name, *before)?;
            }
            done.settings.clear();
            self.write(&done)?;
        }
        Ok(())
    }

    /// Sets up again what somebody has removed.
    pub(super) fn mend(&mut self) -> Result<(), ServerError> {
        let standing = look(&self.wanted)?;
        if standing.missing.is_empty() && standing.loud.is_empty() {
            return Ok(());
        }
        tracing::warn!(missing = ?standing.missing, settings = ?standing.loud, "somebody has changed the loopback; it is set up again");
        self.follow(&self.wanted.clone())
    }

    fn write(&self, done: &Done) -> Result<(), ServerError> {
        disk::write(&self.path, done).map_err(|source| self.state(source))
    }

    fn state(&self, source: std::io::Error) -> ServerError {
        ServerError::State { path: self.path.clone(), source }
    }
}

fn present(route: &mut Route) -> Result<BTreeSet<IpAddr>, relevo_net::Error> {
    let all = route.addresses()?;
    Ok(all.into_iter().filter(|address| address.index == INDEX).map(|address| address.ip).collect())
}

const fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}
