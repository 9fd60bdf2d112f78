//! The machine: what a director does with the connections of one group when the group moves.
//!
//! ```text
//!             takes over from a dead one ┌────────────── took, nobody gave it ─────────────┐
//!   Guard ───────────────────────────────┤► Open ── gave it ──► Record, at once Guard ── drained ──► Guard
//!     ├──── took, X gave it ──► Forward(X) ── X has drained ──► Open
//!                                  └─ gave it ──► Guard or Forward(X), drains all the same
//! ```
//! Who does what comes out here may be late by some tenths of a second, while addresses move in milliseconds. So whoever does not have
//! the addresses is in a stage in which it resets nothing: they may come to it before it hears of that.

use std::collections::VecDeque;
use std::time::Duration;

use relevo_model::{NodeName, Time};

use super::{LATE, REPEAT, SILENT, STRAYS, Word};

/// What is done with packets to the group's services that are not the beginning of a connection. A beginning (SYN) is always
/// the own engine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Those of connections whose beginning was seen are the engine's, all others are dropped. Beginnings are noted.
    Guard,
    /// All are the kernel's, which resets what it does not know. Nothing is noted.
    Open,
    /// As `Open`, and beginnings are noted: what there is can be listed then, and nothing is missed between the two.
    Record,
    /// Those of connections whose beginning was seen are the engine's, all others go to this director. Beginnings are noted.
    Forward(NodeName),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// This director has the addresses now; `from`: who gave them away on purpose and lives.
    Took {
        /// `None`: nobody did, or it is dead.
        from: Option<NodeName>,
    },
    /// While backup: that director is about to give the addresses away.
    Expect {
        /// Who.
        from: NodeName,
    },
    /// It is not any more, and has them still.
    Calm,
    /// This director had the addresses and gave them away on purpose. They are kept silent.
    Gave {
        /// To whom, if somebody has taken them already.
        to: Option<NodeName>,
    },
    /// This director does not have the addresses any more, and nothing of them is kept.
    Lost,
    /// While it drains: so many connections are left.
    Left(usize),
    /// The connections that the engine has could not be noted when that was to be done.
    Blind,
    /// Another director says something.
    Said {
        /// Who.
        from: NodeName,
        /// What.
        word: Word,
    },
}

/// Something to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Treat packets so from now on. `know`: note the connections that the engine has first, in the same transaction.
    Stage {
        /// How.
        stage: Stage,
        /// Whether beginnings that nobody noted may be among its connections.
        know: bool,
        /// Whether what was noted before is void.
        forget: bool,
    },
    /// Begin to ask clients to come anew, or end it.
    Shed(bool),
    /// Cut the connections that are left.
    Cut,
    /// Take the silent addresses off, or they are to be put on the network anew: see that nothing hides them.
    Keep(bool),
    /// Tell the other directors.
    Tell(Word),
    /// The connections of whoever had the addresses died with it: tell the clients.
    Bereaved,
}

/// Addresses were given away.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Draining {
    since: Time,
    until: Time,
    said: Time,
    left: Option<usize>,
}

/// Another director drains.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Forwarding {
    to: NodeName,
    since: Time,
    until: Time,
    /// When it said last that it drains; `None`: it has not, and perhaps cannot.
    heard: Option<Time>,
}

impl Forwarding {
    /// When it counts as lost if it says nothing until then.
    fn silent_at(&self, words: bool) -> Option<Time> {
        self.heard.or(words.then_some(self.since)).map(|at| at + SILENT)
    }
}

/// Decides for one group.
#[derive(Clone, Debug)]
pub struct Mover {
    drain: Duration,
    /// The directors can speak to each other.
    words: bool,
    active: bool,
    stage: Stage,
    draining: Option<Draining>,
    forwarding: Option<Forwarding>,
    /// All connections that the engine has were noted.
    complete: bool,
    outputs: VecDeque<Output>,
}

