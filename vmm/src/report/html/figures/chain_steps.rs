//! What each server of a chain saves that moves into the kernel.

use crate::case::keys;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::count;
use crate::report::html::figure::{Definition, Figure, Panels};
use crate::report::html::lines::{Axis, Form, Lines, Point, Series};
use crate::report::html::pick;
use crate::report::html::theme::Ink;
use crate::workload::{Chain, MOVED, PROMOTE_AFTER};

pub(super) const FIGURE: Definition = Definition {
    name: "chain-steps",
    question: "What does each server of a chain save that moves into the kernel?",
    draw,
};

fn draw(run: &RunRecord) -> Option<Figure> {
    let is_step = |case: &&CaseRecord| {
        case.parameters.number(&MOVED).is_some() && case.parameters.number(&PROMOTE_AFTER).is_none()
    };
    let steps: Vec<&CaseRecord> = pick::cases(run, &Chain).filter(is_step).collect();
    let groups = pick::by_pcid(steps);
    let (_, first) = groups.first()?;
    let loads: Vec<Point> = points(first, pick::loads);
    let (from, to) = (loads.first()?, loads.last()?);
    let servers = first.first()?.parameters.number(&keys::SERVERS)?;
    let mut claim = format!(
        "Each server that moves saves {} page-table loads: from {} with none of {servers} in the kernel to {} with {}",
        count((from.y - to.y) / (to.x - from.x).max(1.0)),
        count(from.y),
        count(to.y),
        count(to.x),
    );
    let mut panels: Vec<(String, Box<dyn super::super::figure::Plot>)> =
        vec![(String::new(), Box::new(plot("page tables loaded in one round trip", vec![line("", loads)])))];
    if let Some(measure) = pick::instructions(run) {
        let series: Vec<Series> = groups
            .iter()
            .map(|(heading, cases)| {
                let ink = if *heading == "with PCIDs" { Ink::OneSpace } else { Ink::Kernel };
                Series { ink, ..line(heading, points(cases, measure.of)) }
            })
            .collect();
        if let Some((first, last)) =
            series.first().and_then(|line| line.points.first().zip(line.points.last()))
        {
            let (first, last) = (count(first.y), count(last.y));
            claim.push_str(&format!(", and {first} instructions become {last}"));
        }
        let numbered =
            if series.len() == 1 { series } else { series.into_iter().map(without_numbers).collect() };
        panels.push((String::new(), Box::new(plot(measure.unit, numbered))));
    }
    Some(Figure { claim, notes: Vec::new(), plot: Box::new(Panels { panels, columns: 2 }) })
}

fn points(cases: &[&CaseRecord], of: fn(&CaseRecord) -> Option<f64>) -> Vec<Point> {
    let point = |case: &&CaseRecord| Some(Point::new(case.parameters.number(&MOVED)? as f64, of(case)?));
    let mut points: Vec<Point> = cases.iter().filter_map(point).collect();
    points.sort_by(|one, other| one.x.total_cmp(&other.x));
    points
}

fn line(name: &str, points: Vec<Point>) -> Series {
    Series { name: name.to_owned(), ink: Ink::Kernel, points, form: Form::MarkedSteps, has_numbers: true }
}

fn without_numbers(series: Series) -> Series {
    Series { has_numbers: false, ..series }
}

fn plot(label: &str, series: Vec<Series>) -> Lines {
    let x = Axis { ticks: pick::ticks(&series), ..Axis::linear("servers that have moved into the kernel") };
    Lines { shape: 0.62, ..Lines::new(x, Axis::linear(label), series) }
}
