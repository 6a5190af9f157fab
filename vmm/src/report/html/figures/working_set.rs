//! How the cost of a call grows with the pages that client and server touch.

use crate::case::keys;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::count;
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::lines::{Axis, Lines, Point, Series};
use crate::report::html::pick;
use crate::workload::Touch;

pub(super) const FIGURE: Definition = Definition {
    name: "working-set",
    question: "How does the cost of a call grow with the pages that client and server touch?",
    draw,
};

fn draw(run: &RunRecord) -> Option<Figure> {
    let cases: Vec<&CaseRecord> =
        pick::cases(run, &Touch).filter(|case| !case.parameters.has_32_bit()).collect();
    let models: Vec<String> = models(&cases);
    let mut panels: Vec<(String, Box<dyn Plot>)> = Vec::new();
    let mut claim = None;
    for model in &models {
        for (heading, cases) in pick::by_pcid(cases.iter().copied()) {
            let walks = |case: &CaseRecord| walks(case, model);
            let series = series(&cases, &walks);
            claim = claim.or_else(|| walks_claim(&series, model));
            let heading =
                [format!("Page walks of one round trip, on a model of {model}"), heading.to_owned()]
                    .join(" ");
            panels.push((heading, plot("page walks", series)?));
        }
    }
    for (label, of) in [("ticks of the median round trip", ticks as fn(&CaseRecord) -> Option<f64>)] {
        for (heading, cases) in pick::by_pcid(cases.iter().copied()) {
            let unit = if run.host.tsc_counts_instructions {
                "instructions of the median round trip"
            } else {
                label
            };
            let series = series(&cases, &of);
            if series.iter().any(|line| line.points.len() > 1) {
                claim = claim.or_else(|| growth_claim(run, &series, unit));
                panels.push((heading.to_owned(), plot(unit, series)?));
            }
        }
    }
    if panels.is_empty() {
        for (heading, cases) in pick::by_pcid(cases.iter().copied()) {
            let series = series(&cases, &pick::loads);
            claim = claim.or_else(|| loads_claim(&series));
            panels.push((heading.to_owned(), plot("page tables loaded in one round trip", series)?));
        }
    }
    let note =
        "Client and server touch as many pages each. Walks of a model are no measurement of this host.";
    let notes = if models.is_empty() { Vec::new() } else { vec![note.to_owned()] };
    Some(Figure { claim: claim?, notes, plot: Box::new(Panels { panels, columns: 1 }) })
}

fn models(cases: &[&CaseRecord]) -> Vec<String> {
    let mut names: Vec<String> =
        cases.iter().flat_map(|case| &case.tlb_models).map(|report| report.model.clone()).collect();
    names.sort();
    names.dedup();
    names
}

fn walks(case: &CaseRecord, model: &str) -> Option<f64> {
    let report = case.tlb_models.iter().find(|report| report.model == model)?;
    Some(report.steady.as_ref()?.total().walks as f64)
}

fn ticks(case: &CaseRecord) -> Option<f64> {
    Some(case.ticks.get("round_trip")?.summary.median as f64)
}

/// One line for each pair of placements.
fn series(cases: &[&CaseRecord], of: &dyn Fn(&CaseRecord) -> Option<f64>) -> Vec<Series> {
    let point = |case: &CaseRecord| {
        let y = of(case)?;
        let interval = pick::median(case, "round_trip")
            .filter(|(median, _)| *median == y)
            .and_then(|(_, interval)| interval);
        Some(Point { x: case.parameters.number(&keys::CLIENT_PAGES)? as f64, y, interval })
    };
    pick::series(cases.iter().copied(), pick::by_placement, point)
}

fn plot(label: &str, series: Vec<Series>) -> Option<Box<dyn Plot>> {
    let x = Axis { ticks: pick::ticks(&series), ..Axis::logarithmic("pages that each of the two touches") };
    (!series.is_empty()).then(|| Box::new(Lines::new(x, Axis::logarithmic(label), series)) as _)
}

/// Up to how many pages the line of the kernel stays at zero.
fn walks_claim(series: &[Series], model: &str) -> Option<String> {
    let find = |name: &str| series.iter().find(|line| line.name == name);
    let (user, kernel) = (find("user → user")?, find("user → kernel")?);
    let free = kernel.points.iter().take_while(|point| point.y == 0.0).last()?;
    let same = user.points.iter().find(|point| point.x == free.x)?;
    Some(format!(
        "A call into the kernel causes no page walk while client and server touch up to {} pages each; into another user space it \
         causes {} there (model of {model})",
        count(free.x),
        count(same.y),
    ))
}

fn growth_claim(run: &RunRecord, series: &[Series], unit: &str) -> Option<String> {
    let ends = |name: &str| {
        let points = &series.iter().find(|line| line.name == name)?.points;
        points.first().copied().zip(points.last().copied())
    };
    let ((user, user_last), (kernel, kernel_last)) = (ends("user → user")?, ends("user → kernel")?);
    let unit = unit.split(' ').next()?;
    Some(format!(
        "Without pages a call into the kernel takes {} {unit} less than one into another user space, with {} pages {}",
        pick::ticks_text(run, user.y - kernel.y),
        count(user_last.x),
        pick::ticks_text(run, user_last.y - kernel_last.y),
    ))
}

fn loads_claim(series: &[Series]) -> Option<String> {
    let of = |name: &str| series.iter().find(|line| line.name == name)?.points.last().map(|point| point.y);
    Some(format!(
        "Whatever the pages, a call into the kernel loads {}, and one into another user space loads {}",
        pick::page_tables(of("user → kernel")?),
        pick::page_tables(of("user → user")?),
    ))
}
