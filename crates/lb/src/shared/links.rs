//! The shared connections to one server, in one worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::MOST_STREAMS;
use super::link::Link;
use crate::tls::Origination;

/// The connections, and those who wait while one is being made.
#[derive(Debug, Default)]
pub(crate) struct Links {
    list: RefCell<Vec<Rc<Link>>>,
    /// Connections that are being made.
    making: Cell<usize>,
    /// How often one was made, or could not be.
    made: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
    /// Whether the server has chosen HTTP/1.1 when it was asked last.
    http1: Cell<bool>,
}

/// A connection that is being made, or whose server has not said yet what it allows. Dropping it lets those who wait look
/// again.
#[derive(Debug)]
pub(crate) struct Making(Rc<Links>);

impl Drop for Making {
    fn drop(&mut self) {
        self.0.making.set(self.0.making.get() - 1);
        self.0.made.set(self.0.made.get().wrapping_add(1));
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }
}

impl Links {
    /// One that may get another stream.
    pub(super) fn with_room(&self, tls: Option<&Arc<Origination>>) -> Option<Rc<Link>> {
        let mut list = self.list.borrow_mut();
        list.retain(|link| !link.is_retired() && link.is_made_by(tls));
        list.iter().find(|link| link.has_room() && link.is_open()).map(Rc::clone)
    }

    pub(crate) fn add(&self, link: &Rc<Link>) {
        self.http1.set(false);
        self.list.borrow_mut().push(Rc::clone(link));
    }

    /// The server has chosen HTTP/1.1.
    pub(super) fn set_http1(&self) {
        self.http1.set(true);
    }

    /// Whether it has when it was asked last.
    pub(super) fn is_http1(&self) -> bool {
        self.http1.get()
    }

    /// Begins to make one.
    pub(super) fn begin(self: &Rc<Self>) -> Making {
        self.making.set(self.making.get() + 1);
        Making(Rc::clone(self))
    }

    /// Whether those that are being made will do.
    pub(super) fn will_do(&self) -> bool {
        self.waiting.borrow().len() < self.making.get() * MOST_STREAMS
    }

    /// How often one was made; [`Self::poll_made`] waits for the next time.
    pub(super) fn made(&self) -> u64 {
        self.made.get()
    }

    pub(super) fn poll_made(&self, before: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.made.get() != before {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Lets go of all: what is under way on them goes on.
    pub(crate) fn clear(&self) {
        let list = self.list.take();
        list.iter().for_each(|link| link.retire());
    }

    /// Closes those that have rested too long. `now` in milliseconds.
    pub(crate) fn prune(&self, now: u64) {
        let mut list = self.list.borrow_mut();
        if !list.is_empty() {
            list.retain(|link| !link.is_old(now) && !link.is_retired());
        }
    }
}
