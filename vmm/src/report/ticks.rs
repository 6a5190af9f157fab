//! Which ticks of the time-stamp counter tables show: those that are time.

use std::collections::BTreeMap;

use crate::record::run::{CaseRecord, RunRecord};

/// Which ticks a report for people shows. Records and CSV hold all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ticks {
    /// Those that are time, or exact numbers of instructions.
    #[default]
    Meaningful,
    /// All: `--ticks`.
    All,
}

impl Ticks {
    /// Those of a command, which has the option `--ticks` or not.
    pub fn by_option(all: bool) -> Ticks {
        if all { Ticks::All } else { Ticks::Meaningful }
    }
}

/// The run as its tables show it. What is no time would only be compared, so it is not there, nor are its ratios and intervals.
pub fn shown(run: &RunRecord, ticks: Ticks) -> RunRecord {
    let mut run = run.clone();
    if ticks == Ticks::Meaningful && !run.host.tsc_counts_instructions {
        for case in run.cases.iter_mut().filter(|case| !case.timing.is_time()) {
            case.ticks.clear();
            case.empty_pair_median_ticks = None;
        }
    }
    run
}

/// Why tables show no ticks of cases that have some, in one line.
pub(super) fn note(run: &RunRecord, shown: &RunRecord) -> Option<String> {
    let pairs = run.cases.iter().zip(&shown.cases);
    let hidden: Vec<&CaseRecord> = pairs
        .filter(|(case, shown)| !case.ticks.is_empty() && shown.ticks.is_empty())
        .map(|(case, _)| case)
        .collect();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for case in &hidden {
        *reasons.entry(case.timing.reasons().join("; ")).or_default() += 1;
    }
    // The one of most cases; the others are in the record.
    let (reason, _) = reasons.into_iter().max_by_key(|(_, cases)| *cases)?;
    Some(format!(
        "Ticks are not times in {} of {} cases: {reason}. Counts are exact. --ticks shows the ticks all the same; results.csv has \
         them, marked invalid.",
        hidden.len(),
        run.cases.len()
    ))
}
