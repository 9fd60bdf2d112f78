//! Announcements that go out one after the other, for equipment that drops bursts.

use std::collections::VecDeque;
use std::time::Duration;

use relevo_model::Time;

/// Addresses that are still to be announced, by their number.
#[derive(Debug)]
pub(super) struct Queue {
    spacing: Duration,
    next_at: Time,
    waiting: VecDeque<usize>,
}

impl Queue {
    /// An empty one. `spacing`: least time between two.
    pub(super) fn new(spacing: Duration) -> Self {
        Self { spacing, next_at: Time::ZERO, waiting: VecDeque::new() }
    }

    /// All addresses are to be announced, those first that wait already.
    pub(super) fn fill(&mut self, now: Time, count: usize) {
        self.next_at = self.next_at.max(now);
        for number in 0..count {
            if !self.waiting.contains(&number) {
                self.waiting.push_back(number);
            }
        }
    }

    /// Nothing is to be announced any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Time> {
        (!self.waiting.is_empty()).then_some(self.next_at)
    }

    /// The next one that is due.
    pub(super) fn take(&mut self, now: Time) -> Option<usize> {
        if self.next_at > now {
            return None;
        }
        let number = self.waiting.pop_front()?;
        self.next_at = now + self.spacing;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_distance_all_go_at_once() {
        let mut queue = Queue::new(Duration::ZERO);
        queue.fill(Time::from_millis(5), 3);
        assert_eq!(queue.due(), Some(Time::from_millis(5)));
        let taken: Vec<usize> = std::iter::from_fn(|| queue.take(Time::from_millis(5))).collect();
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!(queue.due(), None);
    }

    #[test]
    fn with_a_distance_each_waits_for_its_turn_and_none_is_there_twice() {
        let mut queue = Queue::new(Duration::from_millis(10));
        let at = Time::from_millis;
        queue.fill(at(100), 3);
        assert_eq!((queue.take(at(100)), queue.take(at(109))), (Some(0), None));
        assert_eq!(queue.due(), Some(at(110)));
        queue.fill(at(109), 3);
        let taken: Vec<usize> = (11..=16).filter_map(|ten| queue.take(at(ten * 10))).collect();
        assert_eq!(taken, [1, 2, 0]);
        queue.fill(at(200), 3);
        queue.clear();
        assert_eq!(queue.take(at(300)), None);
    }
}
