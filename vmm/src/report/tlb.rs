//! What the traced round trips do to models of TLBs: one line for each case.

use super::format;
use super::grid::{Column, KEEP};
use super::section::Section;
use crate::lens::trace::Summary;
use crate::record::run::{CaseRecord, RunRecord};
use crate::tlb::{Counts, TlbReport};

/// `None` when no case was run on several models: of one, the figures stand beside the other counts.
pub fn section(run: &RunRecord) -> Option<Section> {
    let cases: Vec<&CaseRecord> = run.cases.iter().filter(|case| case.tlb_models.len() > 1).collect();
    let names = cases.iter().map(|case| case.name.clone()).collect();
    let mut columns = vec![Column { heading: "case".to_owned(), cells: names, is_number: false, rank: KEEP }];
    let traced = cases.iter().map(|case| {
        Summary::of_record(case).map_or(String::new(), |summary| format::grouped(summary.round_trips))
    });
    columns.push(Column {
        heading: "traced\nround trips".to_owned(),
        cells: traced.collect(),
        is_number: true,
        rank: KEEP,
    });
    for model in models(&cases) {
        let cells = cases.iter().map(|case| report(case, model).and_then(misses).unwrap_or_default());
        let heading = format!("{model}{}\nmisses/walks", mark(&cases, model));
        columns.push(Column { heading, cells: cells.collect(), is_number: true, rank: KEEP });
    }
    let heading =
        "modelled TLBs, per round trip: misses of the first level and page walks, the median of the traced \
                   round trips after the first"
            .to_owned();
    (!cases.is_empty()).then(|| Section { name: "tlb".to_owned(), heading, columns })
}

/// Names of the models, each once.
fn models<'a>(cases: &[&'a CaseRecord]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for report in cases.iter().flat_map(|case| &case.tlb_models) {
        if !names.contains(&report.model.as_str()) {
            names.push(&report.model);
        }
    }
    names
}

fn report<'a>(case: &'a CaseRecord, model: &str) -> Option<&'a TlbReport> {
    case.tlb_models.iter().find(|report| report.model == model)
}

/// The mark of a model in headings.
pub(super) fn mark(cases: &[&CaseRecord], model: &str) -> &'static str {
    if is_unverified(cases, model) { "†" } else { "" }
}

fn is_unverified(cases: &[&CaseRecord], model: &str) -> bool {
    cases.iter().filter_map(|case| report(case, model)).any(|report| !report.unverified_arrays.is_empty())
}

/// Misses of the first level and page walks in the steady state.
pub(super) fn misses(report: &TlbReport) -> Option<String> {
    let total = report.steady.as_ref().map(Counts::total)?;
    Some(format!("{}/{}", format::grouped(total.first_level_misses), format::grouped(total.walks)))
}

/// The note to the mark in the heading of a model.
pub(super) fn note(run: &RunRecord) -> Option<String> {
    let cases: Vec<&CaseRecord> = run.cases.iter().collect();
    let unverified = models(&cases).into_iter().filter(|model| is_unverified(&cases, model));
    let unverified: Vec<&str> = unverified.collect();
    (!unverified.is_empty()).then(|| {
        format!(
            "† Some sizes of these models have no checked source: {} (docs/tlb-models.md).",
            unverified.join(", ")
        )
    })
}
