//! What is known of the others in the words of the API.

use relevo_api::types::{Answer, GroupState, GroupStatus, Opinion, PathStatus};
use relevo_net::clock;
use relevo_proto::ownership::Verdict;
use relevo_proto::vrrp::State;

use super::Truth;

impl Truth {
    /// Every way to another director.
    pub(crate) fn paths(&self) -> Vec<PathStatus> {
        let paths = self.shared.machine().paths(clock::now());
        let path = |path: relevo_proto::ownership::PathView| PathStatus {
            node: path.node,
            network: path.network,
            hears: path.hears,
            heard: path.heard,
        };
        paths.into_iter().map(path).collect()
    }

    /// Adds what the others say of a group.
    pub(crate) fn add_to(&self, status: &mut GroupStatus) {
        let Some(group) = self.shared.groups.iter().position(|name| *name == status.name) else { return };
        let now = clock::now();
        let machine = self.shared.machine();
        status.opinions = machine
            .group(now, group)
            .into_iter()
            .map(|peer| Opinion {
                agrees: peer.state.map(|_| peer.owner.is_some() && peer.owner == status.active),
                node: peer.node,
                state: peer.state.map(word),
                active: peer.owner,
                hears_adverts: peer.hears_adverts,
                answers: peer
                    .verdicts
                    .into_iter()
                    .map(|(address, verdict)| Answer { address, answers: answer(verdict) })
                    .collect(),
            })
            .collect();
        status.held_back = machine.proven_by(now, group).map(|(active, network)| {
            format!("no adverts of {active} are heard, but it says on {network} that it holds the addresses")
        });
    }
}

fn word(state: State) -> GroupState {
    match state {
        State::Init => GroupState::Init,
        State::Backup => GroupState::Backup,
        State::Active => GroupState::Active,
        State::Fault => GroupState::Fault,
    }
}

fn answer(verdict: Verdict) -> String {
    match verdict {
        Verdict::Unknown => "unknown".to_owned(),
        Verdict::Right => "right".to_owned(),
        Verdict::Silent => "silent".to_owned(),
        Verdict::Other(hardware) => hardware.map(|byte| format!("{byte:02x}")).join(":"),
    }
}
