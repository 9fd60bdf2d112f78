//! The statuses that `http-check expect` takes, as the cluster file says them: `200-299,304`.

use regex::bytes::RegexBuilder;

/// All that an answer can have.
const ALL: std::ops::RangeInclusive<u16> = 100..=599;
/// Most ranges of the cluster file.
const MOST: usize = 64;

/// `[!] status LIST` or `[!] rstatus EXPRESSION`, from there on; `None`: it is neither, or no status is left.
pub(super) fn read(words: &[&str]) -> Option<String> {
    let (is_not, words) = match words {
        ["!", rest @ ..] => (true, rest),
        words => (false, words),
    };
    let chosen: Box<dyn Fn(u16) -> bool> = match words {
        ["status", list] => {
            let ranges: Vec<(u16, u16)> = list.split(',').map(range).collect::<Option<_>>()?;
            Box::new(move |status| ranges.iter().any(|(first, last)| (*first..=*last).contains(&status)))
        }
        ["rstatus", expression] => {
            // Without Unicode `\d` is ten digits, as there.
            let regex = RegexBuilder::new(expression).unicode(false).build().ok()?;
            Box::new(move |status| regex.is_match(status.to_string().as_bytes()))
        }
        _ => return None,
    };
    written(|status| chosen(status) != is_not)
}

/// `200` or `200-299`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.trim().split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

fn written(is_in: impl Fn(u16) -> bool) -> Option<String> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for status in ALL.filter(|status| is_in(*status)) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == status => *last = status,
            _ => ranges.push((status, status)),
        }
    }
    let one = |(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let fits = (1..=MOST).contains(&ranges.len());
    fits.then(|| ranges.iter().map(one).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_ranges() {
        let of = |text: &str| read(&text.split(' ').collect::<Vec<_>>());
        for (text, ranges) in [
            ("status 200", "200"),
            ("status 200-299,304", "200-299,304"),
            ("status 200,201,202", "200-202"),
            ("! status 500-599", "100-499"),
            ("rstatus ^[23]", "200-399"),
            ("rstatus (2|3)\\d\\d", "200-399"),
            ("! rstatus ^5", "100-499"),
            ("rstatus ^(200|401)$", "200,401"),
        ] {
            assert_eq!(of(text).as_deref(), Some(ranges), "{text}");
        }
        for text in [
            "string ok",
            "status",
            "status many",
            "status 600",
            "rstatus (",
            "rstatus 0$|2$|4$|6$|8$",
            "! rstatus .",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
