//! When the next request of a thread is due.
//!
//! The connections of a thread share one schedule: whoever is free takes the next request that is due. Closed loop:
//! it is due at once. Open loop: requests are due at a fixed rate; a timer of the kernel with a resolution of
//! microseconds wakes as many connections as requests have become due (tokio's own timers count in milliseconds).

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;

use super::Plan;
use super::clock::Clock;

/// A thread's schedule.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    warm_up: Duration,
    deadline: Option<Instant>,
    left: Cell<u64>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// Requests in a second.
    rate: f64,
    /// Requests that have become due.
    due: Cell<u64>,
    /// Of those, the ones that somebody took.
    taken: Cell<u64>,
    over: Cell<bool>,
    wake: Notify,
}

impl Pace {
    /// The part of thread `index`.
    pub(super) fn new(plan: &Plan, index: usize, clock: Clock) -> Self {
        Self {
            clock,
            warm_up: plan.warm_up,
            deadline: plan.end.after.map(|after| clock.at(after)),
            left: Cell::new(plan.end.requests.map_or(u64::MAX, |requests| plan.share(requests, index))),
            open: plan.rate.map(|rate| Open {
                rate: rate / plan.threads as f64,
                due: Cell::new(0),
                taken: Cell::new(0),
                over: Cell::new(false),
                wake: Notify::new(),
            }),
        }
    }

    /// When no request is begun any more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long after counting began a request was due, in the load's own time; `None`: before, and its answer is not counted.
    pub(super) fn counted(&self, due: Instant) -> Option<Duration> {
        self.clock.own(due).checked_sub(self.warm_up)
    }

    /// Waits for the next request; its latency counts from the time that comes back. `now` is the time that the caller
    /// read last. `None`: it is enough.
    pub(super) async fn next(&self, now: Instant) -> Option<Instant> {
        if self.deadline.is_some_and(|deadline| now >= deadline) || self.left.get() == 0 {
            return None;
        }
        let Some(open) = &self.open else {
            self.left.set(self.left.get() - 1);
            return Some(now);
        };
        loop {
            let taken = open.taken.get();
            // Nobody can ask this more often than there are requests due, so late ones are taken first.
            if taken < open.due.get() && self.left.get() > 0 {
                open.taken.set(taken + 1);
                self.left.set(self.left.get() - 1);
                return Some(self.when_due(open, taken));
            }
            if open.over.get() || self.left.get() == 0 {
                return None;
            }
            open.wake.notified().await;
        }
    }

    /// The request that was taken last was not asked: somebody shall take it again.
    pub(super) fn again(&self) {
        self.left.set(self.left.get() + 1);
        if let Some(open) = &self.open {
            open.taken.set(open.taken.get().saturating_sub(1));
            open.wake.notify_one();
        }
    }

    /// Requests that were due and that nobody took.
    pub(super) fn unsent(&self) -> u64 {
        let missing = |open: &Open| open.due.get().saturating_sub(open.taken.get());
        self.open.as_ref().map_or(0, |open| missing(open).min(self.left.get()))
    }

    fn when_due(&self, open: &Open, request: u64) -> Instant {
        self.clock.at(Duration::from_secs_f64(request as f64 / open.rate))
    }

    /// Open loop: makes requests due as time goes by, until it is enough.
    pub(super) async fn drive(&self) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        // A timer is read as a pipe is: eight bytes when it has gone off.
        let expired = Receiver::from_owned_fd_unchecked(timer.as_fd().try_clone_to_owned()?)?;
        let most = self.left.get();
        while open.due.get() < most {
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            let mut due = ((self.clock.own(now).as_secs_f64() * open.rate) as u64).saturating_add(1);
            // While others have their turns, the first request of the next turn of ours is not due yet.
            if self.when_due(open, due - 1) > now {
                due -= 1;
            }
            let due = due.min(most);
            let new = due.saturating_sub(open.due.get());
            open.due.set(due);
            for _ in 0..new.min(1024) {
                open.wake.notify_one();
            }
            let next = self.when_due(open, due);
            let next = self.deadline.map_or(next, |deadline| next.min(deadline));
            let wait = next.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
            timer.set(Expiration::OneShot(TimeSpec::from(wait)), TimerSetTimeFlags::empty())?;
            expired.readable().await?;
            let _ = expired.try_read(&mut [0; 8]);
        }
        open.over.set(true);
        open.wake.notify_waiters();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::load::clock::Turns;
    use crate::load::{End, Target};

    fn pace(rate: Option<f64>, requests: u64, threads: usize) -> Pace {
        let mut plan = Plan::new(Target::parse("127.0.0.1:1").unwrap());
        plan.rate = rate;
        plan.threads = threads;
        plan.end = End { after: None, requests: Some(requests) };
        Pace::new(&plan, 0, Clock::alone(Instant::now()))
    }

    fn block<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn what_is_due_while_it_warms_up_does_not_count() {
        let mut pace = pace(Some(1000.0), 20, 1);
        pace.warm_up = Duration::from_millis(5);
        let at = |ms| pace.counted(pace.clock.at(Duration::from_millis(ms)));
        assert_eq!(
            [at(0), at(4), at(5), at(7)],
            [None, None, Some(Duration::ZERO), Some(Duration::from_millis(2))]
        );
    }

    #[test]
    fn a_closed_loop_is_due_at_once_and_ends() {
        let pace = pace(None, 2, 1);
        let now = Instant::now();
        block(async {
            assert_eq!(pace.next(now).await, Some(now));
            assert_eq!(pace.next(now).await, Some(now));
            assert_eq!(pace.next(now).await, None);
        });
    }

    #[test]
    fn an_open_loop_is_due_at_its_rate_whoever_takes_it() {
        let pace = Rc::new(pace(Some(4000.0), 20, 2));
        let due: Vec<Duration> = taken(&pace).into_iter().map(|at| pace.clock.own(at)).collect();
        // 4,000 a second over two threads: each has one every 500 us, and half of the 20 requests.
        let expected: Vec<Duration> = (0..10).map(|index| Duration::from_micros(500 * index)).collect();
        assert_eq!(due, expected);
        assert_eq!(pace.unsent(), 0);
    }

    #[test]
    fn nothing_is_due_while_others_have_their_turn() {
        let mut pace = pace(Some(1000.0), 20, 1);
        let begun = Instant::now();
        pace.clock = Clock::new(
            begun,
            Turns { loads: 2, index: 1, length: Duration::from_millis(5), gap: Duration::from_millis(1) },
        );
        let pace = Rc::new(pace);
        let due: Vec<u128> = taken(&pace).into_iter().map(|at| (at - begun).as_millis()).collect();
        assert_eq!(due, [6, 7, 8, 9, 10, 18, 19, 20, 21, 22, 30, 31, 32, 33, 34, 42, 43, 44, 45, 46]);
    }

    /// When the requests of a pace were due; each is taken as soon as it may be, and none before it is due.
    fn taken(pace: &Rc<Pace>) -> Vec<Instant> {
        let local = tokio::task::LocalSet::new();
        block(local.run_until(async {
            let driver = tokio::task::spawn_local({
                let pace = Rc::clone(pace);
                async move { pace.drive().await }
            });
            let mut due = Vec::new();
            while let Some(at) = pace.next(Instant::now()).await {
                assert!(at <= Instant::now());
                due.push(at);
            }
            driver.await.unwrap().unwrap();
            due
        }))
    }
}
