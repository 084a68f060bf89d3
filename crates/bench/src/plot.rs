//! A plot of one measure over sizes, as SVG: the sizes on a logarithmic axis, on which logarithmic cost is a straight line.

use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

/// One measured point.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// The size; at least 1.
    pub(crate) x: u64,
    pub(crate) y: f64,
    /// What is said beside it.
    pub(crate) note: String,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const EDGE: f64 = 60.0;

/// Writes the plot.
pub(crate) fn write(path: &Path, title: &str, points: &[Point]) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    std::fs::write(path, svg(title, points)).with_context(|| format!("writing {}", path.display()))?;
    println!("bench: wrote {}", path.display());
    Ok(())
}

fn svg(title: &str, points: &[Point]) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a place in a picture")]
    let log = |x: u64| (x as f64).log10();
    let ends =
        |values: Vec<f64>| values.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    let (left, right) = ends(points.iter().map(|point| log(point.x)).collect());
    let (_, top) = ends(points.iter().map(|point| point.y).collect());
    let place = |point: &Point| {
        let x = EDGE + (log(point.x) - left) / (right - left).max(f64::MIN_POSITIVE) * (WIDTH - 2.0 * EDGE);
        // From 0, so that a ratio is seen as what it is.
        (x, HEIGHT - EDGE - point.y / (top * 1.2) * (HEIGHT - 2.0 * EDGE))
    };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{EDGE}\" y=\"24\" font-size=\"14\">{title}</text>\n"
    );
    let base = HEIGHT - EDGE;
    let _ = writeln!(
        text,
        "<path d=\"M{EDGE} {EDGE} V{base} H{}\" fill=\"none\" stroke=\"black\"/>",
        WIDTH - EDGE
    );
    let line: Vec<String> = points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        text,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1565c0\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for point in points {
        let (x, y) = place(point);
        let _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#1565c0\"/>");
        let (above, below, note) = (y - 10.0, base + 18.0, &point.note);
        let (middle, y) = ("text-anchor=\"middle\"", point.y);
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{above:.1}\" {middle}>{y:.2} ({note})</text>");
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{below:.1}\" {middle}>{}</text>", point.x);
    }
    text.push_str("</svg>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithmic_cost_is_a_straight_line() {
        let point = |x, y| Point { x, y, note: String::new() };
        let text = svg("cost", &[point(10, 1.0), point(100, 2.0), point(1000, 3.0)]);
        let line = text.lines().find(|line| line.starts_with("<polyline")).expect("a line");
        let numbers: Vec<f64> =
            line.split(['"', ' ', ',']).filter_map(|word| word.parse().ok()).take(6).collect();
        assert!((numbers[2] * 2.0 - numbers[0] - numbers[4]).abs() < 0.2, "{line}");
        assert!((numbers[3] * 2.0 - numbers[1] - numbers[5]).abs() < 0.2, "{line}");
        assert!(numbers[1] > numbers[5], "up is less: {line}");
    }
}
