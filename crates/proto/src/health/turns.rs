//! When an agent is asked: in its server's phase of the interval, one question at a time.

use std::time::Duration;

use relevo_model::Time;

use super::rhythm;

/// The first question of all agents is asked within this time.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// The times of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    interval: Duration,
    place: u32,
    next: Option<Time>,
    number: u64,
}

impl Turns {
    /// From now on, for the server of this place among all.
    pub fn new(interval: Duration, place: u32, now: Time) -> Self {
        let next = Some(now + rhythm::part(interval.min(FIRST_WITHIN), place));
        Self { interval, place, next, number: 0 }
    }

    /// When to call [`Self::handle_timeout`]; `None`: a question is under way.
    pub const fn poll_timeout(&self) -> Option<Time> {
        self.next
    }

    /// The number of the question to ask now, if it is time.
    pub fn handle_timeout(&mut self, now: Time) -> Option<u64> {
        self.next.filter(|next| *next <= now)?;
        self.next = None;
        self.number += 1;
        Some(self.number)
    }

    /// The question with this number is answered, or will never be; whether the answer is not too old.
    pub fn answered(&mut self, number: u64, now: Time) -> bool {
        let is_current = self.next.is_none() && number == self.number;
        if is_current {
            self.next = Some(rhythm::next(self.interval, self.place, now + self.interval / 2));
        }
        is_current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_at_a_time_and_late_answers_do_not_count() {
        let mut turns = Turns::new(Duration::from_secs(2), 0, Time::ZERO);
        assert_eq!(turns.handle_timeout(Time::ZERO), Some(1));
        assert_eq!((turns.handle_timeout(Time::from_millis(9000)), turns.poll_timeout()), (None, None));
        assert!(!turns.answered(7, Time::from_millis(9000)));
        assert!(turns.answered(1, Time::from_millis(9100)));
        assert!(!turns.answered(1, Time::from_millis(9100)));
        assert_eq!(turns.poll_timeout(), Some(Time::from_millis(12_000)));
        assert_eq!(turns.handle_timeout(Time::from_millis(11_999)), None);
        assert_eq!(turns.handle_timeout(Time::from_millis(12_000)), Some(2));
    }
}
