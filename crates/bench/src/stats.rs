//! Figures about figures: the middle, the ends, ratios within pairs. Pure.

/// The middle value; the mean of the two in the middle of an even number; NaN of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// How one thing is to another in several pairs: the ratio is taken within each pair, so that a machine that others use
/// too disturbs both alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Ratio {
    /// Of these pairs, ours over theirs. `None`: there is no pair in which theirs is more than nothing.
    pub fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let ratios: Vec<f64> = pairs
            .into_iter()
            .filter(|(ours, theirs)| ours.is_finite() && *theirs > 0.0)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        let least = ratios.iter().copied().min_by(f64::total_cmp)?;
        let most = ratios.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { median: median(ratios), least, most })
    }
}

/// Three digits after the point, for files that people read too.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Microseconds with the unit that reads best: `87 us`, `4.3 ms`, `1.2 s`.
pub fn time_words(us: f64) -> String {
    match us {
        us if us.is_nan() => "-".to_owned(),
        us if us < 1e3 => format!("{us:.0} us"),
        us if us < 1e6 => format!("{:.*} ms", if us < 1e5 { 2 } else { 0 }, us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Bytes with the unit that reads best: `812 B`, `4.1 KiB`.
pub fn size_words(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut rest = bytes;
    let mut unit = 0;
    while rest >= 1024.0 && unit + 1 < units.len() {
        rest /= 1024.0;
        unit += 1;
    }
    format!("{rest:.*} {}", usize::from(unit > 0), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn the_ratio_is_taken_in_each_pair() {
        // The machine became twice as slow in the second pair: the ratios do not care.
        let ratio = Ratio::of([(8.0, 10.0), (16.0, 20.0), (9.0, 10.0)]).unwrap();
        assert_eq!(ratio, Ratio { median: 0.8, least: 0.8, most: 0.9 });
        assert_eq!(Ratio::of([]), None);
        assert_eq!(Ratio::of([(1.0, 0.0)]), None, "a division by nothing is no ratio");
    }

    #[test]
    fn figures_have_units() {
        let times = [(87.0, "87 us"), (4321.0, "4.32 ms"), (250_000.0, "250 ms"), (1.5e6, "1.50 s")];
        for (us, words) in times {
            assert_eq!(time_words(us), words);
        }
        assert_eq!([size_words(812.0), size_words(4200.0)], ["812 B", "4.1 KiB"]);
    }
}
