//! The machine for one server.

use std::collections::VecDeque;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::OnError;

use super::{State, rhythm};

/// How a server is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time from one probe's start to the next's.
    pub interval: Duration,
    /// The same while the state may be changing.
    pub fast_interval: Duration,
    /// The same while it is down.
    pub down_interval: Duration,
    /// Good probes in a row that bring a server up; at least 1.
    pub rise: u32,
    /// Bad probes in a row that take a server down; at least 1.
    pub fall: u32,
    /// This server's place among all that are checked: their probes are spread over the interval.
    pub place: u32,
}

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// The server answered well.
    Good(String),
    /// It answered that it is about to leave: it wants no new work. Only one that is up can; of others it is a bad answer.
    Leaving(String),
    /// It refused, or answered badly.
    Bad(String),
    /// It did not answer in time.
    TimedOut(Duration),
    /// It was not asked, and why: the balancer has no sockets left, or may not. That says nothing about the server.
    NotAsked(String),
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The probe with this number ended.
    Probed {
        /// The number from [`Output::Probe`]; an older one is ignored.
        number: u64,
        /// What it saw.
        result: ProbeResult,
    },
    /// Traffic to the server failed.
    TrafficFailed,
    /// Many failures in a row were seen in traffic.
    TrafficBad {
        /// What they lead to.
        then: OnError,
        /// The evidence.
        reason: String,
    },
    /// Check no more, and why: the server is in maintenance. Its health becomes unknown.
    Pause(String),
    /// Check again.
    Resume,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Probe now, and report with this number.
    Probe {
        /// Counts up.
        number: u64,
    },
    /// The health changed, or only the evidence for it.
    Changed {
        /// What it was.
        from: State,
        /// What it is.
        to: State,
        /// Whether it wants no new work though it is up: [`Server::is_leaving`].
        leaving: bool,
        /// The evidence.
        reason: String,
    },
}

/// The health of one server.
#[derive(Clone, Debug)]
pub struct Server {
    settings: Settings,
    state: State,
    since: Time,
    reason: String,
    /// Whether it is up, and its last good answer said that it wants no new work.
    leaving: bool,
    /// Results in a row that speak against `state`.
    against: u32,
    next: Option<Time>,
    in_flight: Option<u64>,
    number: u64,
    /// A hint came while a probe was under way: probe again right after it.
    again: bool,
    last_start: Option<Time>,
    outputs: VecDeque<Output>,
}

/// The first probes of all servers are made within this time, however long the interval is.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

impl Server {
    /// A server that was never probed.
    pub fn new(settings: Settings, now: Time) -> Self {
        let first = rhythm::part(settings.interval.min(FIRST_WITHIN), settings.place);
        Self {
            settings,
            state: State::Unknown,
            since: now,
            reason: "not checked yet".to_owned(),
            leaving: false,
            against: 0,
            next: Some(now + first),
            in_flight: None,
            number: 0,
            again: false,
            last_start: None,
            outputs: VecDeque::new(),
        }
    }

    /// A server of which something is known already, that is checked in another way from now on.
    pub fn resume(
        settings: Settings,
        state: State,
        leaving: bool,
        since: Time,
        reason: String,
        now: Time,
    ) -> Self {
        Self { state, leaving: leaving && state == State::Up, since, reason, ..Self::new(settings, now) }
    }

    /// What the checks say.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether it is up, but said that it wants no new work (HAProxy's `disable-on-404`).
    pub const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Results in a row that speak against its state: how near it is to another one.
    pub const fn against(&self) -> u32 {
        self.against
    }

    /// Since when it is up or not.
    pub const fn since(&self) -> Time {
        self.since
    }

