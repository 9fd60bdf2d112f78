//! Cache-Control (RFC 9111 section 5.2).

use crate::head::elements;

/// The directives of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) given: bool,
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) public: bool,
    /// `must-revalidate`, which matters for Authorization only: nothing stale is used anyway. `proxy-revalidate` says no
    /// more than that.
    pub(super) must_revalidate: bool,
    pub(super) only_if_cached: bool,
    /// Seconds; of several the shortest, and one that cannot be read is 0 (section 4.2.1).
    pub(super) max_age: Option<u64>,
    pub(super) s_maxage: Option<u64>,
    pub(super) min_fresh: Option<u64>,
}

impl Control {
    pub(super) fn of(head: &[u8]) -> Self {
        let mut control = Self::default();
        for element in elements(head, "cache-control") {
            control.given = true;
            let (name, argument) = match element.iter().position(|byte| *byte == b'=') {
                Some(at) => {
                    (element.get(..at).unwrap_or_default(), element.get(at + 1..).unwrap_or_default())
                }
                None => (element, &[][..]),
            };
            let is = |wanted: &str| name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes());
            let shortest = |old: Option<u64>| Some(old.unwrap_or(u64::MAX).min(delta_seconds(argument)));
            if is("no-store") {
                control.no_store = true;
            } else if is("no-cache") {
                // With names of fields too: less is kept than may be.
                control.no_cache = true;
            } else if is("private") {
                control.private = true;
            } else if is("public") {
                control.public = true;
            } else if is("must-revalidate") {
                control.must_revalidate = true;
            } else if is("only-if-cached") {
                control.only_if_cached = true;
            } else if is("max-age") {
                control.max_age = shortest(control.max_age);
            } else if is("s-maxage") {
                control.s_maxage = shortest(control.s_maxage);
            } else if is("min-fresh") {
                control.min_fresh = shortest(control.min_fresh);
            }
        }
        control
    }
}

/// Delta-seconds (section 1.2.2), in quotes too; what is too large is the largest, what is no number 0.
pub(super) fn delta_seconds(value: &[u8]) -> u64 {
    let value = value.trim_ascii();
    let digits = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let sum = |sum: u64, byte: &u8| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    digits.iter().fold(0, sum).min(1 << 31)
}
