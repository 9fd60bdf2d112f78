//! What an agent on a server says (HAProxy's agent protocol): one line of words, parted by spaces, tabs, commas and `/`, in
//! any order, until the line's end.
//!
//! | word | what it does |
//! |---|---|
//! | `75%` | that share of its weight; `0%`: no new work |
//! | `maxconn:30` | most requests or connections at a time; 0: no limit |
//! | `ready` | takes back `drain` and `maint` |
//! | `drain` | no new work, but what is bound to it by persistence |
//! | `maint` | nothing, and it is not checked |
//! | `down`, `fail`, `stopped` | down, whatever its check says; a reason may follow: `#disk is full` |
//! | `up` | up as far as the agent knows: its check decides |
//!
//! What a line does not name stays as it was. An agent that does not answer changes nothing: that is what checks are for.
//! A line with words that are none of these is not followed at all, as nobody knows what else it meant.

use std::fmt;

use super::words::excerpt;
use crate::balance::Admin;

/// Most bytes of a line.
pub const LONGEST: usize = 512;
/// Largest share, percent: HAProxy's heaviest weight over its lightest.
const MOST_PERCENT: u16 = 25_600;

/// What an agent has said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Its share of its weight, percent; `None`: the whole.
    pub percent: Option<u16>,
    /// Whether it wants work.
    pub admin: Admin,
    /// Why it is down; `None`: it is not.
    pub down: Option<String>,
    /// Most requests or connections at a time, 0 for no limit; `None`: it did not say.
    pub most: Option<u32>,
}

/// What one line says; `None`: nothing about that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// A share, percent.
    pub percent: Option<u16>,
    /// Whether it wants work.
    pub admin: Option<Admin>,
    /// Up, or down and why.
    pub down: Option<Option<String>>,
    /// Most requests or connections at a time.
    pub most: Option<u32>,
}

/// Why a line is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReport {
    /// It says nothing.
    #[error("its agent said nothing")]
    Empty,
    /// It has no end within [`LONGEST`] bytes.
    #[error("its agent said more than {LONGEST} bytes")]
    TooLong,
    /// It has a word that is not in the protocol.
    #[error("its agent said \"{0}\", which is not understood")]
    Unknown(String),
}

impl Report {
    /// Reads what an agent sent, up to the first line's end.
    ///
    /// # Errors
    /// See [`BadReport`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BadReport> {
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)).unwrap_or(bytes.len());
        let line = bytes.get(..end).unwrap_or_default();
        if line.len() > LONGEST {
            return Err(BadReport::TooLong);
        }
        let (words, reason) = match line.iter().position(|byte| *byte == b'#') {
            Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default()),
            None => (line, &[][..]),
        };
        let mut report = Self::default();
        let mut any = false;
        let parts = words.split(|byte| matches!(byte, b' ' | b'\t' | b',' | b'/'));
        for word in parts.filter(|word| !word.is_empty()) {
            report.take(word, reason)?;
            any = true;
        }
        if any { Ok(report) } else { Err(BadReport::Empty) }
    }

    fn take(&mut self, word: &[u8], reason: &[u8]) -> Result<(), BadReport> {
        let unknown = || BadReport::Unknown(excerpt(word));
        let lower = word.to_ascii_lowercase();
        match lower.as_slice() {
            b"ready" => self.admin = Some(Admin::Ready),
            b"drain" => self.admin = Some(Admin::Drain),
            b"maint" => self.admin = Some(Admin::Maint),
            b"up" => self.down = Some(None),
            b"down" | b"fail" | b"stopped" => {
                let said = excerpt(word).to_ascii_lowercase();
                self.down = Some(Some(match reason.trim_ascii() {
                    [] => format!("its agent says {said}"),
                    reason => format!("its agent says {said}: {}", excerpt(reason)),
                }));
            }
            other => {
                if let Some(digits) = other.strip_suffix(b"%") {
                    let percent = number(digits).ok_or_else(unknown)?;
                    self.percent = Some(u16::try_from(percent).unwrap_or(u16::MAX).min(MOST_PERCENT));
                } else {
                    let digits = other.strip_prefix(b"maxconn:").ok_or_else(unknown)?;
                    self.most = Some(number(digits).ok_or_else(unknown)?);
                }
            }
        }
        Ok(())
    }
}

impl Agent {
    /// What it leaves of this weight. Of a weight above 0, at least 1 unless it wants nothing.
    pub fn share_of(&self, weight: u16) -> u16 {
        let share = (u32::from(weight) * u32::from(self.percent.unwrap_or(100))).div_ceil(100);
        u16::try_from(share).unwrap_or(u16::MAX)
    }

    /// Follows a report; whether anything is different now.
    pub fn follow(&mut self, report: Report) -> bool {
        let before = self.clone();
        let Report { percent, admin, down, most } = report;
        self.percent = percent.or(self.percent);
        self.admin = admin.unwrap_or(self.admin);
        self.most = most.or(self.most);
        if let Some(down) = down {
            self.down = down;
        }
        *self != before
    }

    /// What it said, as one line; `None`: nothing that makes a difference.
    pub fn words(&self) -> Option<String> {
        (!self.is_silent()).then(|| self.to_string())
    }

