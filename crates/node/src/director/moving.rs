//! What the director does for connections when a group moves on purpose: it keeps the addresses where nobody on the network sees
//! them, before it takes them off, and tells [`crate::moves`] what happened. It waits for nobody.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::mpsc::Sender;
use std::time::Duration;

use relevo_model::cluster::Scope;
use relevo_model::{NodeName, Time};
use relevo_net::address::Wish;
use relevo_proto::vrrp::{Parting, State};
use tracing::warn;

use super::Director;
use super::holder::{Holder, Kernel};
use super::setup::Member;
use super::worker::Command;
use crate::moves::{Happened, News};

/// The loopback interface is the first of each network namespace.
pub(crate) const LOOPBACK: u32 = 1;
/// For how long a silent address stays that nobody refreshes.
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(3);

/// Of one group.
#[derive(Debug, Default)]
pub(super) struct Moving {
    to: Option<Sender<News>>,
    /// Addresses that have connections to go on with.
    keep: BTreeSet<IpAddr>,
    told: Told,
    /// When the group passed from one to another the last time that was told.
    passed: Option<Time>,
    /// The addresses were kept when they were taken off last.
    kept: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Offered(NodeName),
    Active,
}

/// What a director is told to keep.
#[derive(Clone, Debug)]
pub(super) struct Keep {
    pub(super) to: Sender<News>,
    pub(super) addresses: BTreeSet<IpAddr>,
}

// Commands are compared in tests; who listens is not what they are about.
impl PartialEq for Keep {
    fn eq(&self, other: &Self) -> bool {
        self.addresses == other.addresses
    }
}

impl Eq for Keep {}

impl Holder {
    /// From now on these addresses have connections to go on with.
    pub(super) fn follow(&mut self, keep: Keep) {
        self.moving.keep = keep.addresses;
        self.moving.to = Some(keep.to);
    }

    /// Puts the addresses where nobody sees them, if the group goes on purpose. Before they are taken off, so that there is no moment
    /// without them.
    pub(super) fn keep_silent(&mut self, kernel: &mut Kernel) {
        self.moving.kept = false;
        if self.machine.parting() == Parting::Sudden {
            return;
        }
        let own = self.member.addresses.iter().map(|address| address.ip);
        for ip in own.filter(|ip| self.moving.keep.contains(ip)) {
            match kernel.route.place(&silent(ip), Some(SILENT_FOR)) {
                Ok(()) => self.moving.kept = true,
                Err(error) => {
                    warn!(group = %self.member.name, error = super::chain(&error), "its connections are cut");
                }
            }
        }
    }

    /// Tells what has changed since it told last.
    pub(super) fn tell_moves(&mut self) {
        let Some(to) = self.moving.to.clone() else { return };
        let is_active = self.machine.status().state == State::Active;
        let name_of = |ip: IpAddr| self.member.other_of(ip);
        let mut news = Vec::new();
        let mut told = self.moving.told.clone();
        if is_active && told != Told::Active {
            news.push(Happened::Took { from: self.machine.predecessor().and_then(name_of) });
            told = Told::Active;
        } else if !is_active {
            if told == Told::Active {
                let successor = match self.machine.parting() {
                    Parting::Planned { to } => to.and_then(name_of),
                    Parting::Sudden => None,
                };
                news.push(match self.moving.kept {
                    true => Happened::Gave { to: successor },
                    false => Happened::Lost,
                });
                told = Told::Nothing;
            }
            let offered = self.machine.is_offered_by().and_then(name_of);
            let now = offered.map_or(Told::Nothing, Told::Offered);
            if now != told {
                news.push(match &now {
                    Told::Offered(from) => Happened::Offered { from: from.clone() },
                    Told::Nothing | Told::Active => Happened::Withdrawn,
                });
                told = now;
            }
        }
        self.moving.told = told;
        if let Some(passed) = self.machine.passed()
            && self.moving.passed != Some(passed.at)
        {
            self.moving.passed = Some(passed.at);
            if let (Some(from), Some(to)) = (name_of(passed.from), name_of(passed.to)) {
                news.push(Happened::Passed { from, to });
            }
        }
        for happened in news {
            // Nobody is there to hear it when the process ends.
            let _ = to.send(News::Happened(self.member.name.clone(), happened));
        }
    }
}

impl Member {
    /// The director that an advert came from. A link-local address is not in the file; of two directors it is the other one.
    fn other_of(&self, source: IpAddr) -> Option<NodeName> {
        let mut others = self.directors.iter().map(|peer| &peer.node).filter(|node| **node != self.own);
        let only = others.next().filter(|_| others.next().is_none()).cloned();
        self.owner_of(source).or(only)
    }
}

impl Director {
    /// Tells this one from now on what happens to groups. `keep`: addresses that have connections to go on with.
    pub(crate) fn follow_moves(&self, to: &Sender<News>, keep: &BTreeSet<IpAddr>) {
        // A director that has ended keeps nothing.
        let _ = self.command(Command::Keep(Keep { to: to.clone(), addresses: keep.clone() }));
    }
}

/// An address on the loopback interface. It is never chosen as source of anything.
pub(crate) fn silent(ip: IpAddr) -> Wish<'static> {
    Wish { index: LOOPBACK, ip, prefix: if ip.is_ipv4() { 32 } else { 128 }, scope: Scope::Host, label: None }
}
