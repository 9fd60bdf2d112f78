//! Backup: listening, taking over, claiming (RFC 9568 section 6.4.2).

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;

use super::super::packet::Advert;
use super::super::router::Seen;
use super::super::words::{Output, State};
use super::super::{lease, timer};
use super::{CLAIM, CLAIM_GRACE, Claim, Group, Parting};

impl Group {
    pub(super) fn backup_deadline(&self) -> Time {
        let claim_at = match self.claim {
            None => Time::MAX,
            Some(Claim::Waiting { at } | Claim::Sent { at }) => at,
        };
        // Woken once per interval to know how long it slept.
        self.takeover_at().min(claim_at).min(self.last_run + self.advert)
    }

    pub(super) fn on_backup_timeout(&mut self, now: Time) {
        if self.takeover_at() <= now {
            let reason = self.takeover_reason(now);
            self.become_active(now, reason);
            return;
        }
        match self.claim {
            Some(Claim::Waiting { at }) if at <= now => self.send_claim(now),
            Some(Claim::Sent { at }) if at <= now => self.become_active(now, String::from("claimed")),
            Some(Claim::Waiting { .. } | Claim::Sent { .. }) | None => {}
        }
    }

    /// Time asleep is not time listened.
    pub(super) fn on_slept(&mut self, now: Time, gap: Duration) {
        if gap > self.own_down() {
            self.listen(now, format!("did not run for {gap:.1?}, listening"));
        } else if gap > self.advert * 2 {
            let asleep = gap.saturating_sub(self.advert);
            self.earliest += asleep;
            for router in &mut self.routers {
                router.down_at += asleep;
            }
        }
    }

    pub(super) fn on_backup_advert(&mut self, now: Time, index: usize, source: IpAddr, advert: &Advert) {
        let (version, priority) = (self.version, self.priority);
        let claiming = matches!(self.claim, Some(Claim::Sent { .. }));
        let preempts = advert.priority > 0 && self.preempts(now, index, source, advert);
        let router = &mut self.routers[index];
        if advert.priority == 0 {
            let believed = match router.seen {
                Seen::Active { source: active, .. } => active == source,
                Seen::Nobody | Seen::Resigned { .. } => true,
            };
            if believed {
                router.seen = Seen::Resigned { source };
                router.yielded = true;
                router.shorten(now, version, priority);
                self.proven = Time::ZERO;
            }
            if claiming && self.routers.iter().all(|router| router.yielded) {
                self.become_active(now, format!("claimed, {source} gave way"));
            }
            return;
        }
        let seen =
            std::mem::replace(&mut router.seen, Seen::Active { source, priority: advert.priority, at: now });
        router.yielded = false;
        // RFC 9568 section 6.4.2: without preemption, or if not lower, it is the active; otherwise it is discarded
        if !preempts {
            router.restart(now, version, priority, advert.interval);
        }
        let wins = (advert.priority, source) > (CLAIM, router.settings.source);
        if claiming && wins {
            self.claim = None;
            self.reason = format!("{source} did not give way to a claim");
        }
        // As with those that give it to this one, the first network tells.
        if index == 0 {
            self.note_passed(now, seen, source);
        }
    }

    pub(super) fn on_claim(&mut self, now: Time) {
        match self.state {
            State::Init | State::Fault => {}
            State::Active => {
                if self.resign.is_some_and(|resign| !resign.shutdown) {
                    self.resign = None;
                    self.send_adverts(now);
                }
            }
            State::Backup if self.earliest <= now => self.send_claim(now),
            State::Backup => self.claim = Some(Claim::Waiting { at: self.earliest }),
        }
    }

    fn send_claim(&mut self, now: Time) {
        for router in &mut self.routers {
            // Where nobody is active there is nobody to give way.
            router.yielded = !matches!(router.seen, Seen::Active { .. });
        }
        self.send_all(CLAIM);
        self.claim = Some(Claim::Sent { at: now + CLAIM_GRACE });
        if self.routers.iter().all(|router| router.yielded) {
            self.become_active(now, String::from("claimed, nobody was active"));
        }
    }

    /// When the last of the Active_Down timers runs out.
    fn takeover_at(&self) -> Time {
        self.routers.iter().map(|router| router.down_at).fold(self.earliest.max(self.proven()), Time::max)
    }

    fn takeover_reason(&self, now: Time) -> String {
        // The router that waited longest decided.
        let last = self.routers.iter().enumerate().max_by_key(|(_, router)| router.down_at);
        let index = last.map_or(0, |(index, _)| index);
        let is_recent = |at: Time| now.since(at) <= self.advert * u32::from(self.missed);
        match last.map(|(_, router)| router.seen) {
            Some(Seen::Active { source, priority, at })
                if is_recent(at)
                    && priority < self.priority
                    && self.is_worse_off(index, source, priority) =>
            {
                format!(
                    "took over from {source}, which is worse off: its priority is down to {priority}, ours is {}",
                    self.priority
                )
            }
            Some(Seen::Active { source, priority, .. }) if priority < self.priority && self.preempt => {
                format!("took over from {source}, whose priority {priority} is lower than {}", self.priority)
            }
            Some(Seen::Active { source, at, .. }) => {
                format!("heard nothing from {source} for {} ms", now.since(at).as_millis())
            }
            Some(Seen::Resigned { source }) => format!("{source} resigned"),
            Some(Seen::Nobody) | None => String::from("no other active router heard"),
        }
    }

    /// Takes over at once: addresses on, adverts, gratuitous ARP (RFC 9568 section 6.4.2, timer fires).
    pub(super) fn become_active(&mut self, now: Time, reason: String) {
        self.predecessor = self.giver(now);
        self.claimed = self.claim.is_some();
        self.claim = None;
        self.behind = false;
        (self.proven, self.lost) = (Time::ZERO, None);
        self.resign = None;
        for router in &mut self.routers {
            router.rival = None;
            router.asserted = None;
        }
        self.outputs.push_back(Output::Hold { valid: lease::valid(self.own_down()) });
        self.hold_at = now + lease::REFRESH;
        self.send_adverts(now);
        self.announce.begin(now);
        if self.announce.take(now) {
            self.outputs.push_back(Output::Announce);
        }
        self.change(now, State::Active, reason);
    }

    /// Goes to Backup because another is active, without the floor of a new start.
    pub(super) fn fall_back(
        &mut self,
        now: Time,
        index: usize,
        source: IpAddr,
        advert: &Advert,
        reason: String,
    ) {
        self.parting = Parting::Planned { to: Some(source) };
        self.claimed = false;
        self.resign = None;
        self.earliest = now;
        self.preempt_at = None;
        let interval = timer::on_the_wire(self.version, advert.interval);
        for router in &mut self.routers {
            router.listen(now, self.version, self.priority, interval);
        }
        self.routers[index].seen = Seen::Active { source, priority: advert.priority, at: now };
        self.change(now, State::Backup, reason);
    }
}
