//! The bridges of this node in the control API's words.

use relevo_api::types::BridgeStatus;
use relevo_model::ClusterFile;
use relevo_model::cluster::InterfaceKind;
use relevo_net::layer2::{self, PortState};
use relevo_net::route::Route;

/// The bridges of the file on `node`. Nothing is asked of the kernel where there are none; what it does not tell is not there.
pub(crate) fn bridges(cluster: &ClusterFile, node: &str) -> Vec<BridgeStatus> {
    let own = cluster.interfaces.iter().filter(|interface| interface.is_on(node));
    let names: Vec<&String> = own
        .filter(|interface| matches!(interface.kind, InterfaceKind::Bridge(_)))
        .map(|interface| &interface.name)
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    let observed = Route::open().and_then(|mut socket| layer2::observe(&mut socket)).unwrap_or_default();
    let status = |name: &String| {
        let ports = || observed.iter().filter(|(_, port)| port.controller.as_ref() == Some(name));
        let in_state = |wanted: &dyn Fn(Option<PortState>) -> bool| -> Vec<String> {
            ports().filter(|(_, port)| wanted(port.state)).map(|(name, _)| name.clone()).collect()
        };
        BridgeStatus {
            name: name.clone(),
            present: observed.contains_key(name),
            root: observed.get(name).and_then(|bridge| bridge.root),
            forwarding: in_state(&|state| state == Some(PortState::Forwarding)),
            blocked: in_state(&|state| state == Some(PortState::Blocking)),
            other: in_state(&|state| !matches!(state, Some(PortState::Forwarding | PortState::Blocking))),
        }
    };
    names.into_iter().map(status).collect()
}
