//! Whether a group moves on purpose between two that live: then whoever gives it away can go on with its connections, and
//! whoever takes it can lead their packets there.

use std::net::IpAddr;

use relevo_model::Time;

use super::super::router::Seen;
use super::super::words::State;
use super::Group;

/// How a group was given up last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parting {
    /// Nobody could know of it before, or who has it now had it already.
    #[default]
    Sudden,
    /// On purpose. Its links are well.
    Planned {
        /// Who has taken it; `None`: somebody will.
        to: Option<IpAddr>,
    },
}

/// A group went from one to another, and this one is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Who was active.
    pub from: IpAddr,
    /// Who is.
    pub to: IpAddr,
    /// When it was seen.
    pub at: Time,
}

impl Group {
    /// How it was given up last. Right when [`Output::Release`](super::super::Output::Release) comes out.
    pub const fn parting(&self) -> Parting {
        self.parting
    }

    /// While active: the router that gave the group to this one on purpose, and lives as far as can be known; `None`: the one
    /// before is dead, or there was none.
    pub fn predecessor(&self) -> Option<IpAddr> {
        self.predecessor.filter(|_| self.state == State::Active)
    }

    /// While backup: the active one, if it has said on all networks that it gives the group away.
    pub fn is_offered_by(&self) -> Option<IpAddr> {
        let offers = |seen| matches!(seen, Seen::Resigned { .. });
        if self.state != State::Backup || !self.routers.iter().all(|router| offers(router.seen)) {
            return None;
        }
        self.routers.first().and_then(|router| match router.seen {
            Seen::Resigned { source } => Some(source),
            Seen::Nobody | Seen::Active { .. } => None,
        })
    }

    /// How it went last from one to another, both of which were heard.
    pub const fn passed(&self) -> Option<Passed> {
        self.passed
    }

    /// While backup: `source` says that it is active.
    pub(super) fn note_passed(&mut self, now: Time, seen: Seen, source: IpAddr) {
        let former = match seen {
            Seen::Active { source, at, .. } if now.since(at) <= self.advert * 2 => source,
            Seen::Resigned { source } => source,
            Seen::Active { .. } | Seen::Nobody => return,
        };
        if former != source {
            self.passed = Some(Passed { from: former, to: source, at: now });
        }
    }

    /// Who gives the group to this backup, which is about to become active.
    pub(super) fn giver(&self, now: Time) -> Option<IpAddr> {
        // It lives and has a lower priority: it yields when it hears of this one.
        let lives = |seen| match seen {
            Seen::Active { source, priority, at } => {
                let is_lost = self.lost.is_some_and(|lost| at <= lost);
                let is_there = !is_lost && now.since(at) <= self.advert * 2;
                (is_there && priority < self.priority).then_some(source)
            }
            Seen::Resigned { source } => Some(source),
            Seen::Nobody => None,
        };
        let living: Vec<IpAddr> = self.routers.iter().filter_map(|router| lives(router.seen)).collect();
        living.first().copied().filter(|_| living.len() == self.routers.len())
    }
}
