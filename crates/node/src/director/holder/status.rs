//! What a group shows of itself.

use relevo_api::types::{AddressStatus, GroupState, GroupStatus};
use relevo_net::clock;
use relevo_proto::vrrp::State;

use super::super::setup::{Site, VirtualAddress};
use super::Holder;

impl Holder {
    /// What to show.
    pub(in crate::director) fn status(&mut self) -> GroupStatus {
        let status = self.machine.status();
        if self.since.0 != status.since {
            self.since = (status.since, clock::wall_millis(status.since));
        }
        GroupStatus {
            name: self.member.name.clone(),
            state: match status.state {
                State::Init => GroupState::Init,
                State::Backup => GroupState::Backup,
                State::Active => GroupState::Active,
                State::Fault => GroupState::Fault,
            },
            active: match status.state {
                // Its own link-local address is in no file.
                State::Active => {
                    self.member.own().or_else(|| status.active.map(|it| self.member.node_of(it)))
                }
                State::Init | State::Backup | State::Fault => {
                    status.active.map(|source| self.member.node_of(source))
                }
            },
            since: self.since.1,
            reason: self.reason(status.state, &status.reason),
            priority: self.member.settings.priority,
            effective_priority: status.priority,
            trackers: Vec::new(),
            transitions: status.transitions,
            dropped: status.dropped,
            opinions: Vec::new(),
            held_back: None,
            moves: None,
            addresses: (self.member.addresses.iter().enumerate())
                .map(|(number, address)| self.address_status(number, address))
                .collect(),
        }
    }

    /// Why the group is in its state. In Fault the legs know it better than the machine.
    pub(super) fn reason(&self, state: State, reason: &str) -> String {
        if self.begin.is_some() && state == State::Init {
            return "waiting: startup_delay or boot_delay is not over".to_owned();
        }
        let refused = self.refused.as_ref().map(|(_, why)| why);
        let trouble = refused.or_else(|| self.legs.iter().find_map(|leg| leg.trouble.as_ref()));
        match trouble.filter(|_| state == State::Fault) {
            Some(trouble) => trouble.clone(),
            None => self.member.with_names(reason),
        }
    }

    fn address_status(&self, number: usize, address: &VirtualAddress) -> AddressStatus {
        let name = match address.site {
            Site::Leg(leg) => self.legs[leg].name().and(self.link_of(number)).map(|link| link.name.as_str()),
            Site::Named(_) | Site::Own { .. } => self.link_of(number).map(|link| link.name.as_str()),
        };
        AddressStatus {
            name: address.name.clone(),
            ip: address.ip,
            network: address.network.clone(),
            interface: name.map(ToOwned::to_owned),
            mac: match address.site {
                Site::Leg(leg) => self.legs[leg].hardware(),
                Site::Named(_) | Site::Own { .. } => None,
            },
        }
    }
}