impl Mover {
    /// A group whose addresses are elsewhere, or here since before this process. `drain`: how long it goes on with connections;
    /// zero: not at all.
    pub fn new(drain: Duration, active: bool) -> Self {
        let stage = if active { Stage::Open } else { Stage::Guard };
        let mut mover = Self {
            drain,
            words: false,
            active,
            stage: stage.clone(),
            draining: None,
            forwarding: None,
            complete: !active,
            outputs: VecDeque::new(),
        };
        mover.outputs.push_back(Output::Stage { stage, know: false, forget: true });
        mover
    }

    /// The file says another time; it counts for the next move.
    pub fn set_drain(&mut self, drain: Duration) {
        self.drain = drain;
    }

    /// Whether directors can speak to each other: then one that drains says so, and one that does not say so does not.
    pub fn set_words(&mut self, words: bool) {
        self.words = words;
    }

    /// Something happened. Drain [`Mover::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Took { from } => self.on_took(now, from),
            Input::Expect { from } => {
                if !self.active && !self.drain.is_zero() && !self.forwards_to(&from) {
                    self.forward(now, from);
                }
            }
            Input::Calm => {
                if !self.active && self.forwarding.take().is_some() {
                    self.go(Stage::Guard);
                }
            }
            Input::Gave { to } => self.on_gave(now, to),
            Input::Lost => self.on_lost(),
            Input::Left(left) => {
                if let Some(draining) = &mut self.draining {
                    draining.left = Some(left);
                }
                self.handle_timeout(now);
            }
            Input::Blind => self.on_blind(),
            Input::Said { from, word } => self.on_said(now, &from, word),
        }
    }

    /// The time of [`Mover::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Some(forwarding) = &self.forwarding
            && self.carries()
        {
            let silent = forwarding.silent_at(self.words).is_some_and(|at| at <= now);
            if forwarding.until <= now || silent {
                self.stop_forwarding(silent);
            }
        }
        if let Some(draining) = &mut self.draining {
            let is_alone = self.forwarding.is_none();
            let is_empty = is_alone && draining.left == Some(0) && now.since(draining.since) >= STRAYS;
            if is_empty || draining.until <= now {
                let left = draining.left;
                if left != Some(0) {
                    self.outputs.push_back(Output::Cut);
                }
                self.end_drain();
            } else if now.since(draining.said) >= REPEAT {
                draining.said = now;
                self.outputs.push_back(Output::Tell(Word::Draining));
            }
        }
    }

    /// When to call [`Mover::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        let forwarding = self.forwarding.iter().filter(|_| self.carries()).flat_map(|forwarding| {
            [Some(forwarding.until), forwarding.silent_at(self.words)].into_iter().flatten()
        });
        let draining = self.draining.iter().flat_map(|draining| [draining.until, draining.said + REPEAT]);
        forwarding.chain(draining).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How packets are treated.
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Since when it drains, until when at the latest, and how many connections are left, as far as that is known.
    pub fn draining(&self) -> Option<(Time, Time, Option<usize>)> {
        self.draining.as_ref().map(|draining| (draining.since, draining.until, draining.left))
    }

    /// To whom it forwards, having the addresses, and until when at the latest.
    pub fn forwarding(&self) -> Option<(&NodeName, Time)> {
        let forwarding = self.forwarding.as_ref().filter(|_| self.active)?;
        Some((&forwarding.to, forwarding.until))
    }

    fn on_took(&mut self, now: Time, from: Option<NodeName>) {
        self.active = true;
        let drained = self.draining.take().is_some();
        // What becomes of packets comes first: they come already.
        let mut is_bereaved = false;
        match from.filter(|_| !self.drain.is_zero()) {
            Some(from) if self.forwards_to(&from) => {
                if let Some(forwarding) = &mut self.forwarding {
                    (forwarding.since, forwarding.until) = (now, now + self.drain + LATE);
                }
            }
            Some(from) => self.forward(now, from),
            None => {
                self.forwarding = None;
                self.open();
                is_bereaved = true;
            }
        }
        if drained {
            // They are on the network again.
            self.outputs.push_back(Output::Keep(false));
            self.outputs.push_back(Output::Shed(false));
        }
        if is_bereaved {
            self.outputs.push_back(Output::Bereaved);
        }
    }

    fn on_gave(&mut self, now: Time, to: Option<NodeName>) {
        self.active = false;
        if self.drain.is_zero() {
            self.on_lost();
            return;
        }
        match &self.forwarding {
            // Who takes over has what was forwarded to it, and sends none of it here but in error: those are not answered.
            Some(forwarding) if to.as_ref() == Some(&forwarding.to) => {
                self.forwarding = None;
                self.go(Stage::Guard);
            }
            // A third one drains still; it is forwarded to through here.
            Some(_) => {}
            None if self.complete => self.go(Stage::Guard),
            None => {
                self.outputs.push_back(Output::Stage { stage: Stage::Record, know: false, forget: true });
                // The addresses may come back, and others' connections with them, before that is heard of here.
                self.complete = true;
                self.stage = Stage::Guard;
                self.outputs.push_back(Output::Stage { stage: Stage::Guard, know: true, forget: false });
            }
        }
        self.draining = Some(Draining { since: now, until: now + self.drain, said: now, left: None });
        self.outputs.push_back(Output::Keep(true));
        self.outputs.push_back(Output::Shed(true));
        self.outputs.push_back(Output::Tell(Word::Draining));
    }

    /// Own connections are worth more than others'.
    fn on_blind(&mut self) {
        self.complete = false;
        self.forwarding = None;
        self.go(if self.active { Stage::Open } else { Stage::Record });
    }

    fn on_lost(&mut self) {
        let was_active = std::mem::replace(&mut self.active, false);
        if self.draining.is_some() {
            self.end_drain();
        } else if was_active {
            self.forwarding = None;
            self.reset();
        }
    }

    fn on_said(&mut self, now: Time, from: &NodeName, word: Word) {
        let Some(forwarding) = self.forwarding.as_mut().filter(|forwarding| forwarding.to == *from) else {
            return;
        };
        match word {
            Word::Draining => forwarding.heard = Some(now),
            Word::Drained if self.carries() => self.stop_forwarding(false),
            Word::Drained => {}
        }
    }

    fn forwards_to(&self, node: &NodeName) -> bool {
        self.forwarding.as_ref().is_some_and(|forwarding| forwarding.to == *node)
    }

    fn forward(&mut self, now: Time, to: NodeName) {
        let until = now + self.drain + LATE;
        self.forwarding = Some(Forwarding { to: to.clone(), since: now, until, heard: None });
        let know = !std::mem::replace(&mut self.complete, true);
        self.stage = Stage::Forward(to);
        self.outputs.push_back(Output::Stage { stage: self.stage.clone(), know, forget: false });
    }

    /// Whether packets for whom it forwards to come here: as to the owner, or as to one that forwards in turn.
    const fn carries(&self) -> bool {
        self.active || self.draining.is_some()
    }

    fn stop_forwarding(&mut self, died: bool) {
        self.forwarding = None;
        if !self.active {
            self.go(Stage::Guard);
            return;
        }
        self.open();
        if died {
            self.outputs.push_back(Output::Bereaved);
        }
    }

    fn end_drain(&mut self) {
        self.draining = None;
        self.forwarding = None;
        self.reset();
        self.outputs.push_back(Output::Tell(Word::Drained));
        self.outputs.push_back(Output::Shed(false));
        self.outputs.push_back(Output::Keep(false));
    }

    /// Nothing is here.
    fn reset(&mut self) {
        self.complete = true;
        self.stage = Stage::Guard;
        self.outputs.push_back(Output::Stage { stage: Stage::Guard, know: false, forget: true });
    }

    fn open(&mut self) {
        self.complete = false;
        if self.stage != Stage::Open {
            self.stage = Stage::Open;
            self.outputs.push_back(Output::Stage { stage: Stage::Open, know: false, forget: true });
        }
    }

    fn go(&mut self, stage: Stage) {
        if self.stage != stage {
            self.stage = stage.clone();
            self.outputs.push_back(Output::Stage { stage, know: false, forget: false });
        }
    }
}
