//! How the times of a call are distributed, with the tail.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use crate::case::keys;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format;
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::lines::{Axis, Form, Lines, Point, Series};
use crate::report::html::percentile;
use crate::report::html::pick;
use crate::report::html::theme::Ink;
use crate::workload::{Call, Empty, NullSystemCall, Workload};

pub(super) const FIGURE: Definition =
    Definition { name: "distribution", question: "How are the times of single calls distributed?", draw };

/// More lines than this nobody tells apart.
const LINES_MAX: usize = 5;

/// Steps of a drawn line.
const STEPS_MAX: usize = 300;

fn draw(run: &RunRecord) -> Option<Figure> {
    let is_plain = |case: &&CaseRecord| {
        let parameters = &case.parameters;
        let kinds: [&'static dyn Workload; 3] = [&Call, &Empty, &NullSystemCall];
        kinds.contains(&parameters.workload)
            && parameters.number(&keys::WORDS).unwrap_or(0) == 0
            && !parameters.pcid
            && parameters.guests.is_none_or(|guests| guests == 1)
            && !case.ticks.is_empty()
    };
    let of_kind = |is_call: bool| {
        let cases = run.cases.iter().filter(is_plain).filter(move |case| is_of(case, &Call) == is_call);
        let with_samples = cases.filter_map(|case| Some((case, all(case)?)));
        with_samples.take(LINES_MAX).collect::<Vec<_>>()
    };
    // What a clock reading costs is worth a picture only where no call is.
    let calls = of_kind(true);
    let shown = if calls.is_empty() { of_kind(false) } else { calls };
    let (case, samples) = shown.first()?;
    let unit = pick::tick_unit(run);
    let claim = claim(run, case, samples, unit);
    let ecdf = Lines::new(
        Axis::logarithmic(unit),
        Axis::linear("share of samples that take no more, %"),
        lines(&shown, |_, up_to, count| up_to as f64 * 100.0 / count as f64),
    );
    let tail = Lines::new(
        Axis::logarithmic(unit),
        Axis { shows: vec![100.0], ..Axis::logarithmic("share of samples that take so much or more, %") },
        lines(&shown, |below, _, count| (count - below) as f64 * 100.0 / count as f64),
    );
    let panels: Vec<(String, Box<dyn Plot>)> =
        vec![("all samples".to_owned(), Box::new(ecdf)), ("the tail".to_owned(), Box::new(tail))];
    let note = format!(
        "Samples of all launches. A percentile is named only if at least {} samples lie beyond it.",
        percentile::BEYOND_MIN
    );
    Some(Figure { claim, notes: vec![note], plot: Box::new(Panels { panels, columns: 2 }) })
}

fn claim(run: &RunRecord, case: &CaseRecord, samples: &Histogram<u64>, unit: &str) -> String {
    let at = |share: f64| pick::ticks_text(run, samples.value_at_quantile(share) as f64);
    let high =
        percentile::highest(samples.len()).map(|(share, name)| format!("{name} at most {}, ", at(share)));
    format!(
        "{}: half of {} samples take at most {} {unit}, {}the slowest {}",
        name(case).0,
        format::grouped(samples.len()),
        at(0.5),
        high.unwrap_or_default(),
        pick::ticks_text(run, samples.max() as f64),
    )
}

fn name(case: &CaseRecord) -> (String, Ink) {
    let client = case.parameters.client;
    if is_of(case, &Call) {
        pick::by_placement(case)
    } else if is_of(case, &Empty) {
        (format!("Clock pair, {client}"), pick::placement_ink(client))
    } else {
        (format!("System call, {client}"), Ink::Other)
    }
}

fn is_of(case: &CaseRecord, workload: &'static dyn Workload) -> bool {
    case.parameters.workload == workload
}

/// All launches of a case together.
fn all(case: &CaseRecord) -> Option<Histogram<u64>> {
    let channel = case.ticks.keys().next()?;
    let mut whole: Option<Histogram<u64>> = None;
    for launch in &case.launches {
        let bytes = BASE64_STANDARD.decode(launch.histograms.get(channel)?).ok()?;
        let one: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).ok()?;
        match &mut whole {
            Some(whole) => whole.add(&one).ok()?,
            None => whole = Some(one),
        }
    }
    whole.filter(|whole| !whole.is_empty())
}

fn lines(shown: &[(&CaseRecord, Histogram<u64>)], share: impl Fn(u64, u64, u64) -> f64) -> Vec<Series> {
    let line = |(case, samples): &(&CaseRecord, Histogram<u64>)| {
        let mut below = 0;
        let bins: Vec<Point> = samples
            .iter_recorded()
            .map(|bin| {
                let before = below;
                below += bin.count_since_last_iteration();
                let value = samples.median_equivalent(bin.value_iterated_to()) as f64;
                Point::new(value, share(before, below, samples.len()))
            })
            .collect();
        let first = bins.first().map(|bin| Point::new(bin.x, share(0, 0, samples.len())));
        let bins = first.into_iter().chain(bins).collect();
        let (name, ink) = name(case);
        Series { name, ink, points: thinned(bins), form: Form::Steps, has_numbers: false }
    };
    shown.iter().map(line).collect()
}

/// No more steps than can be seen, the first and the last among them.
fn thinned(points: Vec<Point>) -> Vec<Point> {
    let every = points.len().div_ceil(STEPS_MAX).max(1);
    let last = points.len().saturating_sub(1);
    points
        .into_iter()
        .enumerate()
        .filter(|(index, _)| index % every == 0 || *index == last)
        .map(|(_, point)| point)
        .collect()
}
