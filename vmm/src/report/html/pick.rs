//! What figures take from the record of a case.

use super::bars::{count, measured};
use super::lines::{Form, Point, Series};
use super::theme::Ink;
use crate::case::Parameters;
use crate::case::parameter::Transfer;
use crate::lens::trace::Summary;
use crate::lens::trace::phase::Phase;
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
pub fn cases<'a>(
    run: &'a RunRecord,
    workload: &'static dyn Workload,
) -> impl Iterator<Item = &'a CaseRecord> {
    run.cases.iter().filter(move |case| case.parameters.workload == workload && case.outcome.is_success())
}

/// The colour of a case: that of its server's placement.
pub fn ink(parameters: &Parameters) -> Ink {
    match parameters.server {
        _ if parameters.same_space => Ink::OneSpace,
        Some(_) if parameters.transfer == Transfer::Direct => Ink::Direct,
        Some(placement) => placement_ink(placement),
        None => Ink::User,
    }
}

/// The colour of a placement.
pub const fn placement_ink(placement: Placement) -> Ink {
    match placement {
        placement if placement.has_own_space() => Ink::User,
        placement if placement.is_in_kernel() => Ink::Kernel,
        _ => Ink::Small,
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

/// One line for each name, its points rising in x; cases without a point are left out.
pub fn series<'a>(
    cases: impl IntoIterator<Item = &'a CaseRecord>,
    name: impl Fn(&CaseRecord) -> (String, Ink),
    point: impl Fn(&CaseRecord) -> Option<Point>,
) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for case in cases {
        let Some(point) = point(case) else { continue };
        let (name, ink) = name(case);
        match all.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => {
                all.push(Series { name, ink, points: vec![point], form: Form::Marked, has_numbers: false })
            }
        }
    }
    for series in &mut all {
        series.points.sort_by(|one, other| one.x.total_cmp(&other.x));
    }
    all
}

/// Name and colour of a case by its placements.
pub fn by_placement(case: &CaseRecord) -> (String, Ink) {
    (format::placements(&case.parameters), ink(&case.parameters))
}

/// The x of all points, each once: what stands at an axis with few numbers.
pub fn ticks(series: &[Series]) -> Vec<f64> {
    let mut xs: Vec<f64> = series.iter().flat_map(|line| &line.points).map(|point| point.x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    xs
}

/// The median of a channel with its interval. Whether it is shown at all, the run has decided before.
pub fn median(case: &CaseRecord, channel: &str) -> Option<(f64, Option<(f64, f64)>)> {
    let summary = &case.ticks.get(channel)?.summary;
    Some((
        summary.median as f64,
        summary.interval.map(|interval| (interval.low as f64, interval.high as f64)),
    ))
}

/// What a tick is here, for an axis: an instruction where the clock counts those.
pub fn tick_unit(run: &RunRecord) -> &'static str {
    if run.host.tsc_counts_instructions { "instructions" } else { "ticks of the time-stamp counter" }
}

/// What must be said beside wall times of this host.
pub fn wall_time_remark(run: &RunRecord) -> Option<String> {
    let problem = run.host.timing_problem.as_ref()?;
    let problem = problem.split([';', ':']).next().unwrap_or(problem);
    Some(format!("Wall times of this very host, where {problem}: read their shape, not their size."))
}

/// The last point of the line of this name.
pub fn last(series: &[Series], name: &str) -> Option<Point> {
    series.iter().find(|line| line.name == name)?.points.last().copied()
}

/// A number of ticks: exact where it counts instructions, else measured.
pub fn ticks_text(run: &RunRecord, value: f64) -> String {
    if run.host.tsc_counts_instructions { count(value) } else { measured(value) }
}

/// The colour of a phase, the same in every figure.
pub const fn phase_ink(phase: Phase) -> Ink {
    match phase {
        Phase::Client | Phase::Server | Phase::Detour => Ink::Program,
        Phase::ClientStub | Phase::ServerStub => Ink::Stub,
        Phase::Entry => Ink::Entry,
        Phase::FastPath => Ink::Path,
        Phase::Switch => Ink::Switch,
        Phase::Direct => Ink::Direct,
        Phase::SlowPath => Ink::Slow,
        Phase::Exit => Ink::Exit,
    }
}
