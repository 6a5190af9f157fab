//! How the cost of a call grows with its message.

use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format;
use crate::report::html::figure::{Definition, Figure, Panels};
use crate::report::html::lines::{Axis, Form, Lines, Point, Series};
use crate::report::html::pick::{self, Measure};
use crate::workload::Workload;

pub(super) const FIGURE: Definition =
    Definition { name: "ipc-words", question: "How does the cost of a call grow with its message?", draw };

fn draw(run: &RunRecord) -> Option<Figure> {
    let measure = pick::instructions(run)?;
    let calls: Vec<&CaseRecord> =
        pick::cases(run, Workload::Call).filter(|case| case.parameters.words.is_some()).collect();
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
        true => format::count(most),
        false => format!("{} to {}", format::count(least), format::count(most)),
    };
    let claim = format!(
        "A message of {} words adds {added} instructions, wherever client and server are",
        format::count(words)
    );
    let panels = panels.into_iter().map(|(heading, lines)| (heading, Box::new(lines) as _)).collect();
    let note = "A few words travel in registers; longer messages are copied by the kernel, by one repeated instruction, which counts once \
                however much it copies.".to_owned();
    Some(Figure { claim, notes: vec![note], plot: Box::new(Panels { panels, are_narrow: false }) })
}

/// One line for each pair of placements that has several sizes.
fn lines(cases: &[&CaseRecord], measure: &Measure) -> Option<Lines> {
    let mut series: Vec<Series> = Vec::new();
    for case in cases {
        let name = format::placements(&case.parameters);
        let Some(point) =
            (measure.of)(case).zip(case.parameters.words).map(|(y, words)| Point::new(words as f64, y))
        else {
            continue;
        };
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => {
                let ink = pick::ink(&case.parameters);
                series.push(Series {
                    name,
                    ink,
                    points: vec![point],
                    form: Form::Marked,
                    has_numbers: false,
                });
            }
        }
    }
    series.retain(|series| series.points.len() > 2);
    let mut words: Vec<f64> = series.iter().flat_map(|series| &series.points).map(|point| point.x).collect();
    words.sort_by(f64::total_cmp);
    words.dedup();
    let x = Axis { ticks: words, ..Axis::logarithmic("words of the message and of the answer") };
    (!series.is_empty()).then(|| Lines::new(x, Axis::linear(measure.unit), series))
}
