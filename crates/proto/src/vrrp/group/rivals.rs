//! Who else was heard to be active while this director is, so that each is told once and not with every advert.

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;

/// How many are remembered; further ones are not told.
const MOST: usize = 16;

/// Those that were heard of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Rivals(Vec<(IpAddr, Time)>);

impl Rivals {
    /// Remembers that one was heard; whether it is one that was not heard for as long as `fresh`.
    pub(super) fn is_new(&mut self, now: Time, source: IpAddr, fresh: Duration) -> bool {
        self.0.retain(|(_, last)| now.since(*last) <= fresh);
        if let Some((_, last)) = self.0.iter_mut().find(|(known, _)| *known == source) {
            *last = now;
            return false;
        }
        let has_room = self.0.len() < MOST;
        if has_room {
            self.0.push((source, now));
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_is_told_when_it_comes_and_when_it_comes_again() {
        let (one, fresh) = (IpAddr::from([10, 0, 0, 2]), Duration::from_millis(300));
        let mut rivals = Rivals::default();
        assert!(rivals.is_new(Time::from_millis(1_000), one, fresh));
        assert!(!rivals.is_new(Time::from_millis(1_100), one, fresh));
        assert!(!rivals.is_new(Time::from_millis(1_400), one, fresh));
        assert!(rivals.is_new(Time::from_millis(1_701), one, fresh));
        for last in 0..=u8::MAX {
            rivals.is_new(Time::from_millis(2_000), Ipv4Addr::new(10, 0, 1, last).into(), fresh);
        }
        assert!(rivals.0.len() <= MOST);
    }
}
