//! How often a conflict about an address is told: a line when it begins, and one now and then while it goes on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;

/// When each address's conflict was told last.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    told: BTreeMap<IpAddr, Time>,
}

impl Conflicts {
    /// Whether to tell this one.
    pub(super) fn show(&mut self, now: Time, ip: IpAddr) -> bool {
        let show = self.told.get(&ip).is_none_or(|told| now.since(*told) >= AGAIN);
        if show {
            self.told.insert(ip, now);
        }
        show
    }
}

const AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_told_once_a_minute() {
        let (one, other) = (IpAddr::from([10, 0, 0, 9]), IpAddr::from([10, 0, 0, 10]));
        let mut conflicts = Conflicts::default();
        assert!(conflicts.show(Time::from_millis(5), one));
        assert!(!conflicts.show(Time::from_millis(60_004), one));
        assert!(conflicts.show(Time::from_millis(60_004), other));
        assert!(conflicts.show(Time::from_millis(60_005), one));
    }
}
