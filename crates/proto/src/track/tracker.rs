//! One tracker.

use std::collections::VecDeque;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster;

use super::{Effect, Verdict};

/// A weight of so little or less is a fault.
const FAULT: i64 = -254;

/// What a look saw, before anything is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing that could be judged.
    Unknown,
    /// It is there, it answers, it works.
    Up,
    /// It is not, it does not.
    Down,
    /// A number to be weighed.
    Number(i32),
}

/// How a tracker judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// -253 to 253: added while down if negative, while up if positive. `None`: down is a fault.
    pub weight: Option<i16>,
    /// Down counts as up, and up as down.
    pub reverse: bool,
    /// Looks in a row until it is up; at least 1.
    pub rise: u32,
    /// Looks in a row until it is down; at least 1.
    pub fall: u32,
    /// How long it must have been so until it is up.
    pub up_delay: Duration,
    /// How long it must have been so until it is down.
    pub down_delay: Duration,
    /// What it says before the first look.
    pub at_start: Verdict,
}

/// The answer of a tracker has changed: what it says, or what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What it said.
    pub from: Verdict,
    /// What it says.
    pub to: Verdict,
    /// Why, for people.
    pub evidence: String,
}

/// A look that says something else than what holds.
#[derive(Clone, Debug)]
struct Contrary {
    reading: Reading,
    count: u32,
    /// When the first of them was seen.
    since: Time,
    evidence: String,
}

/// A tracker.
#[derive(Clone, Debug)]
pub struct Tracker {
    settings: Settings,
    reading: Reading,
    since: Time,
    evidence: String,
    looked: bool,
    contrary: Option<Contrary>,
    outputs: VecDeque<Changed>,
}

impl Tracker {
    /// A tracker that has not looked yet.
    pub fn new(settings: Settings, now: Time) -> Self {
        let reading = match (settings.at_start, settings.reverse) {
            (Verdict::Unknown, _) => Reading::Unknown,
            (Verdict::Up, false) | (Verdict::Down, true) => Reading::Up,
            (Verdict::Down, false) | (Verdict::Up, true) => Reading::Down,
        };
        let evidence = String::from("not looked yet");
        let outputs = VecDeque::new();
        Self { settings, reading, since: now, evidence, looked: false, contrary: None, outputs }
    }

    /// Takes in what a look saw, with the evidence for people.
    pub fn handle_input(&mut self, now: Time, reading: Reading, evidence: &str) {
        self.settle(now);
        if reading == Reading::Unknown {
            // No evidence against what holds.
            if self.reading == Reading::Unknown || !self.looked {
                evidence.clone_into(&mut self.evidence);
            }
        } else if reading == self.reading {
            self.contrary = None;
            evidence.clone_into(&mut self.evidence);
            self.looked = true;
        } else {
            self.looked = true;
            let (count, since) = match &self.contrary {
                Some(contrary) if contrary.reading == reading => {
                    (contrary.count.saturating_add(1), contrary.since)
                }
                Some(_) | None => (1, now),
            };
            self.contrary = Some(Contrary { reading, count, since, evidence: evidence.to_owned() });
            self.settle(now);
        }
        self.check_invariants();
    }

