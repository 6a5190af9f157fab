//! What dozens of guests at once cost each other.

use crate::record::density::Spread;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::count;
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::lines::{Axis, Lines, Point, Series};
use crate::report::html::pick;
use crate::report::html::theme::Ink;

pub(super) const MEMORY: Definition = Definition {
    name: "density-memory",
    question: "What does each of many guests take of the host?",
    draw: memory,
};

pub(super) const TOGETHER: Definition = Definition {
    name: "density-together",
    question: "What do guests that run at once do to each other?",
    draw: together,
};

fn lines<'a>(
    cases: impl IntoIterator<Item = &'a CaseRecord>,
    of: impl Fn(&CaseRecord) -> Option<f64>,
) -> Vec<Series> {
    let point = |case: &CaseRecord| Some(Point::new(f64::from(case.parameters.guests?), of(case)?));
    pick::series(cases, name, point)
}

fn name(case: &CaseRecord) -> (String, Ink) {
    match case.parameters.server {
        Some(_) => pick::by_placement(case),
        None => (String::new(), Ink::Other),
    }
}

fn panel(label: &str, is_log: bool, series: Vec<Series>) -> Option<(String, Box<dyn Plot>)> {
    let x = Axis { ticks: pick::ticks(&series), ..Axis::logarithmic("guests at once") };
    let y = if is_log { Axis::logarithmic(label) } else { Axis::linear(label) };
    let plot = Lines::new(x, y, series.clone());
    (!series.is_empty()).then(|| (String::new(), Box::new(plot) as Box<dyn Plot>))
}

fn crowds(run: &RunRecord, has_server: bool) -> Vec<&CaseRecord> {
    let is_wanted = |case: &&CaseRecord| {
        let is_plain = case.parameters.huge_pages == Default::default();
        case.density.is_some()
            && case.parameters.server.is_some() == has_server
            && is_plain
            && case.outcome.is_success()
    };
    let cases: Vec<&CaseRecord> = run.cases.iter().filter(is_wanted).collect();
    let name = |case: &CaseRecord| case.name.split('/').next().unwrap_or_default().to_owned();
    // Of several parts with the same placements the first stands for all.
    let first = cases.first().map(|case| name(case));
    cases.into_iter().filter(|case| Some(name(case)) == first).collect()
}

fn memory(run: &RunRecord) -> Option<Figure> {
    let cases = crowds(run, false);
    let kib = |of: fn(&CaseRecord) -> Option<Spread>| {
        let median = move |case: &CaseRecord| Some(of(case)?.median as f64 / 1024.0);
        lines(cases.iter().copied(), median)
    };
    let mut overhead = kib(|case| case.density.as_ref()?.overhead_pss_bytes);
    let mut guest = kib(|case| case.density.as_ref()?.guest_rss_bytes);
    overhead.iter_mut().for_each(|line| line.name = "the process around it".to_owned());
    guest.iter_mut().for_each(|line| (line.name, line.ink) = ("the guest".to_owned(), Ink::Kernel));
    let (around, within) = (overhead.first()?.points.last()?, guest.first()?.points.last()?);
    let claim = format!(
        "Of {} guests at once each takes {} KiB of memory, and {} KiB around it",
        count(around.x),
        count(within.y),
        count(around.y),
    );
    let start =
        lines(cases.iter().copied(), |case| Some(case.density.as_ref()?.first_mark_ns?.median as f64 / 1e6));
    let greatest =
        lines(cases.iter().copied(), |case| Some(case.density.as_ref()?.first_mark_ns?.max as f64 / 1e6));
    let named = |mut series: Vec<Series>, name: &str, ink| {
        series.iter_mut().for_each(|line| (line.name, line.ink) = (name.to_owned(), ink));
        series
    };
    let starts = [named(greatest, "the last", Ink::Other), named(start, "median", Ink::Kernel)].concat();
    let panels = [
        panel("memory of one guest, KiB, median", false, [overhead, guest].concat()),
        panel("from the start of the process to the first call, ms", true, starts),
    ];
    let notes = pick::wall_time_remark(run).into_iter().collect();
    Some(Figure {
        claim,
        notes,
        plot: Box::new(Panels { panels: panels.into_iter().flatten().collect(), columns: 2 }),
    })
}

fn together(run: &RunRecord) -> Option<Figure> {
    let cases = crowds(run, true);
    let fairness = lines(cases.iter().copied(), |case| case.density.as_ref()?.fairness);
    let steal = lines(cases.iter().copied(), |case| Some(case.density.as_ref()?.steal? * 100.0));
    let rate = lines(cases.iter().copied(), |case| case.density.as_ref()?.round_trips_per_second);
    let unfair =
        fairness.iter().flat_map(|line| &line.points).min_by(|one, other| one.y.total_cmp(&other.y))?;
    let stolen = steal.iter().flat_map(|line| &line.points).max_by(|one, other| one.x.total_cmp(&other.x))?;
    let claim = format!(
        "With {} guests at once, a vCPU waits {} % of its time for a CPU; the fairness index is {:.2} at least",
        count(stolen.x),
        count(stolen.y.round()),
        unfair.y,
    );
    let mut fair = panel("fairness (1: all alike)", false, fairness);
    let panels = [
        fair.take(),
        panel("share of time without a CPU, %", false, steal),
        panel("round trips per second, all guests together", false, rate),
    ];
    let note = "Fairness is Jain's index of what each guest did while all of them measured; points without it are left out.".to_owned();
    let notes = std::iter::once(note).chain(pick::wall_time_remark(run)).collect();
    Some(Figure {
        claim,
        notes,
        plot: Box::new(Panels { panels: panels.into_iter().flatten().collect(), columns: 2 }),
    })
}
