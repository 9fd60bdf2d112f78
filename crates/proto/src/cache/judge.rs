//! Whether an answer is kept, for how long, and whether a request may have it.

use std::time::Duration;

use relevo_model::Time;

use super::control::{Control, delta_seconds};
use super::date::seconds;
use crate::head::{elements, field, path_and_query, status};

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Since boot.
    pub now: Time,
    /// Seconds since 1970 UTC.
    pub wall: u64,
}

/// What a request wants of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: it goes to a server, and the answer is not kept.
    Pass,
    /// The same, and what is kept for its URI is not good any more if it succeeds (section 4.4).
    Change,
    /// A kept answer, or a server's, which is kept if it may be.
    Look {
        /// Whether an answer of a server is one that could be kept: HEAD has no body.
        store: bool,
        /// Whether a kept answer may be used at all without asking.
        reuse: bool,
        /// Whether no server shall be asked (section 5.2.1.7).
        only: bool,
    },
}

/// What is known of an answer that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    since: Time,
    /// Its age at that time, seconds.
    age: u64,
    /// Its life, seconds, counted from age 0.
    life: u64,
    /// Longest time of use without asking.
    most: Duration,
    /// Whether those may have it who send Authorization.
    for_all: bool,
}

/// Whether a request may have a kept answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may, with this age in seconds.
    Fresh(u64),
    /// Only if the server says that it is still good.
    Stale,
    /// It may not.
    No,
}

impl Ask {
    /// Reads a request's head.
    pub fn of(request: &[u8]) -> Self {
        let method = request.split(|byte| *byte == b' ').next().unwrap_or_default();
        let store = match method {
            b"GET" => true,
            b"HEAD" => false,
            // RFC 9110 section 9.2.1.
            b"OPTIONS" | b"TRACE" => return Self::Pass,
            _ => return Self::Change,
        };
        let has = |name: &str| field(request, name.as_bytes()).is_some();
        let is_special = [
            "range",
            "if-match",
            "if-unmodified-since",
            "if-range",
            "upgrade",
            "content-length",
            "transfer-encoding",
        ]
        .into_iter()
        .any(has);
        let control = Control::of(request);
        if is_special || control.no_store || !path_and_query(request).starts_with(b"/") {
            return Self::Pass;
        }
        // Section 5.4: Pragma, where there is no Cache-Control.
        let pragma = || elements(request, "pragma").any(|one| one.eq_ignore_ascii_case(b"no-cache"));
        let reuse = !control.no_cache && (control.given || !pragma());
        Self::Look { store, reuse, only: control.only_if_cached }
    }
}

impl Kept {
    /// Whether the answer to a GET may be kept (section 3), and how long it is good. `asked`: when the request was sent.
    pub fn of(request: &[u8], answer: &[u8], asked: Time, clock: Clock, most: Duration) -> Option<Self> {
        let control = Control::of(answer);
        let status = status(answer);
        let has = |name: &str| field(answer, name.as_bytes()).is_some();
        if control.no_store || control.private || has("set-cookie") || has("content-range") {
            return None;
        }
        if elements(answer, "vary").any(|name| name == b"*") {
            return None;
        }
        // Section 3.5.
        let for_all = control.public || control.must_revalidate || control.s_maxage.is_some();
        if field(request, b"authorization").is_some() && !for_all {
            return None;
        }
        let life = if control.no_cache { 0 } else { life(answer, &control, clock) };
        let fits = match status {
            200 | 203 => life > 0 || has("etag") || has("last-modified"),
            301 | 308 | 404 | 410 => life > 0,
            _ => false,
        };
        // Section 4.2.3.
        let date = field(answer, b"date").and_then(seconds);
        let apparent = date.map_or(0, |date| clock.wall.saturating_sub(date));
        let stated = field(answer, b"age").map_or(0, delta_seconds);
        let age = apparent.max(stated.saturating_add(clock.now.since(asked).as_secs()));
        fits.then_some(Self { since: clock.now, age, life, most, for_all })
    }

    /// Its age in seconds (section 4.2.3).
    pub fn age(&self, now: Time) -> u64 {
        self.age.saturating_add(now.since(self.since).as_secs())
    }

    /// Whether a request may have it now (section 4).
    pub fn judge(&self, request: &[u8], now: Time) -> Verdict {
        if field(request, b"authorization").is_some() && !self.for_all {
            return Verdict::No;
        }
        let control = Control::of(request);
        let age = self.age(now);
        let is_fresh = age.saturating_add(control.min_fresh.unwrap_or(0)) < self.life
            && now.since(self.since) < self.most
            && control.max_age.is_none_or(|most| age <= most);
        if is_fresh { Verdict::Fresh(age) } else { Verdict::Stale }
    }
}

/// Section 4.2.1, for a shared cache.
fn life(answer: &[u8], control: &Control, clock: Clock) -> u64 {
    if let Some(life) = control.s_maxage.or(control.max_age) {
        return life;
    }
    // Section 5.3: what is no date is long ago.
    let Some(expires) = field(answer, b"expires") else { return 0 };
    let date = field(answer, b"date").and_then(seconds).unwrap_or(clock.wall);
    seconds(expires).map_or(0, |expires| expires.saturating_sub(date))
}
