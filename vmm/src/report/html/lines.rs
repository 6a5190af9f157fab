//! Lines over a quantity, each with its name at its end.

use super::canvas::{Anchor, Canvas, LINE_HEIGHT, STRONG, text_width, wrapped};
use super::figure::{DataLine, Plot};
use super::scale::{Division, Scale, number};
use super::theme::Ink;

/// Lines with two axes.
#[derive(Clone, Debug)]
pub struct Lines {
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// At most five, or there should be several plots.
    pub series: Vec<Series>,
    /// Upright lines with a remark.
    pub marks: Vec<(f64, String)>,
    /// Height over width.
    pub shape: f64,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// How it is divided.
    pub division: Division,
    /// Numbers that stand at it, where the data have few.
    pub ticks: Vec<f64>,
    /// Numbers that it shows besides those of the data.
    pub shows: Vec<f64>,
}

impl Axis {
    /// An axis that begins at zero.
    pub fn linear(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), division: Division::Linear, ticks: Vec::new(), shows: Vec::new() }
    }

    /// An axis of ratios. That it is one, it says.
    pub fn logarithmic(label: impl Into<String>) -> Axis {
        let label = format!("{} (log scale)", label.into());
        Axis { label, division: Division::Logarithmic, ticks: Vec::new(), shows: Vec::new() }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Stands at its end.
    pub name: String,
    /// Its colour and its dashes.
    pub ink: Ink,
    /// Rising in x.
    pub points: Vec<Point>,
    /// How it leads from point to point.
    pub form: Form,
    /// The number stands at each point.
    pub has_numbers: bool,
}

/// How a line leads from point to point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Straight, with a marker at each point.
    Marked,
    /// In steps, with a marker at each point.
    MarkedSteps,
    /// In steps, without markers: a distribution.
    Steps,
    /// Straight, thin, without markers: a fit.
    Fit,
    /// Not at all: launches one by one.
    Dots,
}

/// A point, with its interval where it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Upwards.
    pub y: f64,
    /// The ends of its interval.
    pub interval: Option<(f64, f64)>,
}

impl Point {
    /// Without an interval.
    pub fn new(x: f64, y: f64) -> Point {
        Point { x, y, interval: None }
    }
}

