//! Whether a pool has anybody to send requests to, for those who only want to know that.

use relevo_model::cluster::CheckKind;
use relevo_proto::balance::Admin;
use relevo_proto::health::State;

use crate::backend::Backend;

/// What the checks say about a pool as a whole, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// At least one server is up, or nobody is checked.
    Up(String),
    /// Every server that is checked is down.
    Down(String),
    /// Not checked yet, or the operator has taken all of them out of work.
    Unknown(String),
}

impl Backend {
    /// What the checks say. What the operator wants does not make a server up or down; the fallback does not count.
    pub(crate) fn reach(&self) -> Reach {
        if self.config.check.kind == CheckKind::None && self.config.agent.is_none() {
            return Reach::Up("its servers are not checked".to_owned());
        }
        let all = self.config.servers.len();
        let (mut up, mut unknown, mut maint) = (0_usize, 0_usize, 0_usize);
        let mut why = String::new();
        for (config, server) in self.config.servers.iter().zip(&self.servers) {
            let state = server.state();
            match (state.health, state.admin()) {
                (State::Up, _) => up += 1,
                (State::Unknown, Admin::Maint) => maint += 1,
                (State::Unknown, Admin::Ready | Admin::Drain) => unknown += 1,
                (State::Down, _) if why.is_empty() => why = format!("{}: {}", config.name, state.reason),
                (State::Down, _) => {}
            }
        }
        if up > 0 {
            Reach::Up(format!("{up} of {all} servers are up"))
        } else if unknown > 0 {
            Reach::Unknown(format!("{unknown} of {all} servers are not checked yet"))
        } else if maint == all {
            Reach::Unknown("all servers are in maintenance".to_owned())
        } else {
            Reach::Down(format!("none of {all} servers is up; {why}"))
        }
    }
}
