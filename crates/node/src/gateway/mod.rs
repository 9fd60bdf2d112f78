//! The rules of nftables that stand on this node, whether it is active or not: the gateway's, the firewall's, and those for
//! addresses that only forward.
//!
//! ```text
//!   cluster file ──► wanted ──► net::gateway, net::firewall, net::accept ──► nft          when the node starts, and on a reload
//!   duty: a group left ──► net::conntrack forgets its connections            once nobody uses this director any more
//! ```
//! What moves with the addresses is decided by the addresses alone. The rules stay when the node stops: taking them away
//! while machines still send here would let packets out under their own addresses. What was set up is in the state
//! folder, so that a file without a gateway takes it back.

mod duty;
mod six;
mod wanted;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use relevo_api::types::{GatewayStatus, GroupState, GroupStatus};
use relevo_model::{ClusterFile, GatewayName, GroupName, NodeName};
use relevo_net::forwarding6::{self, Setting};
use relevo_net::nft::{Nft, NftError};
use relevo_net::{accept, firewall, forwarding, gateway};
use serde::{Deserialize, Serialize};

pub(crate) use duty::Forgetting;
pub(crate) use wanted::Path as Way;

use crate::disk;

/// Why the rules do not stand.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The rules cannot be had.
    #[error("the rules of {what} cannot be set up")]
    Rules {
        /// Whose.
        what: &'static str,
        /// Why not.
        #[source]
        source: NftError,
    },
    /// An interface, or whether it forwards.
    #[error("the gateway cannot be set up")]
    Net(#[from] relevo_net::Error),
    /// An interface has a name that rules cannot have.
    #[error(
        "an interface has a name that nftables cannot have: rename it (no quotes, backslashes and stars)"
    )]
    Name,
    /// What was set up cannot be written down.
    #[error("cannot write {path}")]
    State {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// What was set up in the kernel, over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Done {
    gateway: bool,
    firewall: bool,
    accept: bool,
    /// Interfaces that this program made forward packets.
    forwarding: Vec<String>,
    /// What it changed so that IPv6 is forwarded.
    forwarding6: Vec<Setting>,
}

/// The rules of this node.
#[derive(Debug)]
pub(crate) struct Rules {
    node: NodeName,
    path: PathBuf,
    nft: Nft,
    /// What stands.
    ways: Mutex<Vec<Way>>,
}

impl Rules {
    /// Those of a node; `folder`: the state folder. Nothing is set up yet.
    pub(crate) fn new(node: &NodeName, folder: &Path) -> Self {
        let path = folder.join("rules.json");
        Self { node: node.clone(), path, nft: Nft::new(), ways: Mutex::default() }
    }

    /// Sets up what the file wants when the node starts. Connections that an earlier process left are forgotten, unless it
    /// hands over.
    ///
    /// # Errors
    /// As [`Rules::follow`].
    pub(crate) fn stand(&self, cluster: &ClusterFile, is_heir: bool) -> Result<(), GatewayError> {
        self.follow(cluster)?;
        if !is_heir {
            duty::forget(&self.ways());
        }
        Ok(())
    }