/// The rectangle between the axes.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl Lines {
    /// With lines that lead from marker to marker.
    pub fn new(x: Axis, y: Axis, series: Vec<Series>) -> Lines {
        Lines { x, y, series, marks: Vec::new(), shape: 0.48 }
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.series.iter().flat_map(|series| &series.points)
    }

    fn area(&self, width: f64, label_width: f64) -> Area {
        let values = self.points().flat_map(|point| {
            let (low, high) = point.interval.unwrap_or((point.y, point.y));
            [point.y, low, high]
        });
        let values: Vec<f64> = values.chain(self.y.shows.iter().copied()).collect();
        let height = (width * self.shape).clamp(210.0, 380.0);
        let lines = wrapped(&self.y.label, width).len() as f64;
        let has_numbers = self.series.iter().any(|series| series.has_numbers);
        let top = lines * LINE_HEIGHT + if has_numbers { 24.0 } else { 10.0 };
        let bottom = top + height;
        let y = Scale::new(self.y.division, values, (bottom, top)).rounded();
        let ticks = self.y_ticks(&y);
        let left = ticks.iter().map(|tick| text_width(&number(*tick))).fold(0.0, f64::max) + 10.0;
        let right = width - label_width - 12.0;
        let xs = self.points().map(|point| point.x).chain(self.x.shows.iter().copied());
        let inset = if self.x.division == Division::Linear { 0.0 } else { 6.0 };
        let x = Scale::new(self.x.division, xs, (left + inset, right));
        Area { left, right, top, bottom, x, y }
    }

    fn y_ticks(&self, scale: &Scale) -> Vec<f64> {
        if self.y.ticks.is_empty() { scale.ticks(44.0) } else { self.y.ticks.clone() }
    }

    fn draw_axes(&self, canvas: &mut Canvas, area: &Area, width: f64) {
        for (index, text) in wrapped(&self.y.label, width).iter().enumerate() {
            canvas.text((0.0, 12.0 + index as f64 * LINE_HEIGHT), Anchor::Start, "soft", text);
        }
        for tick in self.y_ticks(&area.y) {
            let y = area.y.at(tick);
            canvas.line((area.left, y), (area.right, y), "grid thin");
            canvas.text((area.left - 7.0, y + 4.5), Anchor::End, "soft", &number(tick));
        }
        canvas.line((area.left, area.bottom), (area.right, area.bottom), "axis thin");
        let mut last_end = f64::NEG_INFINITY;
        let ticks = if self.x.ticks.is_empty() { area.x.ticks(64.0) } else { self.x.ticks.clone() };
        for tick in ticks {
            let (x, text) = (area.x.at(tick), number(tick));
            canvas.line((x, area.bottom), (x, area.bottom + 5.0), "axis thin");
            let half = text_width(&text) / 2.0;
            if x - half > last_end + 6.0 {
                canvas.text((x, area.bottom + 19.0), Anchor::Middle, "soft", &text);
                last_end = x + half;
            }
        }
        if let Some(y) = area.y.zero_gap() {
            draw_break(canvas, (area.left, y), false);
        }
        if let Some(x) = area.x.zero_gap() {
            draw_break(canvas, (x, area.bottom), true);
        }
        for (index, text) in wrapped(&self.x.label, area.right - area.left).iter().enumerate() {
            canvas.text(
                ((area.left + area.right) / 2.0, area.bottom + 39.0 + index as f64 * LINE_HEIGHT),
                Anchor::Middle,
                "soft",
                text,
            );
        }
    }

    fn draw_series(&self, canvas: &mut Canvas, area: &Area, series: &Series) {
        let class = series.ink.class();
        let place = |point: &Point| (area.x.at(point.x), area.y.at(point.y));
        let intervals: Vec<(&Point, (f64, f64))> =
            series.points.iter().filter_map(|point| Some((point, point.interval?))).collect();
        if intervals.len() > 1 {
            let upper = intervals.iter().map(|(point, (_, high))| (area.x.at(point.x), area.y.at(*high)));
            let lower = intervals.iter().rev().map(|(point, (low, _))| (area.x.at(point.x), area.y.at(*low)));
            canvas.polygon(&upper.chain(lower).collect::<Vec<_>>(), &format!("band f-{class}"));
        }
        let places: Vec<(f64, f64)> = series.points.iter().map(place).collect();
        let line = match series.form {
            Form::Steps | Form::MarkedSteps => steps(&places),
            Form::Dots => Vec::new(),
            Form::Marked | Form::Fit => places.clone(),
        };
        if line.len() > 1 {
            let weight = if series.form == Form::Fit { "thin" } else { "line" };
            canvas.polyline(&line, &format!("{weight} s-{class} d-{class}"));
        }
        for (point, place) in series.points.iter().zip(&places) {
            let hint = format!("{}: {} at {}", series.name, number(point.y), number(point.x));
            match series.form {
                Form::Marked | Form::MarkedSteps => canvas.marker(*place, series.ink, &hint),
                Form::Dots => canvas.dot(*place, series.ink, &hint),
                Form::Steps | Form::Fit => {}
            }
            if series.has_numbers {
                // Beside the riser of a step, above the middle of a line.
                let (at, anchor) = match series.form {
                    Form::MarkedSteps => ((place.0 + 6.0, place.1 - 7.0), Anchor::Start),
                    _ => ((place.0, place.1 - 9.0), Anchor::Middle),
                };
                canvas.text(at, anchor, &format!("t-{class} halo"), &super::bars::count(point.y));
            }
        }
    }

    /// The names at the ends of the lines, moved apart where lines end together.
    fn draw_names(&self, canvas: &mut Canvas, area: &Area, label_width: f64) {
        let named = self.series.iter().filter(|series| !series.name.is_empty());
        let mut names: Vec<(f64, Vec<String>, Ink)> = named
            .filter_map(|series| {
                let last = series.points.last()?;
                Some((area.y.at(last.y), wrapped(&series.name, label_width), series.ink))
            })
            .collect();
        names.sort_by(|one, other| one.0.total_cmp(&other.0));
        let heights: Vec<f64> = names.iter().map(|(_, lines, _)| lines.len() as f64 * LINE_HEIGHT).collect();
        let tops: Vec<f64> = names.iter().zip(&heights).map(|((y, ..), height)| y - height / 2.0).collect();
        let tops = apart(&tops, &heights, (area.top - 8.0, area.bottom + 8.0));
        for ((_, lines, ink), top) in names.iter().zip(tops) {
            for (index, text) in lines.iter().enumerate() {
                let at = (area.right + 11.0, top + 13.0 + index as f64 * LINE_HEIGHT);
                canvas.text(at, Anchor::Start, &format!("t-{} strong", ink.class()), text);
            }
        }
    }
}

