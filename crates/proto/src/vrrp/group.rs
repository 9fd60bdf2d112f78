//! The machine.

use std::collections::VecDeque;

use relevo_model::Time;

use super::words::{Input, Output, Settings, State, Status};

/// A group of VRRP routers that move together; starts in Init.
#[derive(Clone, Debug)]
pub struct Group {
    outputs: VecDeque<Output>,
    since: Time,
}

impl Group {
    /// Makes a group in Init; it begins to listen when every router's link was reported up.
    pub fn new(_settings: Settings, now: Time) -> Self {
        Self { outputs: VecDeque::new(), since: now }
    }

    /// Tells it that something happened. Drain [`Group::poll_output`] afterwards.
    pub fn handle_input(&mut self, _now: Time, _input: Input<'_>) {}

    /// Tells it that the time of [`Group::poll_timeout`] has come. Drain [`Group::poll_output`] afterwards.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// When to call [`Group::handle_timeout`]; `None`: only an input can change something.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What to show to people.
    pub fn status(&self) -> Status {
        Status {
            state: State::Init,
            since: self.since,
            reason: String::from("starting"),
            active: None,
            priority: 0,
            transitions: 0,
            dropped: 0,
        }
    }
}
