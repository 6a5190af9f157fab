//! How the cost of a call grows with its message.

use crate::case::keys;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::count;
use crate::report::html::figure::{Definition, Figure, Panels};
use crate::report::html::lines::{Axis, Lines, Point, Series};
use crate::report::html::pick::{self, Measure};
use crate::workload::Call;

pub(super) const FIGURE: Definition =
    Definition { name: "ipc-words", question: "How does the cost of a call grow with its message?", draw };

fn draw(run: &RunRecord) -> Option<Figure> {
    let measure = pick::instructions(run)?;
    let calls: Vec<&CaseRecord> =
        pick::cases(run, &Call).filter(|case| case.parameters.number(&keys::WORDS).is_some()).collect();
    let panels: Vec<_> = pick::by_pcid(calls.iter().copied())
        .into_iter()
        .filter_map(|(heading, cases)| Some((heading.to_owned(), lines(&cases, &measure)?)))
        .collect();
    let series = panels.iter().flat_map(|(_, lines)| &lines.series);
    let (least, most) = series.fold((f64::INFINITY, 0f64), |(least, most), series| {
        let added = |series: &Series| {
            series.points.last().zip(series.points.first()).map_or(0.0, |(last, first)| last.y - first.y)
        };
        (least.min(added(series)), most.max(added(series)))
    });
    let words = panels.iter().flat_map(|(_, lines)| lines.x.ticks.last()).copied().fold(0.0, f64::max);
    if !least.is_finite() {
        return None;
    }
    let added = match least == most {
        true => count(most),
        false => format!("{} to {}", count(least), count(most)),
    };
    let claim = format!(
        "A message of {} words adds {added} instructions, wherever client and server are",
        count(words)
    );
    let panels = panels.into_iter().map(|(heading, lines)| (heading, Box::new(lines) as _)).collect();
    let note = "A few words travel in registers; longer messages are copied by the kernel, by one repeated instruction, which counts once \
                however much it copies.".to_owned();
    Some(Figure { claim, notes: vec![note], plot: Box::new(Panels { panels, columns: 1 }) })
}

/// One line for each pair of placements that has several sizes.
fn lines(cases: &[&CaseRecord], measure: &Measure) -> Option<Lines> {
    let point = |case: &CaseRecord| {
        Some(Point::new(case.parameters.number(&keys::WORDS)? as f64, (measure.of)(case)?))
    };
    let mut series = pick::series(cases.iter().copied(), pick::by_placement, point);
    series.retain(|series| series.points.len() > 2);
    let x =
        Axis { ticks: pick::ticks(&series), ..Axis::logarithmic("words of the message and of the answer") };
    (!series.is_empty()).then(|| Lines::new(x, Axis::linear(measure.unit), series))
}
