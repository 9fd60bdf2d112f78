//! The machine: what a director does with the connections of one group when the group moves.
//!
//! ```text
//!             takes over from a dead one ┌────────────── took, nobody gave it ─────────────┐
//!   Guard ───────────────────────────────┤► Open ── gave it ──► Record, at once Guard ── drained ──► Guard
//!     ├──── took, X gave it ──► Forward(X) ── X has drained ──► Open
//!                                  └─ gave it ──► Guard or Forward(X), drains all the same
//! ```
//! Where several drain, they stand in a line by the time at which they began, the last one first: the owner forwards to the first
//! of it, and each to the next, so that a packet comes to whoever knows its connection. The end of the line drops it.
//!
//! Who does what comes out here may be late by some tenths of a second, while addresses move in milliseconds. So whoever does not have
//! the addresses is in a stage in which it resets nothing: they may come to it before it hears of that.

use std::collections::VecDeque;
use std::time::Duration;

use relevo_model::{NodeName, Time};

use super::others::Others;
use super::{REPEAT, STRAYS, Word};

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
    /// It is not any more.
    Calm,
    /// While backup: they went from one to another, as far as can be seen from here.
    Passed {
        /// Who had them.
        from: NodeName,
        /// Who has them.
        to: NodeName,
    },
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