    /// Whether it has said nothing that makes a difference.
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// `drain, 50%, maxconn:30, down`.
impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.admin, &self.down) {
            (Admin::Maint, _) => "maint",
            (Admin::Drain, None) => "drain",
            (Admin::Drain, Some(_)) => "drain, down",
            (Admin::Ready, Some(_)) => "down",
            (Admin::Ready, None) => "up",
        })?;
        if let Some(percent) = self.percent {
            write!(f, ", {percent}%")?;
        }
        if let Some(most) = self.most {
            write!(f, ", maxconn:{most}")?;
        }
        Ok(())
    }
}

/// A number in decimal digits; too large ones are the largest.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_u64, |value, digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(u64::from(u32::MAX))
    });
    u32::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_percentage_is_of_the_weight() {
        let share = |percent, weight| Agent { percent, ..Agent::default() }.share_of(weight);
        assert_eq!([share(None, 7), share(Some(50), 7), share(Some(0), 7), share(Some(1), 1)], [7, 4, 0, 1]);
        assert_eq!([share(Some(25_600), 256), share(Some(50), 0)], [65_535, 0]);
    }

    #[test]
    fn lines_are_read_as_the_protocol_says() {
        let none = Report::default;
        let down = |words: &str| Report { down: Some(Some(words.to_owned())), ..none() };
        let cases: [(&str, Report); 16] = [
            ("75%\n", Report { percent: Some(75), ..none() }),
            ("0%\n", Report { percent: Some(0), ..none() }),
            ("99999999999999999999%", Report { percent: Some(MOST_PERCENT), ..none() }),
            ("ready\r\n", Report { admin: Some(Admin::Ready), ..none() }),
            ("drain\nmaint\n", Report { admin: Some(Admin::Drain), ..none() }),
            ("MAINT\n", Report { admin: Some(Admin::Maint), ..none() }),
            ("up\n", Report { down: Some(None), ..none() }),
            ("down\n", down("its agent says down")),
            ("fail #\n", down("its agent says fail")),
            ("stopped#  disk is full \n", down("its agent says stopped: disk is full")),
            ("down #a, ready b\n", down("its agent says down: a, ready b")),
            ("maxconn:30\n", Report { most: Some(30), ..none() }),
            ("maxconn:99999999999\n", Report { most: Some(u32::MAX), ..none() }),
            ("up/ready", Report { down: Some(None), admin: Some(Admin::Ready), ..none() }),
            (
                " ready,\tup 75% maxconn:0 #what\n",
                Report { percent: Some(75), admin: Some(Admin::Ready), down: Some(None), most: Some(0) },
            ),
            ("drain up ready", Report { down: Some(None), admin: Some(Admin::Ready), ..none() }),
        ];
        for (line, report) in cases {
            assert_eq!(Report::parse(line.as_bytes()), Ok(report), "{line:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_not_followed() {
        let unknown = |word: &str| BadReport::Unknown(word.to_owned());
        for (line, error) in [
            ("", BadReport::Empty),
            ("\nready", BadReport::Empty),
            ("# only why", BadReport::Empty),
            ("ready sleepy", unknown("sleepy")),
            ("%", unknown("%")),
            ("-5%", unknown("-5%")),
            ("75 %", unknown("75")),
            ("maxconn: 30", unknown("maxconn:")),
            ("HTTP/1.1 200 OK", unknown("HTTP")),
        ] {
            assert_eq!(Report::parse(line.as_bytes()), Err(error), "{line:?}");
        }
        assert_eq!(Report::parse(&[b' '; LONGEST + 1]), Err(BadReport::TooLong));
    }

    #[test]
    fn what_a_line_does_not_name_stays() {
        let mut agent = Agent::default();
        let mut say = |line: &str| {
            let changed = agent.follow(Report::parse(line.as_bytes()).unwrap());
            (changed, agent.to_string())
        };
        for (line, changed, words) in [
            ("up", false, "up"),
            ("drain 50%", true, "drain, 50%"),
            ("50%", false, "drain, 50%"),
            ("down #why maxconn:3", true, "drain, down, 50%"),
            ("ready", true, "down, 50%"),
            ("up 100% maxconn:7", true, "up, 100%, maxconn:7"),
            ("maint", true, "maint, 100%, maxconn:7"),
        ] {
            assert_eq!(say(line), (changed, words.to_owned()), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            if let Ok(report) = Report::parse(&bytes) {
                let mut agent = Agent::default();
                agent.follow(report.clone());
                prop_assert!(!agent.follow(report), "the same line twice changes nothing");
                prop_assert!(agent.to_string().is_ascii());
                prop_assert!(agent.down.is_none_or(|reason| reason.chars().count() <= 110));
            }
        }

        #[test]
        fn words_of_the_protocol_in_any_order(
            words in prop::collection::vec(prop::sample::select(vec![
                "up", "down", "ready", "drain", "maint", "stopped", "fail", "50%", "maxconn:9",
            ]), 1..8),
            between in prop::sample::select(vec![" ", ",", "\t", "/", ", "]),
        ) {
            let report = Report::parse(words.join(between).as_bytes()).unwrap();
            let last = words.iter().rev().find_map(|word| match *word {
                "ready" => Some(Admin::Ready),
                "drain" => Some(Admin::Drain),
                "maint" => Some(Admin::Maint),
                _ => None,
            });
            prop_assert_eq!(report.admin, last);
        }
    }
}