    /// The ways that stand.
    pub(crate) fn ways(&self) -> Vec<Way> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets up what the file wants and takes back what it does not want any more. Interfaces must be there.
    ///
    /// # Errors
    /// See [`GatewayError`]. What stood before still stands, but for a gateway whose firewall fails.
    pub(crate) fn follow(&self, cluster: &ClusterFile) -> Result<(), GatewayError> {
        let before: Done = disk::read(&self.path)
            .map_err(|source| GatewayError::State { path: self.path.clone(), source })?;
        let closed = wanted::closed(cluster, &self.node);
        let wants = !cluster.gateways.is_empty() || cluster.firewall.cluster_ports || !closed.is_empty();
        if !wants && before == Done::default() {
            return Ok(());
        }
        let ways = wanted::ways(cluster, &self.node)?;
        let doors = wanted::doors(cluster, &self.node)?;
        let plain: Vec<gateway::Way> = ways.iter().map(|path| path.way.clone()).collect();
        let gateway = gateway::rules(&plain, relevo_proto::flows::CLAIMED).ok_or(GatewayError::Name)?;
        let firewall = firewall::rules(doors.as_ref()).ok_or(GatewayError::Name)?;
        // First written down, then done: a process that is killed in between still takes it back one day.
        let mut done = Done {
            gateway: before.gateway || !ways.is_empty(),
            firewall: before.firewall || doors.is_some(),
            accept: before.accept || !closed.is_empty(),
            forwarding: before.forwarding.clone(),
            forwarding6: before.forwarding6.clone(),
        };
        self.write(&done)?;
        let in_v4 = || plain.iter().filter(|way| way.subnet.addr().is_ipv4());
        let used = |name: &str| in_v4().any(|way| way.from == name || way.to == name);
        // An interface that nobody needs any more stops before its rules go.
        for name in before.forwarding.iter().filter(|name| !used(name)) {
            // It may be gone itself.
            if let Err(error) = forwarding::set(name, false) {
                tracing::warn!("{error}");
            }
        }
        done.forwarding.retain(|name| used(name));
        six::end(&mut done.forwarding6, &plain);
        let refused = |what| move |source| GatewayError::Rules { what, source };
        if done.gateway {
            self.nft.run(&gateway).map_err(refused("the gateway"))?;
        }
        if done.firewall {
            self.nft.run(&firewall).map_err(refused("the firewall"))?;
        }
        if done.accept {
            self.nft.run(&accept::rules(&closed)).map_err(refused("addresses with accept = false"))?;
        }
        for way in in_v4() {
            // One that is not there yet learns it from its base when it is switched on.
            for name in way.from_also.iter().chain(&way.to_also) {
                if forwarding::is_on(name).is_ok_and(|on| !on) {
                    forwarding::set(name, true)?;
                }
            }
        }
        for name in in_v4().flat_map(|way| [&way.from, &way.to]) {
            if !done.forwarding.contains(name) && !forwarding::is_on(name)? {
                done.forwarding.push(name.clone());
                self.write(&done)?;
                forwarding::set(name, true)?;
                tracing::info!(interface = name, "the interface forwards packets now");
            }
        }
        for setting in six::wanted(&plain) {
            done.forwarding6.push(setting.clone());
            self.write(&done)?;
            forwarding6::set(&[setting])?;
        }
        six::also(&plain)?;
        (done.gateway, done.firewall, done.accept) = (!ways.is_empty(), doors.is_some(), !closed.is_empty());
        self.write(&done)?;
        *self.ways.lock().unwrap_or_else(PoisonError::into_inner) = ways;
        Ok(())
    }

    /// In the control API's words; `groups`: as they are now.
    pub(crate) fn status(&self, groups: &[GroupStatus]) -> Vec<GatewayStatus> {
        let is_active = |name: &GroupName| {
            groups.iter().any(|group| group.name == *name && group.state == GroupState::Active)
        };
        let ways = self.ways().into_iter();
        ways.map(|way| GatewayStatus {
            name: GatewayName::new(&way.way.name),
            here: is_active(&way.group),
            group: way.group,
            from: way.from,
            to: way.to,
            router: way.router,
            source: way.way.source,
        })
        .collect()
    }

    fn write(&self, done: &Done) -> Result<(), GatewayError> {
        disk::write(&self.path, done)
            .map_err(|source| GatewayError::State { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lab_addresses_that_only_forward_have_rules_as_long_as_the_file_says_so() {
        let file = |accept: &str| {
            let text = format!(
                "name = \"test\"\n[network.lan]\nsubnet = [\"10.0.0.0/24\", \"fd00::/64\"]\n\
                 [node.a]\nroles = [\"director\"]\naddress.lan = [\"10.0.0.1\", \"fd00::1\"]\n\
                 [group.web]\nvrid = 51\n{accept}\n[address.front]\nnetwork = \"lan\"\nip = \"10.0.0.9\"\n\
                 [address.front6]\nnetwork = \"lan\"\nip = \"fd00::9\"\n"
            );
            let reading = relevo_model::read(&text);
            reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics))
        };
        let alone = move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("a network namespace of our own");
            let folder = std::env::temp_dir().join(format!("relevo-rules-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let rules = Rules::new(&NodeName::new("a"), &folder);
            let table = || Nft::new().list_table("inet", accept::TABLE).unwrap();
            rules.follow(&file("accept = false")).unwrap();
            let text = table().unwrap();
            assert!(text.contains("10.0.0.9") && text.contains("fd00::9") && text.contains("drop"), "{text}");
            // Another process finds what this one has set up, and takes it back.
            Rules::new(&NodeName::new("a"), &folder).follow(&file("")).unwrap();
            assert_eq!(table(), None);
            std::fs::remove_dir_all(&folder).unwrap();
        };
        std::thread::spawn(alone).join().unwrap();
    }
}
