//! Counters: each worker writes its own, readers add them up.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::figures::{Averages, Figures, RESPONSE_BOUNDS};
use crate::log::Timers;

/// Requests over which averages reach back, for each worker.
const REACH: u64 = 1024;

/// One worker's counters for one service, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Client connections.
    pub(crate) connections: Counter,
    pub(crate) requests: Counter,
    /// Answered by the balancer with an error, or closed without an answer.
    pub(crate) errors: Counter,
    /// Refused by a rule or a limit.
    pub(crate) denied: Counter,
    /// Not understood, or not complete.
    pub(crate) request_errors: Counter,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) statuses: Statuses,
    /// TLS handshakes that a client has begun.
    pub(crate) handshakes_failed: Counter,
}

/// One worker's counters for one server, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ServerCounters {
    pub(crate) requests: Counter,
    pub(crate) failures: Counter,
    pub(crate) running: Gauge,
    pub(crate) connect_errors: Counter,
    pub(crate) response_errors: Counter,
    pub(crate) client_aborts: Counter,
    pub(crate) server_aborts: Counter,
    /// It failed, and the request was tried again.
    pub(crate) retries: Counter,
    /// Of them, those that went elsewhere.
    pub(crate) redispatches: Counter,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) statuses: Statuses,
    pub(crate) times: Times,
}

impl Counters {
    /// Adds what this worker has counted.
    pub(crate) fn add_to(&self, figures: &mut Figures) {
        figures.total = figures.total.wrapping_add(self.connections.value());
        figures.requests = figures.requests.wrapping_add(self.requests.value());
        figures.denied = figures.denied.wrapping_add(self.denied.value());
        figures.request_errors = figures.request_errors.wrapping_add(self.request_errors.value());
        figures.handshakes_failed = figures.handshakes_failed.wrapping_add(self.handshakes_failed.value());
        figures.received = figures.received.wrapping_add(self.received.value());
        figures.sent = figures.sent.wrapping_add(self.sent.value());
        self.statuses.add_to(figures);
    }
}

impl ServerCounters {
    /// What all workers have counted for one server.
    pub(crate) fn figures(all: &[Self]) -> Figures {
        let mut figures = Figures::default();
        let (mut current, mut most) = (0_u32, 0);
        for one in all {
            current = current.wrapping_add(one.running.value());
            most = most.max(one.running.most());
            let counts = [
                (&mut figures.total, &one.requests),
                (&mut figures.connect_errors, &one.connect_errors),
                (&mut figures.response_errors, &one.response_errors),
                (&mut figures.client_aborts, &one.client_aborts),
                (&mut figures.server_aborts, &one.server_aborts),
                (&mut figures.retries, &one.retries),
                (&mut figures.redispatches, &one.redispatches),
                (&mut figures.received, &one.received),
                (&mut figures.sent, &one.sent),
            ];
            for (sum, counter) in counts {
                *sum = sum.wrapping_add(counter.value());
            }
            one.statuses.add_to(&mut figures);
            one.times.add_to(&mut figures);
        }
        figures.requests = figures.total;
        (figures.current, figures.most) = (u64::from(current), u64::from(most.max(current)));
        figures.averages = Times::averages(all.iter().map(|one| &one.times));
        figures
    }
}

/// Counts up. Only one thread writes, so that no locked instruction is needed.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts up and down, and remembers the most. Only one thread writes.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicU32,
    most: AtomicU32,
}

