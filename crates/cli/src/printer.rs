//! How things look: tables that line up, spans of time for people, colours where a terminal wants them.
//!
//! Colours are written always and taken out by `anstream` where nobody wants them: no terminal, `NO_COLOR`.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::builder::styling::{AnsiColor, Style};

/// Good news.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Bad news.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Neither: unknown, on the way, taken out by the operator.
pub(crate) const DOUBT: Style = AnsiColor::Yellow.on_default();
/// A title.
pub(crate) const TITLE: Style = Style::new().bold();
/// Beside the point.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// A place in a file.
pub(crate) const PLACE: Style = AnsiColor::Blue.on_default().bold();
/// What would be right.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();

/// Text in a style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

/// A plain cell.
pub(crate) fn cell(text: impl ToString) -> Cell {
    styled(Style::new(), text)
}

/// A cell in a style. What a terminal would obey is taken out of the text.
pub(crate) fn styled(style: Style, text: impl ToString) -> Cell {
    let text = text.to_string();
    Cell { text: text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect(), style }
}

/// Rows under titles, each column as wide as its widest cell.
pub(crate) fn table(indent: usize, titles: &[&str], rows: &[Vec<Cell>]) -> String {
    let titles: Vec<Cell> = titles.iter().map(|title| styled(FAINT, title)).collect();
    let all = || std::iter::once(&titles).chain(rows);
    let width = |column: usize| {
        all().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut out = String::new();
    for row in all() {
        out.push_str(&" ".repeat(indent));
        for (index, cell) in row.iter().enumerate() {
            out.push_str(&paint(cell.style, &cell.text));
            if index + 1 < row.len() {
                let missing = widths.get(index).map_or(0, |width| width - cell.text.chars().count());
                out.push_str(&" ".repeat(missing + 2));
            }
        }
        out.push('\n');
    }
    out
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago that was, as in `4 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
pub(crate) fn ago(now_ms: u64, then_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// `1 server`, `3 servers`, `2 addresses`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    let mut text = format!("{number} {thing}");
    if number != 1 {
        let _ = write!(text, "{}", if thing.ends_with('s') { "es" } else { "s" });
    }
    text
}

/// A reader that has seen enough, as in `relevo man | head`, is no failure.
pub(crate) fn finish(written: std::io::Result<()>) -> std::io::Result<()> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Ok(()) | Err(_) => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec![cell("a"), styled(GOOD, "up"), cell("x")],
            vec![cell("longer"), styled(BAD, "down"), cell("y")],
        ];
        let text = table(2, &["NAME", "IS", "WHY"], &rows);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "  NAME    IS    WHY\n  a       up    x\n  longer  down  y\n");
    }

    #[test]
    fn a_terminal_is_not_commanded_by_a_reason() {
        assert!(!table(0, &["A"], &[vec![cell("\u{1b}[2J")]]).contains("\u{1b}[2J"));
    }

    #[test]
    fn spans_are_for_people() {
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3900, "1 h 5 min"),
            (190_000, "2 d 4 h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(ago(seconds * 1000, 0), text);
        }
        assert_eq!(ago(0, 5000), "0 s", "clocks may differ");
    }

    #[test]
    fn things_are_counted() {
        assert_eq!(
            [count(1, "address"), count(2, "address"), count(0, "server")],
            ["1 address", "2 addresses", "0 servers"]
        );
    }
}
