//! The connections of one worker: their deadlines, and signals to them.
//!
//! No timer object and no clock read for a request: a deadline is a number in the connection's slot, compared
//! with a clock that one tick of the worker moves every [`TICK`]. A tick looks at all slots only when the
//! nearest known deadline has passed; deadlines mostly move away, so that is seldom.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use relevo_model::Time;

/// The resolution of deadlines. They are met late by up to two of it, never early.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// What a connection must react to; the stronger ones last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    /// Nothing.
    #[default]
    None,
    /// The engine stops: close if idle.
    Closing,
    /// Its server went down: ask another one, if nothing was answered yet.
    ServerDown,
    /// The deadline passed; there is no other one.
    Timeout,
    /// The operator stopped its server, or its service or server is gone and its time is over: cut.
    Cut,
}

/// One connection's place.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    deadline: Cell<u64>,
    signal: Cell<Signal>,
    /// Whether [`Signal::Closing`] was not taken yet. It comes only once, and means the connection, whatever its request meets.
    closing: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The service that it is a client of: [`crate::local::Handle::id`].
    service: u64,
    /// The server that it is using: [`crate::server::Server::id`].
    target: Cell<Option<u64>>,
    place: Cell<usize>,
    /// Bytes of requests that the client has sent, and of answers that it was sent.
    received: Cell<u64>,
    sent: Cell<u64>,
}

impl Slot {
    /// Takes the signal, if there is one. If there is another one, the task is woken again for it.
    pub(crate) fn take_signal(&self) -> Signal {
        let signal = self.signal.take();
        if signal == Signal::None && self.closing.take() {
            return Signal::Closing;
        }
        if self.closing.get() {
            self.wake();
        }
        signal
    }

    /// Notes what connection-wide task to wake.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut place = self.waker.borrow_mut();
        if !place.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }

    /// Notes the server that the connection is using.
    pub(crate) fn set_target(&self, target: Option<u64>) {
        self.target.set(target);
        // What was meant for the work on the former server is void.
        if matches!(self.signal.get(), Signal::Cut | Signal::ServerDown) {
            self.signal.set(Signal::None);
        }
    }

    /// Counts bytes of a request.
    pub(crate) fn count_received(&self, count: usize) {
        self.received.set(self.received.get().wrapping_add(count as u64));
    }

    /// Takes back what was counted, for it will come again.
    pub(crate) fn uncount_received(&self, count: usize) {
        self.received.set(self.received.get().wrapping_sub(count as u64));
    }

    /// Counts bytes of an answer.
    pub(crate) fn count_sent(&self, count: u64) {
        self.sent.set(self.sent.get().wrapping_add(count));
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.get()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.get()
    }

    fn send(&self, signal: Signal) {
        if signal == Signal::Closing {
            self.closing.set(true);
        } else {
            // One that may be ignored must not replace one that comes only once.
            self.signal.set(self.signal.get().max(signal));
        }
        self.wake();
    }

    fn wake(&self) {
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// All slots of a worker, and its coarse clock.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    now: Cell<u64>,
    nearest: Cell<u64>,
    list: RefCell<Vec<Rc<Slot>>>,
}

impl Slots {
    /// Milliseconds since boot, at most a tick old.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The same.
    pub(crate) fn time(&self) -> Time {
        Time::from_millis(self.now.get())
    }

    /// A place for a new connection to this service.
    pub(crate) fn open(&self, service: u64) -> Rc<Slot> {
        let mut list = self.list.borrow_mut();
        let (deadline, place) = (Cell::new(u64::MAX), Cell::new(list.len()));
        let slot = Rc::new(Slot { deadline, place, service, ..Slot::default() });
        list.push(Rc::clone(&slot));
        slot
    }

    /// Gives the place back.
    pub(crate) fn close(&self, slot: &Slot) {
        let mut list = self.list.borrow_mut();
        let place = slot.place.get();
        if place < list.len() {
            list.swap_remove(place);
            if let Some(moved) = list.get(place) {
                moved.place.set(place);
            }
        }
    }

    /// Open connections.
    pub(crate) fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// Sets a connection's deadline.
    pub(crate) fn set_deadline(&self, slot: &Slot, after: Duration) {
        let after = after + TICK;
        let deadline = self.now.get().saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        slot.deadline.set(deadline);
        if slot.signal.get() == Signal::Timeout {
            slot.signal.set(Signal::None);
        }
        if deadline < self.nearest.get() {
            self.nearest.set(deadline);
        }
    }

    /// Moves the clock; wakes those whose deadline has passed.
    pub(crate) fn tick(&self, now: u64) {
        self.now.set(now);
        if now < self.nearest.get() {
            return;
        }
        let mut nearest = u64::MAX;
        for slot in self.list.borrow().iter() {
            let deadline = slot.deadline.get();
            if deadline <= now {
                slot.deadline.set(u64::MAX);
                slot.send(Signal::Timeout);
            } else {
                nearest = nearest.min(deadline);
            }
        }
        self.nearest.set(nearest);
    }

    /// Signals everyone who uses a server.
    pub(crate) fn signal_server(&self, server: u64, signal: Signal) {
        for slot in self.list.borrow().iter().filter(|slot| slot.target.get() == Some(server)) {
            slot.send(signal);
        }
    }

    /// Signals all clients of a service.
    pub(crate) fn signal_service(&self, service: u64, signal: Signal) {
        for slot in self.list.borrow().iter().filter(|slot| slot.service == service) {
            slot.send(signal);
        }
    }

    /// Signals everyone.
    pub(crate) fn signal_all(&self, signal: Signal) {
        for slot in self.list.borrow().iter() {
            slot.send(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weaker_signal_does_not_hide_a_stronger_one() {
        let slots = Slots::default();
        slots.tick(0);
        let slot = slots.open(0);
        slot.set_target(Some(1));
        slots.set_deadline(&slot, Duration::from_secs(1));
        slots.tick(2000);
        // Before the connection had its turn; it may ignore this one, and would then wait for ever.
        slots.signal_server(1, Signal::ServerDown);
        assert_eq!(slot.take_signal(), Signal::Timeout);
    }

    /// Whose deadline passes in the same moment would not hear that it shall end, and nobody says it again.
    #[test]
    fn no_signal_hides_that_the_service_ends() {
        let slots = Slots::default();
        slots.tick(0);
        let slot = slots.open(7);
        slots.set_deadline(&slot, Duration::from_secs(1));
        for closing_first in [true, false] {
            slots.set_deadline(&slot, Duration::from_secs(1));
            if closing_first {
                slots.signal_service(7, Signal::Closing);
            }
            slots.tick(slots.now() + 2000);
            if !closing_first {
                slots.signal_service(7, Signal::Closing);
            }
            assert_eq!(slot.take_signal(), Signal::Timeout);
            assert_eq!(slot.take_signal(), Signal::Closing, "closing first: {closing_first}");
            assert_eq!(slot.take_signal(), Signal::None);
        }
    }
}
