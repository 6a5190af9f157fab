//! One server with many handlers against many servers with one.

use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::count;
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::lines::{Axis, Lines, Point, Series};
use crate::report::html::pick;
use crate::report::html::theme::Ink;
use crate::system::placement::Placement;
use crate::workload::handlers::{self, HandlerShape, SHAPE};
use crate::workload::{HandlerCall, HandlerFault};

pub(super) const FAULT: Definition = Definition {
    name: "monolith-fault",
    question: "How many handlers die when one of them faults?",
    draw: fault,
};

pub(super) const SIZE: Definition = Definition {
    name: "monolith-size",
    question: "What do many handlers take in memory and at the start, in one server and in many?",
    draw: size,
};

fn handlers(case: &CaseRecord) -> Option<f64> {
    Some(handlers::count(&case.parameters)).filter(|count| *count > 0).map(|count| count as f64)
}

/// The shapes are what these figures compare; a placement has its colour elsewhere.
fn by_shape(case: &CaseRecord) -> (String, Ink) {
    match case.parameters.word(&SHAPE) {
        Some(HandlerShape::Natural) => ("many servers".to_owned(), Ink::Path),
        _ => ("one server".to_owned(), Ink::Switch),
    }
}

fn lines<'a>(
    cases: impl Iterator<Item = &'a CaseRecord>,
    of: impl Fn(&CaseRecord) -> Option<f64>,
) -> Vec<Series> {
    let is_of_kernel = |case: &&CaseRecord| case.parameters.server == Some(Placement::Kernel);
    let point = |case: &CaseRecord| Some(Point::new(handlers(case)?, of(case)?));
    pick::series(cases.filter(is_of_kernel), by_shape, point)
}

fn axis(series: &[Series]) -> Axis {
    Axis { ticks: pick::ticks(series), ..Axis::logarithmic("handlers in the system") }
}

fn fault(run: &RunRecord) -> Option<Figure> {
    // The one that faults is not among the others that are called.
    let dead = |case: &CaseRecord| Some(case.other_calls?.failed.per_round_trip? + 1.0);
    let series = lines(pick::cases(run, &HandlerFault), dead);
    let (one, many) = (pick::last(&series, "one server")?, pick::last(&series, "many servers")?);
    let claim = format!(
        "One fault ends {} of {} handlers in one server, and {} where each is a server of its own",
        count(one.y),
        count(one.x),
        count(many.y),
    );
    let plot = Lines::new(axis(&series), Axis::logarithmic("handlers that die of one fault"), series);
    let note = "Servers in the kernel; in user space it is the same.".to_owned();
    let is_same = {
        let user =
            pick::cases(run, &HandlerFault).filter(|case| case.parameters.server == Some(Placement::User));
        let point = |case: &CaseRecord| Some(Point::new(handlers(case)?, dead(case)?));
        let user = pick::series(user, by_shape, point);
        user.iter().zip(&plot.series).all(|(one, other)| one.points == other.points)
    };
    let notes = if is_same { vec![note] } else { vec!["Servers in the kernel.".to_owned()] };
    Some(Figure { claim, notes, plot: Box::new(plot) })
}

fn size(run: &RunRecord) -> Option<Figure> {
    let calls = || pick::cases(run, &HandlerCall);
    let memory = lines(calls(), |case| {
        (case.guest_memory_bytes > 0).then(|| case.guest_memory_bytes as f64 / f64::from(1 << 20))
    });
    let (one, many) = (pick::last(&memory, "one server")?, pick::last(&memory, "many servers")?);
    let claim = format!(
        "{} handlers take {} MiB in one server and {} MiB in servers of their own",
        count(one.x),
        count((one.y * 10.0).round() / 10.0),
        count((many.y * 10.0).round() / 10.0),
    );
    let start = lines(calls(), super::boot::start_ms);
    let x = axis(&memory);
    let mut panels: Vec<(String, Box<dyn Plot>)> = vec![(
        String::new(),
        Box::new(Lines::new(x.clone(), Axis::logarithmic("memory of the guest, MiB"), memory)),
    )];
    if !start.is_empty() {
        let plot = Lines::new(x, Axis::logarithmic("start of the kernel and all servers, ms"), start);
        panels.push((String::new(), Box::new(plot)));
    }
    let notes =
        ["Servers in the kernel.".to_owned()].into_iter().chain(pick::wall_time_remark(run)).collect();
    Some(Figure { claim, notes, plot: Box::new(Panels { panels, columns: 2 }) })
}
