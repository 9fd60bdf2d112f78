//! Plots as SVG: lines over numbers, nothing else. Pure.

use std::fmt::Write as _;

/// Room for one plot with its titles, pixels.
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 380.0;

/// Between a plot's edge and its axes: left, right, top, bottom, pixels.
const MARGINS: (f64, f64, f64, f64) = (76.0, 24.0, 48.0, 56.0);

/// Colours that are told apart in print and by the colour-blind (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// One plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Under the horizontal axis.
    pub across: String,
    /// Beside the vertical axis.
    pub up: String,
    /// The lines: a name and points, from left to right.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Draws plots side by side.
pub fn draw(plots: &[Plot]) -> String {
    let width = WIDTH * plots.len().max(1) as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{HEIGHT:.0}\" viewBox=\"0 0 {width:.0} {HEIGHT:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, plot) in plots.iter().enumerate() {
        let _ = writeln!(out, "<g transform=\"translate({:.0} 0)\">", WIDTH * index as f64);
        one(&mut out, plot);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn one(out: &mut String, plot: &Plot) {
    let (left, right, top, bottom) = (MARGINS.0, WIDTH - MARGINS.1, MARGINS.2, HEIGHT - MARGINS.3);
    let points =
        || plot.lines.iter().flat_map(|(_, points)| points).filter(|(x, y)| x.is_finite() && y.is_finite());
    let most = |part: fn(&(f64, f64)) -> f64| points().map(part).fold(0.0, f64::max);
    let (across, up) = (ticks(most(|point| point.0)), ticks(most(|point| point.1)));
    let end = |ticks: &[f64]| ticks.last().copied().unwrap_or(1.0);
    let x = |value: f64| left + (right - left) * value / end(&across);
    let y = |value: f64| bottom - (bottom - top) * value / end(&up);
    text(out, (left, 24.0), "start", "font-weight=\"bold\" font-size=\"14\"", &plot.title);
    for tick in &up {
        let at = y(*tick);
        let _ = writeln!(out, "<path d=\"M{left:.1} {at:.1}H{right:.1}\" stroke=\"#ddd\"/>");
        text(out, (left - 8.0, at + 4.0), "end", "", &number(*tick));
    }
    for tick in &across {
        text(out, (x(*tick), bottom + 18.0), "middle", "", &number(*tick));
    }
    let _ = writeln!(
        out,
        "<path d=\"M{left:.1} {top:.1}V{bottom:.1}H{right:.1}\" stroke=\"#444\" fill=\"none\"/>"
    );
    text(out, (f64::midpoint(left, right), bottom + 42.0), "middle", "", &plot.across);
    let middle = f64::midpoint(top, bottom);
    text(out, (16.0, middle), "middle", &format!("transform=\"rotate(-90 16 {middle:.1})\""), &plot.up);
    for (index, (name, points)) in plot.lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let places: Vec<String> =
            points.map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            places.join(" ")
        );
        for place in &places {
            let (x, y) = place.split_once(',').unwrap_or_default();
            let _ = writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let at = (left + 12.0 + 130.0 * index as f64, 40.0);
        text(out, at, "start", &format!("fill=\"{colour}\""), name);
    }
}

fn text(out: &mut String, at: (f64, f64), anchor: &str, more: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let more = if more.is_empty() { String::new() } else { format!(" {more}") };
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\"{more}>{words}</text>",
        at.0, at.1
    );
}

/// Round numbers from 0 to at least `most`: steps of 1, 2 or 5 times a power of ten, four to eight of them.
fn ticks(most: f64) -> Vec<f64> {
    let most = if most > 0.0 && most.is_finite() { most } else { 1.0 };
    let rough = most / 8.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(most);
    let count = (most / step - 1e-9).ceil().max(1.0) as usize;
    (0..=count).map(|index| index as f64 * step).collect()
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_top() {
        assert_eq!(ticks(8.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(ticks(20.0).last(), Some(&20.0));
        for most in [0.0, 1e-9, 0.37, 1.0, 17.0, 12_345.6, 9e12, f64::NAN] {
            let ticks = ticks(most);
            assert!((2..=12).contains(&ticks.len()), "{most}: {ticks:?}");
            assert!(most.is_nan() || ticks.last().unwrap() * (1.0 + 1e-9) >= most, "{most}: {ticks:?}");
        }
    }

    #[test]
    fn a_plot_shows_each_point_and_names_are_not_markup() {
        let lines = vec![("n <1000>".to_owned(), vec![(1.0, 100.0), (3.0, f64::NAN), (20.0, 900.0)])];
        let plot = Plot { title: "T".to_owned(), across: "c".to_owned(), up: "n/s".to_owned(), lines };
        insta::assert_snapshot!(draw(&[plot]));
    }
}