    /// Why: what the last probe that speaks for the state saw.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Takes in what happened.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Probed { number, result } => {
                if self.in_flight == Some(number) {
                    self.in_flight = None;
                    self.on_result(now, result);
                }
            }
            Input::TrafficFailed => self.on_traffic_failed(now),
            Input::TrafficBad { then, reason } => self.on_traffic_bad(now, then, reason),
            Input::Pause(reason) => {
                self.in_flight = None;
                self.next = None;
                self.again = false;
                self.change(now, State::Unknown, false, reason);
            }
            Input::Resume => {
                if self.next.is_none() && self.in_flight.is_none() {
                    self.next = Some(now);
                    self.change(now, State::Unknown, false, "not checked yet".to_owned());
                }
            }
        }
        self.check_invariants();
    }

    /// Starts the probe that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.next.is_some_and(|next| next <= now) && self.in_flight.is_none() {
            self.number += 1;
            self.in_flight = Some(self.number);
            self.last_start = Some(now);
            self.next = None;
            self.again = false;
            self.outputs.push_back(Output::Probe { number: self.number });
        }
        self.check_invariants();
    }

    /// When to call [`Self::handle_timeout`].
    pub const fn poll_timeout(&self) -> Option<Time> {
        self.next
    }

    /// What to do; drain until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn on_result(&mut self, now: Time, result: ProbeResult) {
        let seen = match result {
            ProbeResult::Good(reason) => Some((State::Up, false, reason)),
            // Who is down has nothing to leave.
            ProbeResult::Leaving(reason) if self.state == State::Down => Some((State::Down, false, reason)),
            ProbeResult::Leaving(reason) => Some((State::Up, true, reason)),
            ProbeResult::Bad(reason) => Some((State::Down, false, reason)),
            ProbeResult::TimedOut(after) => {
                Some((State::Down, false, format!("no answer within {} ms", after.as_millis())))
            }
            ProbeResult::NotAsked(reason) => {
                if self.state == State::Unknown {
                    self.change(now, State::Unknown, false, reason);
                }
                None
            }
        };
        if let Some((seen, leaving, reason)) = seen {
            self.count(now, seen, leaving, reason);
        }
        let started = self.last_start.unwrap_or(now);
        self.next = Some(now.max(if self.again {
            // Traffic doubts it: be quick to know.
            started + self.quick()
        } else if self.against > 0 && self.settings.fast_interval < self.interval() {
            started + self.settings.fast_interval
        } else {
            self.regular_after(started)
        }));
    }

    fn count(&mut self, now: Time, seen: State, leaving: bool, reason: String) {
        let needed = match self.state {
            State::Unknown => 1,
            State::Up => self.settings.fall,
            State::Down => self.settings.rise,
        };
        if seen == self.state {
            // It may be down for another reason than at first, or up and leaving.
            self.change(now, seen, leaving, reason);
        } else {
            self.against += 1;
            if self.against >= needed {
                self.change(now, seen, leaving, reason);
            }
        }
    }

    fn on_traffic_failed(&mut self, now: Time) {
        if self.state == State::Down {
            return;
        }
        if self.in_flight.is_some() {
            self.again = true;
        } else if let Some(next) = self.next {
            // A thousand failed requests are still one hint.
            let earliest = self.last_start.map_or(now, |start| start + self.quick());
            self.next = Some(next.min(earliest.max(now)));
        }
    }

    fn on_traffic_bad(&mut self, now: Time, then: OnError, reason: String) {
        let paused = self.next.is_none() && self.in_flight.is_none();
        if self.state == State::Down || paused {
            return;
        }
        let fall = self.settings.fall.max(1);
        let counts = match then {
            OnError::Fastinter => 0,
            // Nothing is known of it yet, so that one bad probe would decide.
            OnError::FailCheck | OnError::SuddenDeath if self.state == State::Unknown => 0,
            OnError::FailCheck => self.against + 1,
            OnError::SuddenDeath => (self.against + 1).max(fall - 1),
            OnError::MarkDown => fall,
        };
        if counts >= fall {
            self.change(now, State::Down, false, reason);
        } else {
            self.against = self.against.max(counts);
        }
        if self.in_flight.is_none() {
            let earliest = self.last_start.map_or(now, |start| start + self.settings.fast_interval);
            self.next = self.next.map(|next| next.min(earliest.max(now)));
        }
    }

    fn change(&mut self, now: Time, to: State, leaving: bool, reason: String) {
        self.against = 0;
        if (self.state, self.leaving, &self.reason) == (to, leaving, &reason) {
            return;
        }
        if self.state != to {
            self.since = now;
        }
        let from = std::mem::replace(&mut self.state, to);
        self.leaving = leaving;
        self.outputs.push_back(Output::Changed { from, to, leaving, reason: reason.clone() });
        self.reason = reason;
    }

    /// The shortest time between two probes' starts.
    fn quick(&self) -> Duration {
        self.settings.fast_interval.min(self.settings.interval / 4)
    }

    /// From one regular probe's start to the next's.
    fn interval(&self) -> Duration {
        match self.state {
            State::Down => self.settings.down_interval,
            State::Up | State::Unknown => self.settings.interval,
        }
    }

    /// The regular probe that follows one started at `started`: in this server's phase of the interval, and not
    /// sooner than half an interval.
    fn regular_after(&self, started: Time) -> Time {
        rhythm::next(self.interval(), self.settings.place, started + self.interval() / 2)
    }

    fn check_invariants(&self) {
        debug_assert!(self.next.is_none() || self.in_flight.is_none(), "one probe at a time");
        debug_assert!(
            self.against < self.settings.rise.max(self.settings.fall).max(1),
            "counted past the change"
        );
        debug_assert!(!self.leaving || self.state == State::Up, "only who is up can leave");
    }
}
