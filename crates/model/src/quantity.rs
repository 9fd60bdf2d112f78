//! Durations and sizes as an operator writes them: a whole number and a unit, as in `200ms` or `16KiB`.

use std::time::Duration;

/// The units of a duration with their milliseconds, largest first.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of a size with their bytes, largest first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `200ms`, `1s`, `2m`, `1h` or `365d`.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let help = || "write a whole number and ms, s, m, h or d, as in \"200ms\" or \"1s\"".to_owned();
    let (number, unit) = split(text).ok_or_else(help)?;
    let (_, millis) = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(help)?;
    let millis = number.checked_mul(*millis).ok_or_else(|| "write a shorter time".to_owned())?;
    Ok(Duration::from_millis(millis))
}

/// Reads `512B`, `16KiB`, `1MiB` or `1GiB` as bytes.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let help = || match split(text) {
        Some((number, unit)) if unit.to_ascii_uppercase().starts_with('K') => {
            format!("write \"{number}KiB\"")
        }
        Some((number, unit)) if unit.to_ascii_uppercase().starts_with('M') => {
            format!("write \"{number}MiB\"")
        }
        _ => "write a whole number and B, KiB or MiB, as in \"16KiB\"".to_owned(),
    };
    let (number, unit) = split(text).ok_or_else(help)?;
    let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(help)?;
    number.checked_mul(*bytes).ok_or_else(|| "write a smaller size".to_owned())
}

/// Writes a duration in its largest whole unit, as in `1s` or `1500ms`; finer than a millisecond is left out.
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 { "0s".to_owned() } else { format_in(millis, &TIMES) }
}

/// Writes a size in its largest whole unit, as in `16KiB`.
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { format_in(bytes, &SIZES) }
}

fn format_in(value: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().find(|(_, worth)| value.is_multiple_of(*worth));
    fits.map_or_else(String::new, |(unit, worth)| format!("{}{unit}", value / worth))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("0ms", 0),
            ("200ms", 200),
            ("1s", 1_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("365d", 31_536_000_000),
            ("007s", 7_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "1",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "1sec",
            "1S",
            "1ms ",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("512B", 512), ("16KiB", 16_384), ("1MiB", 1_048_576), ("1GiB", 1 << 30)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(format_size(bytes), text);
        }
        assert_eq!(parse_size("16KB"), Err("write \"16KiB\"".to_owned()));
        assert_eq!(parse_size("2m"), Err("write \"2MiB\"".to_owned()));
        for text in ["", "16", "KiB", "1.5KiB", "99999999999999999999B", "99999999999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_in_the_largest_whole_unit() {
        for (millis, text) in [
            (0, "0s"),
            (1, "1ms"),
            (1_000, "1s"),
            (1_500, "1500ms"),
            (60_000, "1m"),
            (3_600_000, "1h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }
}
