//! Requests and connections that wait for a server of a pool, because all that may get work have as many as they take.
//!
//! First come, first served, over all workers. A place that becomes free is given to the first who waits, and never seen
//! by who comes later. The lock is taken only while somebody waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::server::Server;

/// Who waits for the servers of a pool. It outlives changes of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    length: AtomicUsize,
    waiting: Mutex<Line>,
}

/// Those who wait, in their order.
#[derive(Debug, Default)]
struct Line {
    waiters: VecDeque<Arc<Waiter>>,
    /// How many wait for one server alone, by its id, and how many for whoever is free (`None`); and the most at a time.
    counts: BTreeMap<Option<u64>, Waits>,
}

/// How many wait for the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) now: usize,
    /// The most at a time.
    pub(crate) most: usize,
}

impl Line {
    fn enter(&mut self, waiter: Arc<Waiter>) {
        let waits = self.counts.entry(waiter.only).or_default();
        waits.now += 1;
        waits.most = waits.most.max(waits.now);
        self.waiters.push_back(waiter);
    }

    fn left(&mut self, waiter: &Waiter) {
        if let Some(waits) = self.counts.get_mut(&waiter.only) {
            waits.now -= 1;
        }
    }

    fn remove(&mut self, place: usize) -> Option<Arc<Waiter>> {
        let waiter = self.waiters.remove(place)?;
        self.left(&waiter);
        Some(waiter)
    }
}

/// One who waits.
#[derive(Debug)]
struct Waiter {
    /// Only for this server, because its client belongs there.
    only: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    /// A place at this server is the waiter's own.
    Given(Arc<Server>),
    /// Whom it waited for is not there any more: look again.
    Again,
    /// Nobody waits any more.
    Left,
}

/// What became of waiting.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// A place at this server was taken for the waiter.
    Given(Arc<Server>),
    /// The servers are other ones than before: look again.
    Again,
}

