//! What figures take from the record of a case.

use super::theme::Ink;
use crate::case::Parameters;
use crate::case::parameter::Transfer;
use crate::lens::trace::Summary;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format;
use crate::system::placement::Placement;
use crate::workload::Workload;

/// One number of a case, and what it is.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// With its unit, for an axis.
    pub unit: &'static str,
    /// In a sentence: `119 instructions`.
    pub noun: &'static str,
    /// The number.
    pub of: fn(&CaseRecord) -> Option<f64>,
}

/// Instructions of kernel and stubs by the trace, or else all instructions by a clock that counts them.
pub fn instructions(run: &RunRecord) -> Option<Measure> {
    let traced = Measure {
        unit: "instructions of kernel and stubs in one round trip",
        noun: "instructions",
        of: |case| Some(steady_trace(case)?.counts.path_instructions as f64),
    };
    let by_clock = Measure {
        unit: "instructions of one round trip, programs included",
        noun: "instructions",
        of: |case| Some(case.ticks.values().next()?.summary.median as f64),
    };
    let has_trace = run.cases.iter().any(|case| steady_trace(case).is_some());
    match (has_trace, run.host.tsc_counts_instructions) {
        (true, _) => Some(traced),
        (false, true) => Some(by_clock),
        (false, false) => None,
    }
}

/// The trace of a case whose round trips are all alike.
pub fn steady_trace(case: &CaseRecord) -> Option<Summary> {
    Summary::of_record(case).filter(|traced| traced.varying == 0)
}

/// Page tables that one round trip loads because of its messages.
pub fn loads(case: &CaseRecord) -> Option<f64> {
    case.without_preemption("page_table_loads")
}

/// `no page table`, `1 page table`, `2 page tables`.
pub fn page_tables(loads: f64) -> String {
    match format::count(loads).as_str() {
        "0" => "no page table".to_owned(),
        "1" => "1 page table".to_owned(),
        count => format!("{count} page tables"),
    }
}

/// Short form of the same, beside a number.
pub fn loads_remark(case: &CaseRecord) -> String {
    loads(case).map_or(String::new(), |loads| match format::count(loads).as_str() {
        "1" => "1 load".to_owned(),
        count => format!("{count} loads"),
    })
}

/// Cases of a workload that came out as they should.
pub fn cases(run: &RunRecord, workload: Workload) -> impl Iterator<Item = &CaseRecord> {
    run.cases.iter().filter(move |case| case.parameters.workload == workload && case.outcome.is_success())
}

/// The colour of a case: that of its server's placement.
pub fn ink(parameters: &Parameters) -> Ink {
    match parameters.server {
        _ if parameters.same_space => Ink::OneSpace,
        Some(Placement::Kernel) if parameters.transfer == Transfer::Direct => Ink::Direct,
        Some(placement) => placement_ink(placement),
        None => Ink::User,
    }
}

/// The colour of a placement.
pub const fn placement_ink(placement: Placement) -> Ink {
    match placement {
        Placement::User | Placement::Large => Ink::User,
        Placement::Small => Ink::Small,
        Placement::Kernel => Ink::Kernel,
    }
}

/// Cases without and with PCIDs, apart; the heading is empty where there is one kind only.
pub fn by_pcid<'a>(
    cases: impl IntoIterator<Item = &'a CaseRecord>,
) -> Vec<(&'static str, Vec<&'a CaseRecord>)> {
    let (with, without): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.parameters.pcid);
    match (without.is_empty(), with.is_empty()) {
        (false, false) => vec![("without PCIDs", without), ("with PCIDs", with)],
        (true, true) => Vec::new(),
        _ => vec![("", [without, with].concat())],
    }
}
