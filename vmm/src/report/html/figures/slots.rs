//! Whether a call costs more when there are a thousand servers.

use crate::case::keys;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::count;
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::lines::{Axis, Lines, Point};
use crate::report::html::pick;
use crate::workload::Slots;

pub(super) const FIGURE: Definition =
    Definition { name: "slots", question: "Does a call cost more when there are a thousand servers?", draw };

fn draw(run: &RunRecord) -> Option<Figure> {
    let cases: Vec<&CaseRecord> = pick::cases(run, &Slots)
        .filter(|case| !case.parameters.pcid && !case.parameters.has_32_bit())
        .collect();
    let has_ticks = cases.iter().any(|case| !case.ticks.is_empty());
    let (cost, unit) = match has_ticks {
        true => {
            (median as fn(&CaseRecord) -> Option<f64>, format!("{} of the median call", pick::tick_unit(run)))
        }
        false => (
            messages as fn(&CaseRecord) -> Option<f64>,
            "thread switches of stop, start and two calls".to_owned(),
        ),
    };
    let line = |of: fn(&CaseRecord) -> Option<f64>| {
        let point = move |case: &CaseRecord| {
            Some(Point::new(case.parameters.number(&keys::SERVERS)? as f64, of(case)?))
        };
        pick::series(cases.iter().copied(), pick::by_placement, point)
    };
    let costs = line(cost);
    let (first, last) = costs.first().and_then(|line| line.points.first().zip(line.points.last()))?;
    let is_flat = costs.iter().all(|line| line.points.iter().all(|point| point.y == line.points[0].y));
    let servers = count(last.x);
    let text = |value: f64| if has_ticks { pick::ticks_text(run, value) } else { count(value) };
    let what = if has_ticks { unit.replace(" of the median call", "") } else { "thread switches".to_owned() };
    let claim = match is_flat {
        true => format!(
            "With {servers} servers as with one, a call costs the same {} {what} ({})",
            text(first.y),
            costs[0].name
        ),
        false => {
            format!("With one server a call costs {} {what}, with {servers} {}", text(first.y), text(last.y))
        }
    };
    let memory = line(|case| {
        (case.guest_memory_bytes > 0).then(|| case.guest_memory_bytes as f64 / f64::from(1 << 20))
    });
    let axis = |label: &str| Axis { ticks: pick::ticks(&costs), ..Axis::logarithmic(label) };
    let mut panels: Vec<(String, Box<dyn Plot>)> =
        vec![(String::new(), Box::new(Lines::new(axis("servers"), Axis::linear(unit), costs.clone())))];
    if !memory.is_empty() {
        let plot = Lines::new(axis("servers"), Axis::logarithmic("memory of the guest, MiB"), memory);
        panels.push((String::new(), Box::new(plot)));
    }
    Some(Figure { claim, notes: Vec::new(), plot: Box::new(Panels { panels, columns: 2 }) })
}

fn median(case: &CaseRecord) -> Option<f64> {
    Some(pick::median(case, "call")?.0)
}

fn messages(case: &CaseRecord) -> Option<f64> {
    case.without_preemption("context_switches")
}
