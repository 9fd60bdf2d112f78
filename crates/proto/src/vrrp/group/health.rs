//! How well a director can do its work, as its trackers say: its priority, and faults that are not of a link.
//!
//! **Who is worse gives way.** With `preempt = false` nobody takes the addresses from a living active for its priority alone.
//! But an active that advertises less than the file gives it says by that itself that something is wrong there. Then a
//! backup takes over, if its own priority is higher and if it has lost less of it. Both conditions are strict, so two
//! directors can never take from each other in turn, and of two that are ill alike the active one stays.

use std::net::IpAddr;

use relevo_model::Time;

use super::super::packet::Advert;
use super::super::router::{Router, Seen};
use super::super::timer;
use super::super::words::State;
use super::Group;

impl Group {
    /// The sum of the trackers has changed.
    pub(super) fn on_priority(&mut self, now: Time, priority: u8) {
        let priority = priority.clamp(1, 254);
        let before = std::mem::replace(&mut self.priority, priority);
        if before == priority {
            return;
        }
        match self.state {
            State::Init | State::Fault => {}
            State::Backup => {
                for router in &mut self.routers {
                    let skew = |priority| timer::skew(self.version, priority, router.interval);
                    router.down_at = router.down_at + skew(priority) - skew(before);
                }
            }
            State::Active if self.resign.is_none() => self.send_adverts(now),
            State::Active => {}
        }
    }

    /// A tracker says that this director cannot hold the addresses, or that it can again.
    pub(super) fn on_trouble(&mut self, now: Time, trouble: Option<&str>) {
        self.trouble = trouble.map(str::to_owned);
        self.reconsider(now);
    }

    /// Why this director cannot hold the addresses.
    pub(super) fn obstacle(&self) -> Option<String> {
        let down = self.routers.iter().find(|router| router.link == Some(false));
        let link = down.map(|router| format!("the link of {} is down", router.settings.source));
        link.or_else(|| self.trouble.clone())
    }

    /// Goes to Fault, or out of it, as links and trackers say.
    pub(super) fn reconsider(&mut self, now: Time) {
        let all_up = self.routers.iter().all(|router| router.link == Some(true));
        match (self.state, self.obstacle()) {
            (State::Fault, None) if all_up => self.listen(now, String::from("all is well again, listening")),
            (State::Fault, None) => self.change(now, State::Init, String::from("waiting for the links")),
            (State::Init, None) if all_up => self.begin(now),
            (State::Active, Some(why)) => self.on_fault(now, why),
            (State::Init | State::Backup, Some(why)) => {
                self.claim = None;
                self.forget_adopted();
                self.change(now, State::Fault, why);
            }
            // It may be in Fault for another reason than at first.
            (State::Fault, Some(why)) => self.reason = why,
            (State::Init | State::Backup | State::Active, None) => {}
        }
    }

    /// Whether this backup shall take over from the living active that sent this advert.
    pub(super) fn preempts(&mut self, now: Time, index: usize, source: IpAddr, advert: &Advert) -> bool {
        if advert.priority >= self.priority {
            self.preempt_at = None;
            return false;
        }
        if !self.ready {
            return false;
        }
        if self.is_worse_off(index, source, advert.priority) {
            return true;
        }
        if !self.preempt || self.behind {
            return false;
        }
        *self.preempt_at.get_or_insert(now + self.preempt_delay) <= now
    }

    /// Whether somebody has lost more of its priority than this director.
    pub(super) fn is_worse_off(&self, index: usize, source: IpAddr, priority: u8) -> bool {
        let healthy_of = |router: &Router, source: IpAddr| {
            let mut peers = router.settings.peers.iter();
            peers.find(|peer| router.same(source, peer.source)).map(|peer| peer.priority)
        };
        // Who cannot be told by its address here (one of several link-local ones) says the same on another router.
        let elsewhere = || {
            self.routers.iter().find_map(|router| match router.seen {
                Seen::Active { source, priority: other, .. } if other == priority => {
                    healthy_of(router, source)
                }
                Seen::Active { .. } | Seen::Nobody | Seen::Resigned { .. } => None,
            })
        };
        let own = self.routers.get(index).and_then(|router| healthy_of(router, source));
        let healthy = own.or_else(elsewhere);
        let lost = healthy.map_or(0, |healthy| healthy.saturating_sub(priority));
        lost > self.healthy.saturating_sub(self.priority)
    }
}