impl Queue {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.length.load(Ordering::SeqCst)
    }

    /// How many wait for the server with this id alone; `None`: for whoever is free.
    pub(crate) fn waits(&self, only: Option<u64>) -> Waits {
        self.lock().counts.get(&only).copied().unwrap_or_default()
    }

    /// Forgets servers that are not there any more.
    pub(crate) fn keep_only(&self, is_there: impl Fn(u64) -> bool) {
        self.lock().counts.retain(|only, waits| waits.now > 0 || only.is_none_or(&is_there));
    }

    /// Stands in line; `None`: `most` do already. Who stands must offer the servers again ([`Self::offer`]): a place may
    /// have become free before.
    pub(crate) fn enter(self: &Arc<Self>, only: Option<u64>, most: Option<u32>) -> Option<Waiting> {
        let mut waiting = self.lock();
        if most.is_some_and(|most| waiting.waiters.len() >= usize::try_from(most).unwrap_or(usize::MAX)) {
            return None;
        }
        let waiter = Arc::new(Waiter { only, state: Mutex::new(State::Waiting(None)) });
        let before = waiting.waiters.len();
        waiting.enter(Arc::clone(&waiter));
        self.length.store(waiting.waiters.len(), Ordering::SeqCst);
        Some(Waiting { queue: Arc::clone(self), waiter, before })
    }

    /// Gives the free places of a server to those who wait for it.
    pub(crate) fn offer(&self, server: &Arc<Server>) {
        if self.len() == 0 {
            return;
        }
        let mut waiting = self.lock();
        let suits = |waiter: &Arc<Waiter>| {
            waiter.only.is_none_or(|only| only == server.id) && server.is_open(waiter.only.is_some())
        };
        while let Some(place) = waiting.waiters.iter().position(suits)
            && server.take()
        {
            let given =
                waiting.remove(place).is_some_and(|waiter| waiter.end(State::Given(Arc::clone(server))));
            self.length.store(waiting.waiters.len(), Ordering::SeqCst);
            if !given {
                server.untake();
            }
        }
    }

    /// Gives a place back to the next who waits.
    pub(crate) fn give_back(&self, server: &Arc<Server>) {
        server.untake();
        self.offer(server);
    }

    /// Tells all that they must look again.
    pub(crate) fn dissolve(&self) {
        self.dissolve_if(|_| true);
    }

    /// The same for those who wait for this server alone.
    pub(crate) fn dissolve_bound(&self, server: &Server) {
        self.dissolve_if(|waiter| waiter.only == Some(server.id));
    }

    fn dissolve_if(&self, is: impl Fn(&Waiter) -> bool) {
        if self.len() > 0 {
            let mut waiting = self.lock();
            let Line { waiters, counts } = &mut *waiting;
            waiters.retain(|waiter| {
                let goes = is(waiter) && waiter.end(State::Again);
                if goes && let Some(waits) = counts.get_mut(&waiter.only) {
                    waits.now -= 1;
                }
                !goes
            });
            self.length.store(waiting.waiters.len(), Ordering::SeqCst);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        // Only whole entries are put in and taken out: a panic elsewhere leaves nothing half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Tells it; `false`: it has left already.
    fn end(&self, end: State) -> bool {
        let mut state = self.state();
        let State::Waiting(waker) = &mut *state else { return false };
        let waker = waker.take();
        *state = end;
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line. Dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Waiting {
    queue: Arc<Queue>,
    waiter: Arc<Waiter>,
    /// How many stood there before.
    pub(crate) before: usize,
}

impl Waiting {
    /// Ready when it is its turn.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Turn> {
        let mut state = self.waiter.state();
        match &mut *state {
            State::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Given(server) => {
                let server = Arc::clone(server);
                *state = State::Left;
                Poll::Ready(Turn::Given(server))
            }
            State::Again | State::Left => Poll::Ready(Turn::Again),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.waiter.state(), State::Left);
        match before {
            State::Waiting(_) => {
                let mut waiting = self.queue.lock();
                let place = waiting.waiters.iter().position(|other| Arc::ptr_eq(other, &self.waiter));
                if let Some(place) = place {
                    waiting.remove(place);
                    self.queue.length.store(waiting.waiters.len(), Ordering::SeqCst);
                }
            }
            // It came too late.
            State::Given(server) => self.queue.give_back(&server),
            State::Again | State::Left => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use relevo_model::Time;

    use super::*;
    use crate::Admin;

    fn server(id: u64, most: u32) -> Arc<Server> {
        let at = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let server = Server::new(id, "a".into(), at, Admin::Ready, 1, Time::ZERO);
        server.set_most(Some(most));
        server.set_open(true, true);
        Arc::new(server)
    }

    /// The server whose place it got; 0: look again.
    fn turn(waiting: &Waiting) -> Option<u64> {
        match waiting.poll(&Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready(Turn::Given(server)) => Some(server.id),
            Poll::Ready(Turn::Again) => Some(0),
        }
    }

    #[test]
    fn places_go_to_those_who_came_first_and_to_whom_they_suit() {
        let (one, two) = (server(1, 1), server(2, 1));
        assert!(one.take() && two.take() && !one.take());
        let queue = Arc::new(Queue::default());
        let bound = queue.enter(Some(2), None).unwrap();
        let first = queue.enter(None, None).unwrap();
        let second = queue.enter(None, Some(3)).unwrap();
        assert!(queue.enter(None, Some(3)).is_none(), "no more than allowed");
        queue.give_back(&one);
        assert_eq!([turn(&bound), turn(&first), turn(&second)], [None, Some(1), None]);
        assert!(!one.take(), "it was taken for the one who waited");
        queue.give_back(&two);
        assert_eq!(turn(&bound), Some(2));
        queue.dissolve();
        assert_eq!(turn(&second), Some(0));
        assert_eq!(queue.len(), 0);
        assert_eq!(queue.waits(Some(2)), Waits { now: 0, most: 1 });
        assert_eq!(queue.waits(None), Waits { now: 0, most: 2 });
        queue.keep_only(|_| false);
        assert_eq!(queue.waits(Some(2)), Waits::default());
    }

    #[test]
    fn who_leaves_gives_back_what_was_given() {
        let one = server(1, 1);
        let queue = Arc::new(Queue::default());
        let [first, second, third] = [(); 3].map(|()| queue.enter(None, None).unwrap());
        drop(second);
        assert_eq!(queue.len(), 2);
        queue.offer(&one);
        drop(first);
        assert_eq!(turn(&third), Some(1));
        assert!(!one.take());
    }

    #[test]
    fn a_server_that_may_get_nothing_is_not_waited_for() {
        let one = server(1, 1);
        one.set_open(false, true);
        let queue = Arc::new(Queue::default());
        let (waiting, bound) = (queue.enter(None, None).unwrap(), queue.enter(Some(1), None).unwrap());
        queue.offer(&one);
        assert_eq!([turn(&waiting), turn(&bound)], [None, Some(1)], "it keeps those who are bound to it");
        one.untake();
        one.set_open(true, true);
        queue.offer(&one);
        assert_eq!(turn(&waiting), Some(1));
    }
}
