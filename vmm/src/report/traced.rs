//! Columns of what the trace counted for a case: the same on every host, and what leads where ticks are no time.

use std::collections::BTreeMap;

use super::grid::{Column, KEEP};
use super::section::{Row, column};
use super::{format, tlb};
use crate::case::workload::Does;
use crate::lens::trace::{self, Summary};
use crate::record::run::{CaseRecord, RunRecord};

/// What stands where a trace was wanted and there is none that holds for every round trip.
const DASH: &str = "–";

/// Ranks of the columns beside ticks that are time, and where there are none.
const BESIDE_TIMES: [u8; 3] = [2, 2, 2];
const ALONE: [u8; 3] = [KEEP, 12, 13];

/// Instructions of kernel and stubs, of all; misses on the first of the case's models.
pub(super) fn columns(rows: &[Row<'_>]) -> Vec<Column> {
    let has_times = rows.iter().any(|(_, channel)| channel.is_some());
    let [of_path, of_all, of_misses] = if has_times { BESIDE_TIMES } else { ALONE };
    let counted = |rank, heading: &str, text: &dyn Fn(&CaseRecord, &Summary) -> Option<String>| {
        column(rows, heading, rank, true, |row| cell(row, text))
    };
    let models: Vec<&CaseRecord> = rows.iter().map(|(case, _)| *case).collect();
    let model = models.iter().find_map(|case| case.tlb_models.first()).map(|report| report.model.clone());
    let mut columns = vec![
        counted(of_path, "instructions,\nkernel + stubs", &|_, traced| {
            Some(format::grouped(traced.counts.path_instructions))
        }),
        counted(of_all, "instructions,\nin all", &|_, traced| {
            Some(format::grouped(traced.counts.instructions))
        }),
    ];
    if let Some(model) = model {
        let mark = tlb::mark(&models, &model);
        let heading = format!("TLB misses/walks,\non model {model}{mark}");
        columns.push(counted(of_misses, &heading, &|case, _| {
            tlb::misses(case.tlb_models.iter().find(|report| report.model == model)?)
        }));
    }
    // A column without one figure tells nothing; the note says why.
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty() && cell != DASH));
    columns
}

/// The text for the first row of a case.
fn cell((case, channel): &Row<'_>, text: &dyn Fn(&CaseRecord, &Summary) -> Option<String>) -> String {
    let is_first =
        channel.is_none_or(|(name, _)| case.parameters.workload.channels().first() == Some(&name.as_str()));
    if !is_first || !is_asked(case) {
        return String::new();
    }
    steady(case).ok().and_then(|traced| text(case, &traced)).unwrap_or_else(|| DASH.to_owned())
}

/// Two readings of the clock are no round trip.
fn is_asked(case: &CaseRecord) -> bool {
    case.parameters.trace_round_trips > 0 && case.parameters.workload.nature().does != Does::ReadsClock
}

/// The trace of a case whose round trips are all alike, or the reason why there is none.
pub(super) fn steady(case: &CaseRecord) -> Result<Summary, String> {
    match (Summary::of_record(case), case.lenses.get(trace::NAME).and_then(|lens| lens.reason.as_deref())) {
        (Some(traced), _) if traced.varying == 0 => Ok(traced),
        (Some(_), _) => Err("traced round trips vary".to_owned()),
        (None, Some(reason)) => Err(reason.to_owned()),
        (None, None) => Err("the case was not traced".to_owned()),
    }
}

/// The notes to the dashes, one for each reason.
pub(super) fn notes(run: &RunRecord) -> Vec<String> {
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for case in run.cases.iter().filter(|case| is_asked(case)) {
        if let Err(reason) = steady(case) {
            by_reason.entry(reason).or_default().push(&case.name);
        }
    }
    let note =
        |(reason, cases): (String, Vec<&str>)| format!("{DASH} {}: {reason}.", format::some_of(&cases));
    by_reason.into_iter().map(note).collect()
}

/// What the columns mean, for those who see them for the first time.
pub(super) fn explanation(run: &RunRecord) -> Option<String> {
    run.cases.iter().any(|case| is_asked(case) && steady(case).is_ok()).then(|| {
        "Instructions are those of one traced round trip. Those of kernel + stubs are without the programs of client and server. \
         TLB misses (of the first level) and page walks are those of a model, not of this host."
            .to_owned()
    })
}
