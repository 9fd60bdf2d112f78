//! Dates as log lines have them, in local time; the text of a second is made once.

use super::text::{push_number, push_three, push_two};

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// Turns moments into text. Each worker has one.
#[derive(Debug)]
pub(super) struct Dates {
    offset_of: fn(u64) -> i64,
    /// The local time's offset from UTC in seconds, for the moments of one minute: zones change at full ones.
    offset: i64,
    minute: u64,
    second: u64,
    text: Vec<u8>,
}

impl Dates {
    /// Dates in this machine's time zone.
    pub(super) fn local() -> Self {
        Self::new(local_offset)
    }

    pub(super) fn new(offset_of: fn(u64) -> i64) -> Self {
        Self { offset_of, offset: 0, minute: u64::MAX, second: u64::MAX, text: Vec::with_capacity(32) }
    }

    /// Writes `06/Feb/2009:12:14:14.655`; `at` in milliseconds since 1970 UTC.
    pub(super) fn push_common(&mut self, out: &mut Vec<u8>, at: u64) {
        let second = at / 1000;
        if second != self.second {
            let date = self.local_date(second);
            self.second = second;
            self.text.clear();
            push_two(&mut self.text, date.day);
            self.text.push(b'/');
            self.text.extend_from_slice(date.month_name());
            self.text.push(b'/');
            push_number(&mut self.text, date.year);
            self.text.push(b':');
            date.push_clock(&mut self.text);
        }
        out.extend_from_slice(&self.text);
        out.push(b'.');
        push_three(out, at % 1000);
    }

    /// Writes `Feb  6 12:14:14` (RFC 3164 section 4.1.2); `second` since 1970 UTC.
    pub(super) fn push_syslog(&mut self, out: &mut Vec<u8>, second: u64) {
        let date = self.local_date(second);
        out.extend_from_slice(date.month_name());
        out.push(b' ');
        if date.day < 10 {
            out.push(b' ');
        }
        push_number(out, date.day);
        out.push(b' ');
        date.push_clock(out);
    }

    fn local_date(&mut self, second: u64) -> Date {
        if second / MINUTE != self.minute {
            self.minute = second / MINUTE;
            self.offset = (self.offset_of)(second);
        }
        Date::of(second.saturating_add_signed(self.offset))
    }
}

/// Writes `2009-02-06T11:14:14.655Z` (RFC 3339), in UTC; `at` in milliseconds since 1970.
pub(super) fn push_utc(out: &mut Vec<u8>, at: u64) {
    let date = Date::of(at / 1000);
    push_number(out, date.year);
    out.push(b'-');
    push_two(out, date.month);
    out.push(b'-');
    push_two(out, date.day);
    out.push(b'T');
    date.push_clock(out);
    out.push(b'.');
    push_three(out, at % 1000);
    out.push(b'Z');
}

/// A moment in the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: u64,
    /// 1 to 12.
    month: u64,
    /// 1 to 31.
    day: u64,
    /// Since midnight.
    second: u64,
}

impl Date {
    fn of(second: u64) -> Self {
        // Years that begin in March: the leap day is the last one. 719,468 days are before 1970 from 0000-03-01 on.
        let days = second / DAY + 719_468;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        Self { year, month, day: of_year - (153 * shifted + 2) / 5 + 1, second: second % DAY }
    }

    fn month_name(self) -> &'static [u8] {
        let index = usize::try_from(self.month).unwrap_or(0).saturating_sub(1);
        MONTHS.get(index).map_or(b"???", |name| &name[..])
    }

    fn push_clock(self, out: &mut Vec<u8>) {
        push_two(out, self.second / 3600);
        out.push(b':');
        push_two(out, self.second / 60 % 60);
        out.push(b':');
        push_two(out, self.second % 60);
    }
}

/// Seconds that the local time is ahead of UTC at this moment; 0 where the system does not know.
#[allow(unsafe_code, reason = "only the C library knows the machine's time zone")]
fn local_offset(second: u64) -> i64 {
    use nix::libc;
    let Ok(second) = libc::time_t::try_from(second) else { return 0 };
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: localtime_r(3) reads `second` and writes the whole of `parts`, or gives null; zero is a value of each
    // field. Nothing in this process changes the environment, which it reads.
    unsafe {
        if libc::localtime_r(&raw const second, parts.as_mut_ptr()).is_null() {
            return 0;
        }
        parts.assume_init().tm_gmtoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_calendar() {
        let date = |second: u64| {
            let mut out = Vec::new();
            push_utc(&mut out, second * 1000 + 7);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(date(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(date(951_782_399), "2000-02-28T23:59:59.007Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(date(1_709_251_199), "2024-02-29T23:59:59.007Z");
        assert_eq!(date(4_102_444_799), "2099-12-31T23:59:59.007Z");
    }

    #[test]
    fn local_dates_follow_the_zone() {
        // The last second of winter time, then summer time.
        let mut dates = Dates::new(|second| if second < 1_711_846_800 { 3600 } else { 7200 });
        let mut common = |at| {
            let mut out = Vec::new();
            dates.push_common(&mut out, at);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(common(1_711_846_799_999), "31/Mar/2024:01:59:59.999");
        assert_eq!(common(1_711_846_800_000), "31/Mar/2024:03:00:00.000");
        assert_eq!(common(1_711_846_800_123), "31/Mar/2024:03:00:00.123");
        let mut out = Vec::new();
        Dates::new(|_| 0).push_syslog(&mut out, 1_709_510_400);
        assert_eq!(out, b"Mar  4 00:00:00");
    }

    #[test]
    fn the_machine_has_a_zone() {
        assert!(local_offset(1_700_000_000).abs() <= 14 * 3600);
    }
}