    /// Tells it that the time of [`Tracker::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        self.settle(now);
        self.check_invariants();
    }

    /// When something that was seen has lasted long enough to count.
    pub fn poll_timeout(&self) -> Option<Time> {
        let contrary = self.contrary.as_ref()?;
        (contrary.count >= self.needed(contrary.reading))
            .then(|| contrary.since + self.delay(contrary.reading))
    }

    /// What has changed; drain until `None`.
    pub fn poll_output(&mut self) -> Option<Changed> {
        self.outputs.pop_front()
    }

    /// What it says.
    pub fn verdict(&self) -> Verdict {
        let verdict = |is_up: bool| if is_up { Verdict::Up } else { Verdict::Down };
        match self.reading {
            Reading::Unknown => Verdict::Unknown,
            Reading::Up => verdict(!self.settings.reverse),
            Reading::Down => verdict(self.settings.reverse),
            Reading::Number(_) => match self.effect() {
                Effect::None => Verdict::Up,
                Effect::Weight(weight) => verdict(weight > 0),
                Effect::Fault => Verdict::Down,
            },
        }
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        let Settings { weight, reverse, .. } = self.settings;
        let is_up = match self.reading {
            Reading::Unknown => return Effect::None,
            Reading::Number(number) => return weighed(number, weight, reverse),
            Reading::Up => !reverse,
            Reading::Down => reverse,
        };
        match weight {
            None if is_up => Effect::None,
            None => Effect::Fault,
            Some(weight) if (weight > 0) == is_up && weight != 0 => Effect::Weight(weight),
            Some(_) => Effect::None,
        }
    }

    /// Whether no look speaks against what it says, though not often or long enough to count.
    pub const fn is_certain(&self) -> bool {
        self.contrary.is_none()
    }

    /// Since when it says so.
    pub const fn since(&self) -> Time {
        self.since
    }

    /// Why, for people: what the last look saw that speaks for it.
    pub fn evidence(&self) -> &str {
        &self.evidence
    }

    /// Makes what was seen count, if it was seen often and long enough.
    fn settle(&mut self, now: Time) {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        let Some(contrary) = self.contrary.take() else { return };
        let (from, before) = (self.verdict(), self.effect());
        self.reading = contrary.reading;
        self.evidence = contrary.evidence;
        let to = self.verdict();
        if from != to {
            self.since = now;
        }
        if from != to || before != self.effect() {
            self.outputs.push_back(Changed { from, to, evidence: self.evidence.clone() });
        }
    }

    /// How many looks make it count. The first one decides what was unknown.
    fn needed(&self, reading: Reading) -> u32 {
        match (self.reading, reading) {
            (Reading::Unknown, _) | (_, Reading::Unknown | Reading::Number(_)) => 1,
            (Reading::Up | Reading::Down | Reading::Number(_), Reading::Up) => self.count(true),
            (Reading::Up | Reading::Down | Reading::Number(_), Reading::Down) => self.count(false),
        }
    }

    /// How long it must have been so.
    fn delay(&self, reading: Reading) -> Duration {
        let Settings { weight, reverse, up_delay, down_delay, .. } = self.settings;
        let of = |is_up: bool| if is_up { up_delay } else { down_delay };
        match (self.reading, reading) {
            (_, Reading::Unknown) => Duration::ZERO,
            // Nothing was taken for granted that must be given up.
            (Reading::Unknown, Reading::Up) if !reverse => Duration::ZERO,
            (Reading::Unknown, Reading::Down) if reverse => Duration::ZERO,
            (Reading::Unknown, Reading::Number(_)) => Duration::ZERO,
            (_, Reading::Up) => of(!reverse),
            (_, Reading::Down) => of(reverse),
            (Reading::Up | Reading::Down | Reading::Number(_), Reading::Number(number)) => {
                let worth = |effect| match effect {
                    Effect::None => 0,
                    Effect::Weight(weight) => i64::from(weight),
                    Effect::Fault => FAULT,
                };
                of(worth(weighed(number, weight, reverse)) >= worth(self.effect()))
            }
        }
    }

    fn count(&self, looks_up: bool) -> u32 {
        let is_up = looks_up != self.settings.reverse;
        (if is_up { self.settings.rise } else { self.settings.fall }).max(1)
    }

    fn check_invariants(&self) {
        debug_assert!(
            self.contrary.as_ref().is_none_or(|contrary| contrary.reading != self.reading),
            "what is contrary is not what holds"
        );
        debug_assert!(self.outputs.len() <= 64, "somebody drains the outputs");
    }
}

/// What a number does.
fn weighed(number: i32, weight: Option<i16>, reverse: bool) -> Effect {
    let Some(weight) = weight else {
        let is_up = (number == 0) != reverse;
        return if is_up { Effect::None } else { Effect::Fault };
    };
    let product = i64::from(number) * i64::from(weight);
    match if reverse { -product } else { product } {
        0 => Effect::None,
        worth if worth <= FAULT => Effect::Fault,
        worth => Effect::Weight(i16::try_from(worth.min(254)).unwrap_or(254)),
    }
}

impl From<&cluster::Tracker> for Settings {
    fn from(tracker: &cluster::Tracker) -> Self {
        Self {
            weight: tracker.weight,
            reverse: tracker.reverse,
            rise: tracker.rise,
            fall: tracker.fall,
            up_delay: tracker.up_delay,
            down_delay: tracker.down_delay,
            at_start: match tracker.at_start {
                cluster::AtStart::Unknown => Verdict::Unknown,
                cluster::AtStart::Up => Verdict::Up,
                cluster::AtStart::Down => Verdict::Down,
            },
        }
    }
}
