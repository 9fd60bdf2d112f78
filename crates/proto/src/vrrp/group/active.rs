//! Active: adverts, leases, rivals, resigning, stalls (RFC 9568 section 6.4.3).

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;

use super::super::lease;
use super::super::packet::Advert;
use super::super::router::Rival;
use super::super::words::{Output, State};
use super::{CLAIM, Group, Parting, Resign};

/// Who wins between two actives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    We,
    They,
    Undecided,
}

impl Group {
    pub(super) fn active_deadline(&self) -> Time {
        let speak_at = match self.resign {
            Some(resign) => resign.repeat_at.min(resign.until),
            None => self.advert_at,
        };
        speak_at.min(self.hold_at).min(self.announce.due())
    }

    pub(super) fn on_active_timeout(&mut self, now: Time) {
        match self.resign {
            Some(resign) if resign.until <= now => {
                self.on_nobody_took_over(now, resign);
                if self.finished {
                    return;
                }
            }
            Some(mut resign) if resign.repeat_at <= now => {
                resign.repeat_at = now + self.advert * 2;
                self.resign = Some(resign);
                self.say_good_bye(now);
            }
            None if self.advert_at <= now => self.send_adverts(now),
            Some(_) | None => {}
        }
        if self.hold_at <= now {
            self.outputs.push_back(Output::Hold { valid: lease::valid(self.own_down()) });
            self.hold_at = now + lease::REFRESH;
        }
        if self.announce.take(now) {
            self.outputs.push_back(Output::Announce);
        }
    }

    pub(super) fn on_active_advert(&mut self, now: Time, index: usize, source: IpAddr, advert: &Advert) {
        if advert.priority == 0 {
            // RFC 9568 section 6.4.3: answer with an own advert. The sender may have announced itself before.
            match self.resign {
                None => {
                    self.assert_active(now, index);
                    self.announce.again(now);
                }
                Some(_) => self.on_both_resign(now, index, source),
            }
            return;
        }
        if let Some(resign) = self.resign {
            self.outputs.push_back(Output::Release);
            self.behind = true;
            self.fall_back(now, index, source, advert, format!("resigned, {source} took over"));
            if resign.shutdown {
                self.finish(now);
            }
            return;
        }
        let own = self.effective_priority();
        let verdict = match advert.priority.cmp(&own) {
            std::cmp::Ordering::Greater => Verdict::They,
            std::cmp::Ordering::Less => Verdict::We,
            std::cmp::Ordering::Equal => self.tie(now, index, source),
        };
        match verdict {
            Verdict::They => {
                if advert.priority == CLAIM {
                    // A claim waits for this: the addresses are free.
                    self.outputs.push_back(Output::Release);
                    self.send_all(0);
                } else {
                    // The winner must hear that it was not the only active, so that it announces the addresses again:
                    // the neighbours send to us, and what it announced before the network was mended reached nobody.
                    self.send_all(own);
                    self.outputs.push_back(Output::Release);
                }
                let reason = match advert.priority {
                    CLAIM => format!("{source} claims it with priority {CLAIM}, ours is {own}"),
                    other => format!("{source} advertises priority {other}, ours is {own}"),
                };
                self.fall_back(now, index, source, advert, reason);
            }
            Verdict::We => {
                // RFC 9568 section 6.4.3: discard, and assert the active state at once. The other has announced its
                // addresses; announce ours again.
                self.assert_active(now, index);
                self.announce.again(now);
                if self.rivals.is_new(now, source, self.own_down()) {
                    self.outputs.push_back(Output::Rival { source, priority: advert.priority });
                }
            }
            Verdict::Undecided => {}
        }
    }

    /// Two actives (a network was just mended) that both resign would wait for each other: the lower address goes first.
    fn on_both_resign(&mut self, now: Time, index: usize, source: IpAddr) {
        if source > self.routers[index].settings.source {
            self.outputs.push_back(Output::Release);
            let shutdown = self.step_down();
            self.listen(now, format!("resigned, and so does {source}"));
            if shutdown {
                self.finish(now);
            }
        }
    }

