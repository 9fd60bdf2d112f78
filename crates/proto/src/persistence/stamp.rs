//! The age of a cookie that the balancer set, written into its value.
//!
//! `web1|65f0c7a1|65f0b2c0`: the server, when the cookie was last set because it was used, and when the client got it
//! first. Both are seconds since 1970 (UTC) in hexadecimal. The first date is only there with `max_idle`, the second one
//! only with `max_life`: `web1||65f0b2c0`. Whoever has a wrong date only harms himself: it chooses a server, nothing else.

use std::io::Write;
use std::time::Duration;

/// Between the parts: may stand in a cookie's value (RFC 6265 section 4.1.1), and is rare there.
const BETWEEN: u8 = b'|';
/// How far in the future a date may lie, seconds: directors' clocks differ.
const AHEAD: u64 = 86_400;

/// How long cookies are good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) max_idle: Option<Duration>,
    pub(super) max_life: Option<Duration>,
}

/// What a value's dates say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Not used for too long, or from a time that is still to come.
    Expired,
    /// The client has had it for too long, or from a time that is still to come.
    Old,
    /// Good. `renew`: set it again, with new dates. `first`: when the client got it first.
    Good { renew: bool, first: Option<u64> },
}

/// The value without dates, and the dates.
pub(super) fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(BETWEEN, value).unwrap_or(value.len());
    value.split_at(end)
}

impl Limits {
    /// Judges the dates behind a value. One that is not there is none: the cookie is good, and gets its date now.
    pub(super) fn age(self, dates: &[u8], now: u64) -> Age {
        let mut dates = dates.split(|byte| *byte == BETWEEN).skip(1).map(date);
        let (last, first) = (dates.next().flatten(), dates.next().flatten());
        let is_void = |date: Option<u64>, most: Option<Duration>| match (date, most) {
            (Some(date), Some(most)) => {
                date > now.saturating_add(AHEAD) || now.saturating_sub(date) > most.as_secs()
            }
            (None | Some(_), None) | (None, Some(_)) => false,
        };
        if is_void(last, self.max_idle) {
            return Age::Expired;
        }
        if is_void(first, self.max_life) {
            return Age::Old;
        }
        // Not with each answer: a sixteenth of the time is near enough.
        let is_late = |idle: Duration| {
            last.is_none_or(|last| {
                now.saturating_sub(last) > 0 && now.saturating_sub(last) >= idle.as_secs() / 16
            })
        };
        let renew = self.max_idle.is_some_and(is_late) || (self.max_life.is_some() && first.is_none());
        Age::Good { renew, first }
    }

    /// Writes the dates behind a value.
    pub(super) fn write(self, now: u64, first: Option<u64>, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        if self.max_idle.is_some() {
            let _ = write!(out, "|{now:x}");
        }
        if self.max_life.is_some() {
            let before = if self.max_idle.is_some() { "" } else { "|" };
            let _ = write!(out, "{before}|{:x}", first.unwrap_or(now));
        }
    }
}

fn date(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 12 {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}
