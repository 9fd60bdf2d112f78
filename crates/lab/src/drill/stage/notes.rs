//! What a drill writes down besides figures: the spanning tree as it is, and which servers each director reaches.

use relevo_api::types::HealthState;

use serde::Deserialize;

use super::{Stage, Stop};
use crate::inside::STATE_FOLDER;
use crate::{LabStatus, PortState, SwitchStatus};

/// How many of a node's latest incidents are looked at.
const INCIDENTS: &str = "200";

/// Something that a node has written down (`relevo incidents`).
#[derive(Clone, Debug, Deserialize)]
pub(in crate::drill) struct Incident {
    /// When, milliseconds since 1970-01-01 UTC.
    at: u64,
    /// One word for programs.
    pub(in crate::drill) kind: String,
    /// A sentence for people.
    pub(in crate::drill) text: String,
}

impl Stage<'_> {
    /// Writes down a sentence.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// What was written down so far.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// What a node has written down since then, milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// It cannot be read.
    pub(in crate::drill) fn incidents(&self, node: &str, since_ms: u64) -> Result<Vec<Incident>, Stop> {
        let argv = ["incidents", "--json", "--last", INCIDENTS, "--state-dir", STATE_FOLDER];
        let text = self.ask(node, &argv)?;
        let all: Vec<Incident> = serde_json::from_str(&text)
            .map_err(|error| Stop::Problem(format!("the incidents of {node}: {error}")))?;
        Ok(all.into_iter().filter(|incident| incident.at >= since_ms).collect())
    }

    /// Writes down the spanning tree of the asked network: its root, and which ports are blocked. `when`: as in `before`.
    /// Gives what follows it.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn note_tree(&mut self, when: &str) -> Result<String, Stop> {
        let tree = self.tree()?;
        self.note(format!("{when}: {tree}"));
        Ok(tree)
    }

    /// The spanning tree of the asked network, in words.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn tree(&self) -> Result<String, Stop> {
        Ok(tree(&self.status()?, &self.facts.network))
    }

    /// Whether every director's kernel carries the asked service, as the file promises.
    ///
    /// # Errors
    /// One does not; why, in words.
    pub fn kernel_takes_it(&self) -> Result<(), Stop> {
        let status = self.status()?;
        let service = &self.facts.service.name;
        for node in &status.nodes {
            let services = node.api.iter().flat_map(|api| &api.services);
            let mut paths = services.filter(|one| one.name == *service).filter_map(|one| one.path.as_ref());
            if let Some(path) = paths.find(|path| !path.kernel) {
                return Err(Stop::Problem(format!(
                    "service {service} is served in userspace on {}, connections cannot survive: {}",
                    node.name, path.why
                )));
            }
        }
        Ok(())
    }

    /// Whether no port of the switches of the asked network listens or learns, and they have one root.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn tree_at_rest(&self) -> Result<bool, Stop> {
        let status = self.status()?;
        let own = |switch: &&SwitchStatus| switch.network == *self.facts.network && switch.on && switch.stp;
        let switches = || status.switches.iter().filter(own);
        let mut ports = switches().flat_map(|switch| &switch.ports);
        let changes = ports.any(|port| matches!(port.state, PortState::Listening | PortState::Learning));
        // One that lost its way to the root takes itself for it until it hears of another way.
        let roots = switches().filter(|switch| switch.root).count();
        Ok(!changes && (roots == 1 || switches().count() == 0))
    }

    /// Writes down which servers of the asked pool each director sees up.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn note_reached(&mut self, when: &str) -> Result<(), Stop> {
        let status = self.status()?;
        let mut parts = Vec::new();
        for director in &self.facts.directors {
            let up = reached(&status, director, &self.facts.pool.name);
            let list = if up.is_empty() { "no server".to_owned() } else { up.join(", ") };
            parts.push(format!("{director} reaches {list}"));
        }
        let text = format!("{when}: {}", parts.join("; "));
        self.note(text);
        Ok(())
    }
}

/// The servers of a pool that a director sees up.
pub(in crate::drill) fn reached(status: &LabStatus, director: &str, pool: &str) -> Vec<String> {
    let pool = status.node(director).and_then(|node| node.api.as_ref()?.pool(pool));
    let servers = pool.map(|pool| pool.servers.as_slice()).unwrap_or_default();
    let up = servers.iter().filter(|server| server.health == HealthState::Up);
    up.map(|server| server.name.to_string()).collect()
}

/// As in `root swout2; blocked: swout1 towards vswout1`.
fn tree(status: &LabStatus, network: &str) -> String {
    let switches = || status.switches.iter().filter(|switch| switch.network == network && switch.on);
    let roots: Vec<&str> =
        switches().filter(|switch| switch.root).map(|switch| switch.name.as_str()).collect();
    let mut closed = Vec::new();
    for switch in switches() {
        for port in switch.ports.iter().filter(|port| status.switch(&port.name).is_some()) {
            let word = match port.state {
                PortState::Blocking => "",
                PortState::Listening => " (listening)",
                PortState::Learning => " (learning)",
                PortState::Disabled | PortState::Forwarding | PortState::Unknown => continue,
            };
            closed.push(format!("{} towards {}{word}", switch.name, port.name));
        }
    }
    let roots = if roots.is_empty() { "unknown".to_owned() } else { roots.join(" and ") };
    let closed = if closed.is_empty() { "nothing".to_owned() } else { closed.join(", ") };
    format!("root {roots}; blocked: {closed}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PortStatus;

    #[test]
    fn a_tree_is_its_root_and_what_it_blocks() {
        let switch = |name: &str, root: bool, ports: &[(&str, PortState)]| SwitchStatus {
            name: name.to_owned(),
            network: "public".to_owned(),
            on: true,
            stp: true,
            root,
            ports: ports
                .iter()
                .map(|(name, state)| PortStatus { name: (*name).to_owned(), state: *state })
                .collect(),
        };
        let status = LabStatus {
            name: "s4".to_owned(),
            keeper: 1,
            rootless: false,
            url: None,
            nodes: Vec::new(),
            switches: vec![
                switch("left", false, &[("root", PortState::Forwarding), ("far", PortState::Blocking)]),
                switch("root", true, &[("left", PortState::Forwarding), ("far", PortState::Learning)]),
                switch("far", false, &[("machine", PortState::Blocking)]),
            ],
            links: Vec::new(),
            resets: Vec::new(),
        };
        assert_eq!(
            tree(&status, "public"),
            "root root; blocked: left towards far, root towards far (learning)"
        );
        assert_eq!(tree(&status, "other"), "root unknown; blocked: nothing");
    }
}