    /// Another active has our priority: the higher source address wins (RFC 9568 section 6.4.3).
    ///
    /// In a group on several networks the addresses may compare differently on each. Both sides must decide alike, or
    /// both yield: the first router that hears the rival decides. A later router waits two intervals for it.
    fn tie(&mut self, now: Time, index: usize, source: IpAddr) -> Verdict {
        let fresh = self.own_down();
        let router = &mut self.routers[index];
        let first = match router.rival {
            Some(rival) if rival.source == source && now.since(rival.last) <= fresh => rival.first,
            Some(_) | None => now,
        };
        router.rival = Some(Rival { source, first, last: now });
        let own = router.settings.source;
        let decides = self
            .routers
            .iter()
            .position(|router| router.rival.is_some_and(|rival| now.since(rival.last) <= fresh));
        if decides != Some(index) || (index > 0 && now.since(first) < self.advert * 2) {
            Verdict::Undecided
        } else if source > own {
            Verdict::They
        } else {
            Verdict::We
        }
    }

    /// Answers another active on one network; at most four times per interval, so that no two machines can shout at
    /// each other at the speed of the wire.
    fn assert_active(&mut self, now: Time, index: usize) {
        let spacing = self.advert / 4;
        let priority = self.effective_priority();
        let router = &mut self.routers[index];
        if router.asserted.is_none_or(|at| now.since(at) >= spacing) {
            router.asserted = Some(now);
            self.send(index, priority);
        }
    }

    pub(super) fn send_adverts(&mut self, now: Time) {
        self.send_all(self.effective_priority());
        self.last_sent = now;
        // Keep the beat unless a whole beat was missed.
        let next = self.advert_at + self.advert;
        self.advert_at = if next > now && next <= now + self.advert { next } else { now + self.advert };
    }

    fn say_good_bye(&mut self, now: Time) {
        self.send_all(0);
        self.last_sent = now;
    }

    pub(super) fn on_resign(&mut self, now: Time, shutdown: bool) {
        if self.state != State::Active {
            if shutdown {
                self.finish(now);
            }
            return;
        }
        if self.resign.is_some_and(|resign| resign.shutdown || !shutdown) {
            return;
        }
        let until = now + (self.advert * 5).max(Duration::from_secs(1));
        self.resign = Some(Resign { until, repeat_at: now + self.advert * 2, shutdown });
        self.reason = String::from("resigning");
        self.say_good_bye(now);
    }

    fn on_nobody_took_over(&mut self, now: Time, resign: Resign) {
        self.resign = None;
        if resign.shutdown {
            self.claimed = false;
            self.parting = Parting::Sudden;
            self.outputs.push_back(Output::Release);
            self.finish(now);
            return;
        }
        self.send_adverts(now);
        let reason = String::from("nobody took over");
        self.outputs.push_back(Output::Changed {
            from: State::Active,
            to: State::Active,
            reason: reason.clone(),
        });
        self.reason = reason;
    }

    /// Another has surely taken over: no word before the addresses are gone.
    pub(super) fn on_stalled(&mut self, now: Time, silence: Duration) {
        self.outputs.push_back(Output::Release);
        let shutdown = self.step_down();
        self.listen(now, format!("stalled, sent nothing for {silence:.1?}"));
        if shutdown {
            self.finish(now);
        }
    }

    /// A link is down, or a tracker: the whole group gives up; the networks that still work are told.
    pub(super) fn on_fault(&mut self, now: Time, why: String) {
        self.outputs.push_back(Output::Release);
        for index in 0..self.routers.len() {
            if self.routers[index].link == Some(true) {
                self.send(index, 0);
            }
        }
        let is_whole = self.routers.iter().all(|router| router.link == Some(true));
        self.parting = if is_whole { Parting::Planned { to: None } } else { Parting::Sudden };
        let shutdown = self.step_down();
        self.change(now, State::Fault, why);
        if shutdown {
            self.finish(now);
        }
    }

    /// Forgets what belongs to an active one; whether a shutdown was under way. Who was resigning stays behind.
    pub(super) fn step_down(&mut self) -> bool {
        self.claimed = false;
        let resign = self.resign.take();
        self.behind |= resign.is_some();
        resign.is_some_and(|resign| resign.shutdown)
    }
}
