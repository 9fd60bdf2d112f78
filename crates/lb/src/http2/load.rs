//! What of one client's answers waits here: before the `h2` crate, and within it.
//!
//! The crate takes as much of each answer as the client gives it room for in HTTP/2, and that may be all of it. Whether the
//! client reads is another matter, which TCP tells: so no more is given to the crate than the kernel takes soon.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

/// Bytes that may wait before each further answer has little room.
const MOST_WAITING: usize = 1024 * 1024;
/// Bytes that may be given to the crate before the kernel has taken all that was.
const MOST_GIVEN: usize = 1024 * 1024;

/// Of all answers to one client.
#[derive(Debug, Default)]
pub(super) struct Load {
    waiting: Cell<usize>,
    given: Cell<usize>,
    /// How often the kernel has taken all.
    round: Cell<u64>,
    /// Those who have more to give.
    held: RefCell<Vec<Waker>>,
}

impl Load {
    /// Notes bytes that the crate has got.
    pub(super) fn give(&self, count: usize) {
        self.given.set(self.given.get() + count);
    }

    /// Whether the crate may get more; if not, the task is woken when it may. `asked`: when this task has been told the
    /// same, to be kept by it.
    pub(super) fn may_give(&self, cx: &Context<'_>, asked: &mut Option<u64>) -> bool {
        if self.given.get() < MOST_GIVEN {
            return true;
        }
        let round = self.round.get();
        if asked.replace(round) != Some(round) {
            self.held.borrow_mut().push(cx.waker().clone());
        }
        false
    }

    /// Whether the kernel has taken all that was given.
    pub(super) const fn is_settled(&self) -> bool {
        self.given.get() == 0
    }

    /// The kernel has taken all.
    pub(super) fn settle(&self) {
        self.given.set(0);
        self.round.set(self.round.get().wrapping_add(1));
        self.held.take().into_iter().for_each(Waker::wake);
    }
}

/// The part of one answer in what waits before the crate.
#[derive(Debug)]
pub(super) struct Share<'a> {
    load: &'a Load,
    own: usize,
}

impl<'a> Share<'a> {
    pub(super) const fn new(load: &'a Load) -> Self {
        Self { load, own: 0 }
    }

    /// Notes how many bytes are held now; whether too many do in all.
    pub(super) fn note(&mut self, own: usize) -> bool {
        let all = self.load.waiting.get() - self.own + own;
        self.own = own;
        self.load.waiting.set(all);
        all > MOST_WAITING
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.note(0);
    }
}
