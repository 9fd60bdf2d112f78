//! Small writers for the page: escaped text, numbers and times as people read them.

use std::fmt::{self, Display};

/// Text within HTML, in an element or in an attribute's quotes.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string().chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Not allowed in HTML, and nothing to be seen.
                character if character.is_control() => f.write_str("\u{fffd}")?,
                character => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

/// A number in groups of three digits, as `9 985`.
pub(super) struct Grouped(pub(super) u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                // A narrow space that does not break.
                f.write_str("\u{202f}")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A number in three digits, as `24.9 k`: for bytes, and for what is too long for its cell.
pub(super) struct Rounded(pub(super) u64);

impl Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
        if self.0 < 1000 {
            return write!(f, "{}", self.0);
        }
        let mut value = self.0 as f64 / 1000.0;
        let mut unit = UNITS.iter();
        let mut name = unit.next();
        // What would be rounded to 1000 takes the next unit.
        while value >= 999.5
            && let Some(next) = unit.next()
        {
            value /= 1000.0;
            name = Some(next);
        }
        let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
        write!(f, "{value:.digits$}\u{202f}{}", name.unwrap_or(&""))
    }
}

/// A number in at most four letters, as `2.5k` or `120k`: for the narrowest cells.
pub(super) struct Short(pub(super) u64);

impl Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = Rounded(self.0).to_string();
        let Some((value, unit)) = rounded.split_once('\u{202f}') else { return f.write_str(&rounded) };
        // Three digits are more than fit beside a point.
        let value = match value.split_once('.') {
            Some((whole, _)) if whole.len() > 1 => whole,
            _ => value.get(..3).unwrap_or(value),
        };
        write!(f, "{value}{unit}")
    }
}

/// Seconds with their two largest units, as `3h12m`.
pub(super) struct Span(pub(super) u64);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds}s"),
            (0, 0, _) if seconds.is_multiple_of(60) => write!(f, "{minutes}m"),
            (0, 0, _) => write!(f, "{minutes}m{}s", seconds % 60),
            (0, _, _) => write!(f, "{hours}h{}m", minutes % 60),
            _ => write!(f, "{days}d{}h", hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_becomes_markup() {
        assert_eq!(Text("<a href='x'>\"&\u{0}").to_string(), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\u{fffd}");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(Grouped(0).to_string(), "0");
        assert_eq!(Grouped(999).to_string(), "999");
        assert_eq!(Grouped(1_234_567).to_string(), "1\u{202f}234\u{202f}567");
        assert_eq!(Rounded(999).to_string(), "999");
        assert_eq!(Rounded(24_901).to_string(), "24.9\u{202f}k");
        assert_eq!(Rounded(999_600).to_string(), "1.00\u{202f}M");
        let short = [(999, "999"), (2_549, "2.5k"), (24_901, "24k"), (123_456, "123k"), (1_000_000, "1.0M")];
        for (number, text) in short {
            assert_eq!(Short(number).to_string(), text);
        }
        assert_eq!(Rounded(u64::MAX).to_string(), "18.4\u{202f}E");
    }

    #[test]
    fn times_are_readable() {
        let spans =
            [(0, "0s"), (60, "1m"), (61, "1m1s"), (3_600 * 3 + 12 * 60 + 1, "3h12m"), (90_000, "1d1h")];
        for (seconds, text) in spans {
            assert_eq!(Span(seconds).to_string(), text);
        }
    }
}