impl Plot for Lines {
    fn draw(&self, width: f64) -> (Canvas, f64) {
        let mut canvas = Canvas::default();
        let most = width * 0.27;
        let names = self.series.iter().flat_map(|series| wrapped(&series.name, most));
        let numbers =
            self.series.iter().filter(|series| series.has_numbers).filter_map(|series| series.points.last());
        let numbers = numbers.map(|point| super::bars::count(point.y));
        let label_width = names.chain(numbers).map(|text| text_width(&text)).fold(0.0, f64::max) * STRONG;
        let area = self.area(width, label_width);
        self.draw_axes(&mut canvas, &area, width);
        for (x, remark) in &self.marks {
            let x = area.x.at(*x);
            canvas.line((x, area.top), (x, area.bottom), "axis thin d-small");
            let is_left = x > (area.left + area.right) / 2.0;
            let anchor = if is_left { Anchor::End } else { Anchor::Start };
            for (index, text) in wrapped(remark, (area.right - area.left) * 0.45).iter().enumerate() {
                let at =
                    (if is_left { x - 6.0 } else { x + 6.0 }, area.top + 12.0 + index as f64 * LINE_HEIGHT);
                canvas.text(at, anchor, "soft halo", text);
            }
        }
        for series in &self.series {
            self.draw_series(&mut canvas, &area, series);
        }
        self.draw_names(&mut canvas, &area, label_width);
        let lines = wrapped(&self.x.label, area.right - area.left).len() as f64;
        (canvas, area.bottom + 28.0 + lines * LINE_HEIGHT)
    }

    fn data(&self) -> Vec<DataLine> {
        let of = |series: &Series| {
            let line = |point: &Point| {
                let interval = point
                    .interval
                    .map(|(low, high)| format!(", 95 % interval {} to {}", number(low), number(high)));
                DataLine {
                    what: format!(
                        "{}, {} {}",
                        series.name,
                        self.x.label.replace(" (log scale)", ""),
                        number(point.x)
                    ),
                    value: format!(
                        "{}{}",
                        super::bars::count(rounded(point.y)),
                        interval.unwrap_or_default()
                    ),
                }
            };
            series.points.iter().map(line).collect::<Vec<_>>()
        };
        self.series.iter().filter(|series| series.form != Form::Fit).flat_map(of).collect()
    }
}

/// Thousandths are enough for a reader.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Two strokes across an axis: it does not go on evenly here.
fn draw_break(canvas: &mut Canvas, (x, y): (f64, f64), is_flat: bool) {
    for offset in [-2.5, 2.5] {
        let (from, to) = match is_flat {
            true => ((x + offset - 2.0, y + 5.0), (x + offset + 2.0, y - 5.0)),
            false => ((x - 5.0, y + offset + 2.0), (x + 5.0, y + offset - 2.0)),
        };
        canvas.line(from, to, "axis thin");
    }
}

/// Each height holds until the next point.
fn steps(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut line: Vec<(f64, f64)> = Vec::new();
    for place in places {
        if let Some(last) = line.last().copied() {
            line.push((place.0, last.1));
        }
        line.push(*place);
    }
    line
}

/// Moves boxes with these tops and heights, sorted by top, apart so that none covers another.
fn apart(tops: &[f64], heights: &[f64], (least, most): (f64, f64)) -> Vec<f64> {
    let mut placed: Vec<f64> = tops.to_vec();
    let mut floor = least;
    for (top, height) in placed.iter_mut().zip(heights) {
        *top = top.max(floor);
        floor = *top + height;
    }
    let mut ceiling = most;
    for (top, height) in placed.iter_mut().zip(heights).rev() {
        *top = top.min(ceiling - height);
        ceiling = *top;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_distribution_rises_in_steps() {
        assert_eq!(steps(&[(0.0, 1.0), (2.0, 3.0)]), [(0.0, 1.0), (2.0, 1.0), (2.0, 3.0)]);
    }

    proptest! {
        #[test]
        fn names_never_cover_each_other(mut tops in prop::collection::vec(0.0f64..200.0, 1..8)) {
            tops.sort_by(f64::total_cmp);
            let heights = vec![20.0; tops.len()];
            let placed = apart(&tops, &heights, (0.0, 200.0));
            prop_assert!(placed.windows(2).all(|pair| pair[1] - pair[0] >= 20.0 - 1e-6), "{:?}", placed);
            prop_assert!(placed.iter().all(|top| (-1e-6..=180.0 + 1e-6).contains(top)), "{:?}", placed);
        }
    }
}