impl Gauge {
    pub(crate) fn up(&self) {
        let now = self.now.load(Ordering::Relaxed).wrapping_add(1);
        self.now.store(now, Ordering::Relaxed);
        if now > self.most.load(Ordering::Relaxed) {
            self.most.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn down(&self) {
        self.now.store(self.now.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed)
    }
}

/// Answers by the class of their status.
#[derive(Debug, Default)]
pub(crate) struct Statuses([Counter; 6]);

impl Statuses {
    pub(crate) fn add(&self, status: u16) {
        let class = match status {
            100..600 => usize::from(status / 100 - 1),
            _ => 5,
        };
        if let Some(counter) = self.0.get(class) {
            counter.add();
        }
    }

    fn add_to(&self, figures: &mut Figures) {
        for (sum, counter) in figures.statuses.iter_mut().zip(&self.0) {
            *sum = sum.wrapping_add(counter.value());
        }
    }
}

/// How long a server's requests took. One thread writes; all is zero while nothing is measured.
#[derive(Debug, Default)]
pub(crate) struct Times {
    count: Counter,
    /// Queue, connect, response, total: sliding averages in milliseconds, as the bits of an `f32`.
    averages: [AtomicU32; 4],
    classes: [Counter; RESPONSE_BOUNDS.len() + 1],
    response_sum: Counter,
}

impl Times {
    /// Takes in a request that was answered.
    pub(crate) fn add(&self, timers: &Timers) {
        self.count.add();
        let share = 1.0 / self.count.value().min(REACH) as f32;
        let response = timers.response.unwrap_or(0);
        let values = [timers.queue.unwrap_or(0), timers.connect.unwrap_or(0), response, timers.total];
        for (average, value) in self.averages.iter().zip(values) {
            let old = f32::from_bits(average.load(Ordering::Relaxed));
            average.store((old + (value as f32 - old) * share).to_bits(), Ordering::Relaxed);
        }
        if timers.response.is_some() {
            let class = RESPONSE_BOUNDS.iter().position(|bound| response <= *bound);
            if let Some(counter) = self.classes.get(class.unwrap_or(RESPONSE_BOUNDS.len())) {
                counter.add();
            }
            self.response_sum.add_many(u64::from(response));
        }
    }

    fn add_to(&self, figures: &mut Figures) {
        for (sum, counter) in figures.response_times.iter_mut().zip(&self.classes) {
            *sum = sum.wrapping_add(counter.value());
        }
        figures.response_sum = figures.response_sum.wrapping_add(self.response_sum.value());
    }

    /// The average of all workers, each by as many requests as its own one reaches back.
    pub(crate) fn averages<'a>(all: impl Iterator<Item = &'a Self>) -> Option<Averages> {
        let (mut weight, mut sums) = (0.0_f32, [0.0_f32; 4]);
        for one in all {
            let of_this = one.count.value().min(REACH) as f32;
            weight += of_this;
            for (sum, average) in sums.iter_mut().zip(&one.averages) {
                *sum += of_this * f32::from_bits(average.load(Ordering::Relaxed));
            }
        }
        let [queue, connect, response, total] = sums.map(|sum| (sum / weight).round() as u32);
        (weight > 0.0).then_some(Averages { queue, connect, response, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_of_all_workers_by_their_work() {
        let (one, two) = (Times::default(), Times::default());
        let of = |response| Timers { response: Some(response), total: 2 * response, ..Timers::default() };
        (0..30).for_each(|_| one.add(&of(10)));
        (0..10).for_each(|_| two.add(&of(50)));
        let averages = Times::averages([&one, &two, &Times::default()].into_iter()).unwrap();
        assert_eq!((averages.response, averages.total, averages.queue), (20, 40, 0));
        assert_eq!(Times::averages([&Times::default()].into_iter()), None);
        // Old ones fade.
        (0..20_000).for_each(|_| one.add(&of(100)));
        assert_eq!(Times::averages([&one].into_iter()).unwrap().response, 100);
    }

    #[test]
    fn classes_of_times_and_statuses() {
        let counters = ServerCounters::default();
        for response in [0, 1, 2, 10_000, 10_001] {
            counters.times.add(&Timers { response: Some(response), ..Timers::default() });
        }
        for status in [101, 200, 204, 599, 600, 99] {
            counters.statuses.add(status);
        }
        counters.running.up();
        counters.running.up();
        counters.running.down();
        let figures = ServerCounters::figures(&[counters, ServerCounters::default()]);
        assert_eq!(figures.response_times, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(figures.statuses, [1, 2, 0, 0, 1, 2]);
        assert_eq!((figures.current, figures.most), (1, 2));
    }
}
