//! Another process on the same node goes on with the group, as when the program is replaced by a newer one. Nobody on the
//! network hears of it: no good-bye, no gap between two adverts that is longer than usual.

use std::time::Duration;

use relevo_model::Time;

use super::super::words::{Output, Settings, State};
use super::Group;

/// What the next process must know to go on with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// When the last advert went out, if the group is active: the addresses are held, and nobody refreshes them any more.
    pub active: Option<Time>,
    /// It became active by a claim.
    pub claimed: bool,
    /// It resigned, and does not preempt its successor.
    pub behind: bool,
}

/// Active until just now, in another process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adopted {
    /// Others wait for an advert until then.
    until: Time,
    claimed: bool,
}

impl Group {
    /// Goes on where another process ended with [`Group::hand_over`]. If that one was active, this one is as soon as every
    /// link was reported up, unless so much time has passed since its last advert that another may have taken over: then
    /// it releases the addresses and listens.
    pub fn adopt(settings: Settings, now: Time, handed: Handed) -> Self {
        let mut group = Self::new(settings, now);
        let down = group.own_down();
        group.adopted = handed.active.map(|sent| Adopted { until: sent + down, claimed: handed.claimed });
        group.behind = handed.behind && handed.active.is_none();
        group
    }

    /// Ends without a word, and without releasing what is held: another process goes on with it. One that is resigning
    /// releases. Drain [`Group::poll_output`] afterwards; everything else is ignored from now on.
    pub fn hand_over(&mut self, now: Time) -> Handed {
        let now = self.enter(now);
        let is_active = self.state == State::Active && !self.finished;
        let resigning = self.resign.take().is_some();
        let handed = Handed {
            active: (is_active && !resigning).then_some(self.last_sent),
            claimed: self.claimed && !resigning,
            behind: self.behind || resigning,
        };
        if is_active && resigning {
            self.outputs.push_back(Output::Release);
        }
        if !self.finished {
            self.change(now, State::Init, String::from("handed over to another process"));
        }
        (self.claim, self.claimed, self.finished) = (None, false, true);
        handed
    }

    /// All links are up for the first time.
    pub(super) fn begin(&mut self, now: Time) {
        match self.adopted.take() {
            Some(adopted) if now < adopted.until => {
                self.become_active(now, String::from("taken over from the process before"));
                self.claimed = adopted.claimed;
            }
            Some(adopted) => {
                self.outputs.push_back(Output::Release);
                let late: Duration = now.since(adopted.until);
                self.listen(now, format!("the process before handed over {late:.1?} too late, listening"));
            }
            None => self.listen(now, String::from("all links are up, listening")),
        }
    }

    /// What the process before held cannot be held here.
    pub(super) fn forget_adopted(&mut self) {
        if self.adopted.take().is_some() {
            self.outputs.push_back(Output::Release);
        }
    }
}
