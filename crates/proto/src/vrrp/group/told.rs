//! What others than VRRP know of the active one: a channel that proves that it lives, a detector that has lost it.

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;

use super::super::router::Seen;
use super::super::words::{Output, State};
use super::Group;

/// Something that is known beside adverts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The active one has said that it holds the addresses: a backup does not take over before then, unless it is asked to by
    /// [`Input::Claim`](super::super::Input::Claim). Not believed after the active one has said good-bye.
    Proven {
        /// Until when; at most one Active_Down interval is taken.
        until: Time,
    },
    /// The active one of a router's network is lost: it is silent, or has given up. Counts as an Active_Down timer that has
    /// run out, `wait` from now.
    Lost {
        /// Index into [`Settings::routers`](super::super::Settings::routers).
        router: usize,
        /// Its address there. Another one that is seen as active is not lost.
        source: IpAddr,
        /// Time for those who come first.
        wait: Duration,
    },
    /// Two are active, do not hear each other's adverts, and the other one shall stay. Ignored unless active.
    Yield {
        /// Its address on the first network.
        to: IpAddr,
    },
    /// Neighbours may believe another one. Ignored unless active.
    Reannounce,
}

impl Group {
    pub(super) fn on_told(&mut self, now: Time, told: Told) {
        match (self.state, told) {
            (State::Backup, Told::Proven { until }) => {
                let gone = self.routers.iter().any(|router| matches!(router.seen, Seen::Resigned { .. }));
                if !gone {
                    self.proven = until.min(now + self.own_down());
                }
            }
            (State::Backup, Told::Lost { router, source, wait }) => {
                if let Some(router) = self.routers.get_mut(router)
                    && matches!(router.seen, Seen::Active { source: active, .. } if router.same(active, source))
                {
                    router.down_at = router.down_at.min(now + wait);
                    self.lost = Some(now);
                }
            }
            (State::Active, Told::Yield { to }) => {
                self.outputs.push_back(Output::Release);
                let shutdown = self.step_down();
                self.listen(now, format!("active here and on {to}, which has precedence"));
                if shutdown {
                    self.finish(now);
                }
            }
            (State::Active, Told::Reannounce) => self.announce.again(now),
            (
                State::Init | State::Backup | State::Active | State::Fault,
                Told::Proven { .. } | Told::Lost { .. } | Told::Yield { .. } | Told::Reannounce,
            ) => {}
        }
    }

    /// Until when the active one's word keeps this backup from taking over. As long as adverts are heard it does not: they
    /// say all that there is to say, as that a better one shall preempt.
    pub(super) fn proven(&self) -> Time {
        let fresh = self.own_down();
        let hears = self.routers.iter().any(|router| match router.seen {
            Seen::Active { at, .. } => {
                self.last_run.since(at) < fresh && self.lost.is_none_or(|lost| at > lost)
            }
            Seen::Nobody | Seen::Resigned { .. } => false,
        });
        if hears { Time::ZERO } else { self.proven }
    }

    /// Whether it is active.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Active, and giving the group away.
    pub fn is_resigning(&self) -> bool {
        self.resign.is_some()
    }

    /// Whose adverts were heard last on a router's network, and when; while backup.
    pub fn heard(&self, router: usize) -> Option<(IpAddr, Time)> {
        match self.routers.get(router)?.seen {
            Seen::Active { source, at, .. } if self.state == State::Backup => Some((source, at)),
            Seen::Active { .. } | Seen::Nobody | Seen::Resigned { .. } => None,
        }
    }
}