/// Decides for one group.
#[derive(Clone, Debug)]
pub struct Mover {
    drain: Duration,
    /// The directors can speak to each other.
    words: bool,
    active: bool,
    stage: Stage,
    draining: Option<Draining>,
    others: Others,
    /// All connections that the engine has were noted.
    complete: bool,
    /// They cannot be noted: own connections are worth more than others'.
    blind: bool,
    /// Somebody died with connections; their clients are told when what they send is reset.
    bereaved: bool,
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
            others: Others::default(),
            complete: !active,
            blind: false,
            bereaved: false,
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
                if !self.active && !self.drain.is_zero() && self.others.offering() != Some(&from) {
                    self.others.offers(now, from, self.drain);
                    self.follow();
                }
            }
            Input::Calm => {
                if !self.active {
                    self.others.decided();
                    self.follow();
                }
            }
            // Else they say so themselves.
            Input::Passed { from, to } => {
                if !self.active && !self.words && !self.drain.is_zero() {
                    self.others.remove(&to);
                    self.others.perhaps(now, from, self.drain);
                    self.follow();
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
        if self.others.due(self.words).is_some_and(|due| due <= now) {
            self.bereaved |= self.others.expire(now, self.words) && self.active;
            self.follow();
        }
        // Without words nobody hears that the line is shorter.
        let is_alone = self.words || !matches!(self.stage, Stage::Forward(_));
        if let Some(draining) = &mut self.draining {
            let is_empty = is_alone && draining.left == Some(0) && now.since(draining.since) >= STRAYS;
            if is_empty || draining.until <= now {
                let left = draining.left;
                if left != Some(0) {
                    self.outputs.push_back(Output::Cut);
                }
                self.end_drain();
            } else if now.since(draining.said) >= REPEAT {
                draining.said = now;
                self.outputs.push_back(Output::Tell(Word::Draining { age: now.since(draining.since) }));
            }
        }
    }

    /// When to call [`Mover::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        let draining = self.draining.iter().flat_map(|draining| [draining.until, draining.said + REPEAT]);
        draining.chain(self.others.due(self.words)).min()
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

    /// Having the addresses: who drains, the first of the line first, and until when at the latest. `None`: nobody.
    pub fn forwarding(&self) -> Option<(Vec<&NodeName>, Time)> {
        self.others.all().filter(|_| self.active && matches!(self.stage, Stage::Forward(_)))
    }

    fn on_took(&mut self, now: Time, from: Option<NodeName>) {
        self.active = true;
        self.blind = false;
        let drained = self.draining.take().is_some();
        self.others.decided();
        match from {
            Some(from) if !self.drain.is_zero() => self.others.gave(now, from, self.drain),
            Some(_) | None => {
                self.bereaved = true;
                self.others.only_sure();
            }
        }
        if self.drain.is_zero() {
            self.others.clear();
        }
        // What becomes of packets comes first: they come already.
        self.aim();
        if drained {
            // They are on the network again.
            self.outputs.push_back(Output::Keep(false));
            self.outputs.push_back(Output::Shed(false));
            self.outputs.push_back(Output::Tell(Word::Took));
        }
        self.tell_bereaved();
    }

    fn on_gave(&mut self, now: Time, to: Option<NodeName>) {
        self.active = false;
        if self.drain.is_zero() {
            self.on_lost();
            return;
        }
        (self.blind, self.bereaved) = (false, false);
        // Who takes over has what was forwarded to it, and sends none of it here but in error: those are not answered.
        if let Some(to) = &to {
            self.others.remove(to);
        }
        self.draining = Some(Draining { since: now, until: now + self.drain, said: now, left: None });
        self.aim();
        self.outputs.push_back(Output::Keep(true));
        self.outputs.push_back(Output::Shed(true));
        self.outputs.push_back(Output::Tell(Word::Draining { age: Duration::ZERO }));
    }

    fn on_blind(&mut self) {
        (self.blind, self.complete) = (true, false);
        self.go(if self.active { Stage::Open } else { Stage::Record });
    }

    fn on_lost(&mut self) {
        let was_active = std::mem::replace(&mut self.active, false);
        if self.draining.is_some() {
            self.end_drain();
        } else if was_active {
            self.bereaved = false;
            self.reset();
        }
    }

    fn on_said(&mut self, now: Time, from: &NodeName, word: Word) {
        match word {
            Word::Draining { age } if !self.drain.is_zero() => {
                self.others.drains(now, from.clone(), age.min(self.drain), self.drain);
            }
            // Both have the addresses: this one is about to hear that it gave them away.
            Word::Took if self.active => return,
            Word::Drained | Word::Took => self.others.remove(from),
            Word::Draining { .. } => return,
        }
        self.follow();
    }

    /// Something is different of those that drain.
    fn follow(&mut self) {
        if !self.blind {
            self.aim();
            self.tell_bereaved();
        }
    }

    /// Goes to the stage that is right.
    fn aim(&mut self) {
        let to = match &self.draining {
            _ if self.active => self.others.newest(None),
            // Its place in the line is the first one, should it get the addresses.
            Some(draining) => self.others.offering().or_else(|| self.others.newest(Some(draining.since))),
            None => self.others.offering(),
        };
        match to.cloned() {
            Some(to) => self.forward(to),
            None if self.active => self.open(),
            None if self.complete => self.go(Stage::Guard),
            None => {
                self.record();
                // The addresses may come back, and others' connections with them, before that is heard of here.
                self.complete = true;
                self.stage = Stage::Guard;
                self.outputs.push_back(Output::Stage { stage: Stage::Guard, know: true, forget: false });
            }
        }
    }

    fn forward(&mut self, to: NodeName) {
        let stage = Stage::Forward(to);
        if self.complete {
            return self.go(stage);
        }
        if self.stage == Stage::Open {
            self.record();
        }
        self.complete = true;
        self.stage = stage.clone();
        self.outputs.push_back(Output::Stage { stage, know: true, forget: false });
    }

    fn record(&mut self) {
        self.stage = Stage::Record;
        self.outputs.push_back(Output::Stage { stage: Stage::Record, know: false, forget: true });
    }

    fn tell_bereaved(&mut self) {
        if self.stage == Stage::Open && std::mem::take(&mut self.bereaved) {
            self.outputs.push_back(Output::Bereaved);
        }
    }

    fn end_drain(&mut self) {
        self.draining = None;
        self.reset();
        self.follow();
        self.outputs.push_back(Output::Tell(Word::Drained));
        self.outputs.push_back(Output::Shed(false));
        self.outputs.push_back(Output::Keep(false));
    }

    /// Nothing is here.
    fn reset(&mut self) {
        (self.blind, self.complete) = (false, true);
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
